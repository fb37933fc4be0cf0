"""A model as its head weights: E, U, the first MLP, and V and O of each layer, read when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.records import ModelInfo
from describe.weights.assembling import Assembly, Shape
from describe.weights.family import Family, Packing
from describe.weights.first_mlp import FirstMLP
from describe.weights.layout import projection_size, value_rows
from describe.weights.locate import Location, content_hash
from describe.weights.names import Names
from describe.weights.output_path import Lens, OutputPath, Step
from describe.weights.pieces import Pieces, gguf_pieces, hub_pieces
from describe.weights.sources import GgufSource, StoredRows, TensorSource, finite
from describe.weights.vocabulary import ends_words, gguf_tokens, hub_tokens

__all__ = ["FirstMLP", "HeadWeights", "LayerWeights", "Shape"]


@dataclass(frozen=True)
class LayerWeights:
    """V and O of one layer.

    Attributes:
        value: W_V of each group of heads, (n_kv_heads, d, dh); head h reads group h // (n_heads / n_kv_heads).
        output: W_O of each head, (n_heads, dh, d).
        value_bias: b_V of each group, (n_kv_heads, dh), a part of what heads write whatever they read; None without.
    """

    value: Tensor
    output: Tensor
    value_bias: Tensor | None = None


def joined(layers: Iterable[LayerWeights], n: int, device: torch.device, dtype: torch.dtype) -> LayerWeights:
    """V and O of n layers, one after another as if of one, on a device; one layer at a time is read."""
    for i, layer in enumerate(layers):
        if i == 0:
            value, output = (
                torch.empty(n * len(matrix), *matrix.shape[1:], device=device, dtype=dtype)
                for matrix in (layer.value, layer.output)
            )
        value[i * len(layer.value) : (i + 1) * len(layer.value)] = layer.value
        output[i * len(layer.output) : (i + 1) * len(layer.output)] = layer.output
    return LayerWeights(value, output)


class HeadWeights:
    """The weights of a model that MAPS reads, tensor by tensor. Made by `describe.weights.open_model`."""

    def __init__(self, location: Location, family: Family, shape: Shape, source: TensorSource, names: Names) -> None:
        self._family, self._shape, self._source, self._names = family, shape, source, names
        self._location = location
        vocab_size = self._vocab_size()
        self._check_layers()
        self.tokens: list[str] = (
            gguf_tokens(source, vocab_size) if isinstance(source, GgufSource) else hub_tokens(location.path, vocab_size)
        )
        self.info = ModelInfo(
            name=location.name,
            content_hash=content_hash(location),
            family=family.name,
            n_layers=shape.n_layers,
            n_heads=shape.n_heads,
            n_kv_heads=shape.n_kv_heads,
            d_model=shape.d_model,
            d_head=shape.d_head,
            vocab_size=vocab_size,
        )

    def token_id(self, text: str) -> int | None:
        """The id of the token with exactly this text, the smallest where several have it; None where none has.

        Where a vocabulary has the space behind its words, " Paris" is the token that stands for this word alone.
        """
        found = self._ids.get(text)
        if found is not None or not (self._ends_words and text.startswith(" ") and text.strip()):
            return found
        try:
            ids = self.token_ids(text)  # such vocabularies may have no capitals
        except CheckpointError:
            return None
        return ids[0] if len(ids) == 1 else None

    def first_token(self, text: str) -> int:
        """The first of the tokens that the tokenizer makes of a text inside a sentence (as " Paris")."""
        return self.token_ids(text)[0]

    def token_ids(self, text: str) -> list[int]:
        """The tokens that the tokenizer makes of a text inside a sentence (as " New York")."""
        from describe.weights.vocabulary import encode

        return encode(self._location.path, self.tokens, text)

    def start_ids(self, text: str) -> list[int]:
        """The tokens that the tokenizer makes of the beginning of a text, those it puts before any text included."""
        from describe.weights.vocabulary import encode_start

        return encode_start(self._location.path, text)

    def count_tokens(self, texts: Sequence[str]) -> Counter[int]:
        """How often each token is in some texts, by its id; without what the tokenizer puts around any text.

        Raises `CheckpointError` when the tokenizer cannot be loaded.
        """
        from describe.weights.vocabulary import count

        return count(self._location.path, texts)

    @cached_property
    def pieces(self) -> Pieces:
        """The pieces of the tokenizer: which of them text is made of, and in which order they are common."""
        if isinstance(self._source, GgufSource):
            return gguf_pieces(self._source, self.info.vocab_size)
        return hub_pieces(self._location.path, self.info.vocab_size)

    @property
    def tied(self) -> bool:
        """Whether E and U are one matrix."""
        return self._shape.tied

    def opening_ids(self, text: str) -> list[int]:
        """The tokens of a text that stands at the very beginning, behind what the model takes for one.

        Where the tokenizer puts nothing there, that is its token for the beginning of a text, else that for the end of
        the one before, if it has either.
        """
        from describe.weights.vocabulary import encode_opening

        return encode_opening(self._location.path, text)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: index for index, token in reversed(list(enumerate(self.tokens)))}

    @cached_property
    def _ends_words(self) -> bool:
        return ends_words(self.tokens)

    @property
    def embed(self) -> StoredRows:
        """E as the first layer reads it, (V, d), read row by row: scaled or normed where the family does that, else as
        stored."""
        return StoredRows(self._source, self._names("embed"), self._assembly.entry())

    @property
    def unembed(self) -> StoredRows:
        """U transposed, (V, d), in its stored precision, read row by row: row t is the direction that promotes t."""
        return StoredRows(self._source, self._names("embed" if self._shape.tied else "unembed"))

    def output_path(self, layer: int, lens: Lens | None = None) -> OutputPath:
        """The way of the output of a head of this layer to U, scales left out; by a ``lens`` past the later layers.

        Raises `CheckpointError` when the checkpoint lacks the gain of a norm.
        """
        return self._assembly.output_path(layer, lens)

    @property
    def centred_output(self) -> bool:
        """Whether the mean over dimensions is taken off what heads write, as LayerNorm does."""
        return any(step.centred for step in self._last_steps)

    @property
    def final_gain(self) -> Tensor | None:
        """The gain of the final norm (d,), in float32; None where it has none."""
        return self._last_steps[-1].gain

    def after_attention_gain(self, layer: int) -> Tensor | None:
        """The gain of the norm that the attention of a layer writes through (d,), in float32; None without one."""
        first = self.output_path(layer).steps[0]
        return first.gain if self._family.after_attention and isinstance(first, Step) else None

    @property
    def _last_steps(self) -> list[Step]:
        return [step for step in self.output_path(self._shape.n_layers - 1).steps if isinstance(step, Step)]

    def value_bias(self, layer: int) -> Tensor | None:
        """b_V of each group of heads, (n_kv_heads, dh), added to what they read; None where there is none."""
        shape, name = self._shape, self._names("value", layer).removesuffix("weight") + "bias"
        if name not in self._source.names:
            return None
        heads = (self._packing(layer), shape.n_heads, shape.n_kv_heads, shape.d_head)
        return finite(self._source.read(name), name)[value_rows(*heads)].reshape(shape.n_kv_heads, shape.d_head)

    def block(self, layer: int) -> Iterator[tuple[str, Tensor]]:
        """Every tensor of a layer, by its name in the files, dequantised.

        Raises `CheckpointError` for values that are not finite: attention may hide them, and give zeros.
        """
        prefix = self._names.below("", layer)
        return ((name, self._checked(name)) for name in self._source.readable if name.startswith(prefix))

    def beside_blocks(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor of the language model that belongs to no layer, other than E and U, by its name in the files.

        Raises `CheckpointError` as `block` does.
        """
        blocks = self._names.below("", 0).rpartition("0.")[0]
        begins, others = self._names.prefix, {self._names("embed"), self._names("unembed")}
        for name in self._source.readable:
            if name.startswith(begins) and not name.startswith(blocks) and name not in others:
                yield name, self._checked(name)

    def _checked(self, name: str) -> Tensor:
        values = self._source.read(name)
        return values if "mask" in name else finite(values, name)  # a mask may be made of infinity

    @property
    def architecture(self) -> str | None:
        """The architecture that a GGUF file names; None for other files."""
        return str(self._source.metadata("general.architecture")) if isinstance(self._source, GgufSource) else None

    @property
    def location(self) -> Location:
        """Where the model lies."""
        return self._location

    @cached_property
    def hidden(self) -> int:
        """Units of the first MLP; of one expert where it is a mixture."""
        return self.first_mlp.width

    @property
    def first_mlp(self) -> FirstMLP:
        """The first layer's MLP and its norms, in stored precision."""
        return self._assembly.first_mlp()

    @property
    def _assembly(self) -> Assembly:
        return Assembly(self._family, self._shape, self._source, self._names)

    def layer(self, layer: int) -> LayerWeights:
        """V and O of one layer, in stored precision."""
        shape = self._shape
        value, output = self._read("value", layer), self._read("output", layer)
        if self._stored_transposed:
            value, output = value.mT, output.mT
        heads = (self._packing(layer), shape.n_heads, shape.n_kv_heads, shape.d_head)
        return LayerWeights(
            value=value[value_rows(*heads)].reshape(shape.n_kv_heads, shape.d_head, shape.d_model).mT,
            output=output.mT.reshape(shape.n_heads, shape.d_head, shape.d_model),
            value_bias=self.value_bias(layer),
        )

    def _check_layers(self) -> None:
        """The promise that V and O of every layer are there, and as large as the configuration says."""
        shape = self._shape
        for layer in range(shape.n_layers):
            outputs = projection_size(self._packing(layer), shape.n_heads, shape.n_kv_heads, shape.d_head)
            wanted = {
                "value": (outputs, shape.d_model),
                "output": (shape.d_model, shape.n_heads * shape.d_head),
            }
            for role, expected in wanted.items():
                found = self._source.shape(self._names(role, layer))
                if found != (expected[::-1] if self._stored_transposed else expected):
                    raise self._misfit(role, found, str(expected), layer)

    @property
    def _stored_transposed(self) -> bool:
        return self._family.transposed and not isinstance(self._source, GgufSource)

    def _packing(self, layer: int) -> Packing:
        """GGUF files keep V alone, or as the last third of a fused tensor whatever the family's checkpoint does."""
        if not isinstance(self._source, GgufSource):
            return self._family.packing
        return "qkv" if self._names("value", layer).endswith("attn_qkv.weight") else "alone"

    def _read(self, role: str, layer: int = 0) -> Tensor:
        name = self._names(role, layer)
        return finite(self._source.read(name), name)

    def _vocab_size(self) -> int:
        """V, and the promise that E and U have the configured width."""
        vocab_size = self._source.shape(self._names("embed", 0))[0]
        for role in ("embed",) if self._shape.tied else ("embed", "unembed"):
            shape = self._source.shape(self._names(role, 0))
            if shape != (vocab_size, self._shape.d_model):
                raise self._misfit(role, shape, f"({vocab_size}, {self._shape.d_model})")
        return vocab_size

    def _misfit(self, role: str, shape: tuple[int, ...], expected: str, layer: int = 0) -> CheckpointError:
        return CheckpointError(
            f"tensor '{self._names(role, layer)}' of {self._location.path} is {shape},"
            f" the configuration says {expected}: the files do not belong together"
        )
