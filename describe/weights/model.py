"""A model as its head weights: E, U, the first MLP, and V and O of each layer, read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from describe.errors import CheckpointError
from describe.records import ModelInfo
from describe.weights.families import Family
from describe.weights.locate import Location, content_hash
from describe.weights.sources import GgufSource, StoredRows, TensorSource
from describe.weights.vocabulary import gguf_tokens, hub_tokens

__all__ = ["FirstMLP", "HeadWeights", "LayerWeights", "Shape"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "swish": F.silu,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_fast": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
}


@dataclass(frozen=True)
class LayerWeights:
    """V and O of one layer.

    Attributes:
        value: W_V of each group of heads, (n_kv_heads, d, dh); head h reads group h // (n_heads / n_kv_heads).
        output: W_O of each head, (n_heads, dh, d).
    """

    value: Tensor
    output: Tensor


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


@dataclass(frozen=True)
class FirstMLP:
    """x = MLP_0(norm(E)): the first layer's MLP with the norm it reads through, its own biases included."""

    norm_weight: Tensor
    norm_bias: Tensor | None
    norm_eps: float
    rms: bool
    up: Tensor
    up_bias: Tensor | None
    down: Tensor
    down_bias: Tensor | None
    gate: Tensor | None
    gate_bias: Tensor | None
    activation: Callable[[Tensor], Tensor]

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Source vectors (n, d) of embeddings (n, d), without the residual."""
        shape = self.norm_weight.shape
        if self.rms:
            read = F.rms_norm(embeddings, shape, self.norm_weight, self.norm_eps)
        else:
            read = F.layer_norm(embeddings, shape, self.norm_weight, self.norm_bias, self.norm_eps)
        hidden = F.linear(read, self.up, self.up_bias)
        if self.gate is None:
            hidden = self.activation(hidden)
        else:
            hidden = self.activation(F.linear(read, self.gate, self.gate_bias)) * hidden
        return F.linear(hidden, self.down, self.down_bias)

    def parts(self, n: int) -> Iterator[FirstMLP]:
        """The MLP as n of fewer hidden units each, whose outputs add up to its own; they share its memory."""
        for i, hidden in enumerate(torch.arange(self.up.shape[0]).tensor_split(n)):
            units = slice(int(hidden[0]), int(hidden[-1]) + 1)
            yield replace(
                self,
                up=self.up[units],
                up_bias=None if self.up_bias is None else self.up_bias[units],
                gate=None if self.gate is None else self.gate[units],
                gate_bias=None if self.gate_bias is None else self.gate_bias[units],
                down=self.down[:, units],
                down_bias=None if i else self.down_bias,
            )

    def to(self, device: torch.device, dtype: torch.dtype) -> FirstMLP:
        """The same MLP on another device, in another precision."""
        moved: dict[str, Any] = {
            name: value.to(device, dtype) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class Shape:
    """What a configuration says, whatever the file calls it."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    norm_eps: float
    activation: str
    tied: bool


class HeadWeights:
    """The weights of a model that MAPS reads, tensor by tensor. Made by `describe.weights.open_model`."""

    def __init__(
        self, location: Location, family: Family, shape: Shape, source: TensorSource, names: Callable[[str, int], str]
    ) -> None:
        self._family, self._shape, self._source, self._names = family, shape, source, names
        self._location = location
        vocab_size = self._vocab_size()
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
        """The id of the token with exactly this text, the smallest where several have it; None where none has."""
        return self._ids.get(text)

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

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: index for index, token in reversed(list(enumerate(self.tokens)))}

    @property
    def embed(self) -> StoredRows:
        """E, (V, d), in its stored precision, read row by row."""
        return StoredRows(self._source, self._names("embed", 0))

    @property
    def unembed(self) -> StoredRows:
        """U transposed, (V, d), as E is read: row t is the direction that promotes token t."""
        return self.embed if self._shape.tied else StoredRows(self._source, self._names("unembed", 0))

    @property
    def hidden(self) -> int:
        """Units of the first MLP."""
        return self._source.shape(self._names("up", 0))[1 if self._stored_transposed else 0]

    @property
    def first_mlp(self) -> FirstMLP:
        """The first layer's MLP and its norm, in stored precision."""
        family, read = self._family, self._read
        if self._shape.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise CheckpointError(
                f"the activation '{self._shape.activation}' of the MLP is not known here; known: {known}"
            )
        up, down = read("up"), read("down")
        gate = None if family.gate is None else read("gate")
        if self._stored_transposed:
            up, down = up.mT, down.mT
        return FirstMLP(
            norm_weight=read("norm"),
            norm_bias=self._bias("norm"),
            norm_eps=self._shape.norm_eps,
            rms=family.norm_kind == "rms",
            up=up,
            up_bias=self._bias("up"),
            down=down,
            down_bias=self._bias("down"),
            gate=gate,
            gate_bias=None if gate is None else self._bias("gate"),
            activation=ACTIVATIONS[self._shape.activation],
        )

    def layer(self, layer: int) -> LayerWeights:
        """V and O of one layer, in stored precision."""
        shape = self._shape
        value, output = self._read("value", layer), self._read("output", layer)
        if self._stored_transposed:
            value, output = value.mT, output.mT
        value = _unpack_value(value, self._packing(layer), shape)
        self._check("value", value, (shape.n_kv_heads * shape.d_head, shape.d_model), layer)
        self._check("output", output, (shape.d_model, shape.n_heads * shape.d_head), layer)
        return LayerWeights(
            value=value.reshape(shape.n_kv_heads, shape.d_head, shape.d_model).mT,
            output=output.mT.reshape(shape.n_heads, shape.d_head, shape.d_model),
        )

    @property
    def _stored_transposed(self) -> bool:
        return self._family.transposed and not isinstance(self._source, GgufSource)

    def _packing(self, layer: int) -> str:
        """GGUF files keep V alone, or as the last third of a fused tensor whatever the family's checkpoint does."""
        if not isinstance(self._source, GgufSource):
            return self._family.packing
        return "qkv" if self._names("value", layer).endswith("attn_qkv.weight") else "alone"

    def _read(self, role: str, layer: int = 0) -> Tensor:
        return self._source.read(self._names(role, layer))

    def _bias(self, role: str) -> Tensor | None:
        name = self._names(role, 0).removesuffix("weight") + "bias"
        return self._source.read(name) if name in self._source.names else None

    def _vocab_size(self) -> int:
        """V, and the promise that E and U have the configured width."""
        vocab_size = self._source.shape(self._names("embed", 0))[0]
        for role in ("embed",) if self._shape.tied else ("embed", "unembed"):
            shape = self._source.shape(self._names(role, 0))
            if shape != (vocab_size, self._shape.d_model):
                raise self._misfit(role, shape, f"({vocab_size}, {self._shape.d_model})")
        return vocab_size

    def _check(self, role: str, tensor: Tensor, expected: tuple[int, int], layer: int) -> None:
        if tuple(tensor.shape) != expected:
            raise self._misfit(role, tuple(tensor.shape), str(expected), layer)

    def _misfit(self, role: str, shape: tuple[int, ...], expected: str, layer: int = 0) -> CheckpointError:
        return CheckpointError(
            f"tensor '{self._names(role, layer)}' of {self._location.path} is {shape},"
            f" the configuration says {expected}: the files do not belong together"
        )


def _unpack_value(value: Tensor, packing: str, shape: Shape) -> Tensor:
    """The rows of W_V, (n_kv_heads * dh, d), out of a projection (out, d) that may hold Q and K as well."""
    if packing == "alone":
        return value
    if value.shape[0] != (shape.n_heads + 2 * shape.n_kv_heads) * shape.d_head:
        return value  # does not fit the configuration; the caller says so
    if packing == "qkv":
        return value[-shape.n_kv_heads * shape.d_head :]
    per_head = value.reshape(shape.n_heads, 3, shape.d_head, value.shape[-1])
    return per_head[:, 2].reshape(shape.n_heads * shape.d_head, value.shape[-1])
