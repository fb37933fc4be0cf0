"""A model that runs, by ``transformers``, and what its attention heads read while it does.

Prompts run in batches that fit the memory, padded on the left; what they all begin with runs once.

No other modelling library, and no knowledge of a family but its row in the table of `describe.weights`: hooks on the
input of the attention output projection see every head's z (its values weighted by its attention), hooks on the value
projection what it would read if it attended to one position only. Both hold the value bias, as the model does: weights
of attention sum to one, so a head that attends to s alone reads exactly v(s) = n(s) W_V + b_V.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from describe.errors import CheckpointError
from describe.inference.loading import Parts, load_network
from describe.inference.prompts import Prompt
from describe.records import HeadId, ModelInfo
from describe.weights.layout import value_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Attended", "Runner", "Steps", "able", "open_runner"]

BATCH_BYTES = 1 << 30
"""Bytes that the tensors of a batch may take on a CPU; on a GPU a quarter of its free memory."""
LARGEST_BATCH = 512


@dataclass(frozen=True)
class Attended:
    """Vectors read at the last position of each prompt; L layers, B prompts, H heads, G groups that share W_V.

    Attributes:
        in_context: z as each head attends, (L, H, B, dh).
        of_source: z if each attended to the prompt's source token alone, (L, G, B, dh).
    """

    in_context: Tensor
    of_source: Tensor


class Runner:
    """A causal language model with the places where its heads can be read and removed. Made by `open_runner`.

    Args:
        model: any causal model of a family of the table, in evaluation mode, on its device.
        info: its shape.
        device: where it runs, for a model whose parameters are not all there; by default where they are.

    Raises `CheckpointError` for a model that keeps no keys and values from one position to the next.
    """

    def __init__(self, model: PreTrainedModel, info: ModelInfo, device: torch.device | None = None) -> None:
        self.info, self.model = info, model
        self._parts = Parts(model, info.family)
        self._family, self.backbone = self._parts.family, self._parts.backbone
        self._takes = inspect.signature(self.backbone.forward).parameters
        if "past_key_values" not in self._takes:
            raise CheckpointError(
                f"transformers runs models of the family {info.family} without keeping keys and values: they cannot be"
                " run here; extract, describe and relations read their weights all the same"
            )
        self._unembed: nn.Module = model.get_output_embeddings()
        self.device: torch.device = next(model.parameters()).device if device is None else device
        self._started: tuple[list[int], Any] | None = None

    @property
    def unembed(self) -> Tensor:
        """U transposed, (V, d), in the precision the model runs in."""
        weight: Tensor = self._unembed.get_parameter("weight")
        return weight.detach()

    @property
    def dtype(self) -> torch.dtype:
        """The precision the model runs in."""
        return self.unembed.dtype

    def output(self, layer: int) -> Tensor:
        """W_O of each head, (H, dh, d)."""
        weight = self._projection(self._family.output, layer).get_parameter("weight").detach()
        joined = weight if self._family.transposed else weight.mT
        return joined.reshape(self.info.n_heads, self.info.d_head, self.info.d_model)

    # -- reading what heads read ------------------------------------------------------------------------------------

    def attend(self, prompts: Sequence[Prompt], layers: Sequence[int] | None = None) -> Attended:
        """Run prompts once and read all heads of the layers (by default all), in batches that fit the memory."""
        layers = range(self.info.n_layers) if layers is None else layers
        shape = (len(layers), len(prompts), self.info.d_head)
        dtype = self.unembed.dtype
        found = Attended(
            torch.empty(shape[0], self.info.n_heads, *shape[1:], dtype=dtype, device=self.device),
            torch.empty(shape[0], self.info.n_kv_heads, *shape[1:], dtype=dtype, device=self.device),
        )
        width = 4 * self.info.d_model + self.info.n_heads * self.info.d_head
        prefix = self._common(prompts)
        for places in self._batches(prompts, self._batch_size(prompts, 8 * width)):
            batch = _Batch([prompts[i] for i in places], len(prefix), self.device)
            with torch.no_grad():
                before = self._start(prefix, len(places))
                with self._read(layers, batch, places, found):
                    self.forward(batch.inputs(), before, use_cache=before is not None)
        return found

    @contextmanager
    def _read(self, layers: Sequence[int], batch: _Batch, places: Tensor, found: Attended) -> Iterator[None]:
        """Hooks that put what heads read into ``found``, at ``places`` of its prompts."""
        rows = torch.arange(len(places), device=self.device)

        def reads(i: int) -> Callable[..., None]:
            def hook(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
                z = arguments[0][:, -1].view(len(places), self.info.n_heads, self.info.d_head)
                found.in_context[i, :, places] = z.transpose(0, 1)

            return hook

        def values(i: int) -> Callable[..., None]:
            def hook(_module: nn.Module, _arguments: tuple[Tensor, ...], out: Tensor) -> None:
                found.of_source[i, :, places] = self._values(out[rows, batch.source]).transpose(0, 1)

            return hook

        with ExitStack() as hooks:
            for i, layer in enumerate(layers):
                output, value = (self._projection(name, layer) for name in (self._family.output, self._family.value))
                hooks.callback(output.register_forward_pre_hook(reads(i)).remove)
                hooks.callback(value.register_forward_hook(values(i)).remove)
            yield

    def _values(self, projected: Tensor) -> Tensor:
        """The values (B, G, dh) out of what the value projection gives, (B, *), which may hold Q and K as well."""
        rows = value_rows(self._family.packing, self.info.n_heads, self.info.n_kv_heads, self.info.d_head)
        return projected[:, rows].reshape(-1, self.info.n_kv_heads, self.info.d_head)

    # -- removing heads -----------------------------------------------------------------------------------------------

    def steps(self, prompts: Sequence[Prompt], most: int = 1) -> Iterator[Steps]:
        """Run all but the last token of the prompts once, batch by batch; each batch can then take its last step many
        times, with other heads removed each time, at most ``most`` times at once where the memory allows."""
        kept = 2 * self.info.n_layers * self.info.n_kv_heads * self.info.d_head
        prefix = self._common(prompts)
        # The keys and values, once more while the last token's are appended; and the logits of the last position.
        size = self._batch_size(prompts, 3 * kept, once=2 * self.info.vocab_size)
        for places in self._batches(prompts, size):
            inputs = _Batch([prompts[i] for i in places], len(prefix), self.device).inputs()
            at_once = max(1, min(most, size // len(places)))
            with torch.no_grad():
                cache = self._start(prefix, len(places))
                if inputs["input_ids"].shape[1] > 1:
                    before = {name: tensor[:, :-1] for name, tensor in inputs.items()}
                    cache = self.forward(before, cache).past_key_values
                if at_once > 1:
                    cache.batch_repeat_interleave(at_once)
            inputs = {name: tensor.repeat_interleave(at_once, dim=0) for name, tensor in inputs.items()}
            yield Steps(places, at_once, cache, inputs, self)

    def last_step(self, cache: Any, inputs: dict[str, Tensor], removed: Sequence[Iterable[HeadId]]) -> Tensor:
        """The likeliest next tokens (B, n) of B prompts that stand n times one after another, each time with other
        heads removed, after the last position ran on the keys and values of those before it."""
        with torch.no_grad(), self._without(removed):
            last = {name: inputs[name][:, -1:] for name in ("input_ids", "position_ids")}
            out = self.forward(inputs | last, cache)
            cache.crop(-1)
            likeliest: Tensor = self._unembed(out.last_hidden_state[:, -1]).argmax(dim=-1)
        return likeliest.view(-1, len(removed))

    @contextmanager
    def _without(self, removed: Sequence[Iterable[HeadId]]) -> Iterator[None]:
        """The model with heads' outputs zeroed at the last position, in row i those of ``removed[i % n]``."""
        kept = torch.ones(self.info.n_layers, len(removed), 1, self.info.n_heads, 1, device=self.device)
        for i, heads in enumerate(removed):
            for head in heads:
                kept[head.layer, i, :, head.head] = 0

        def zero(layer: int) -> Callable[..., tuple[Tensor, ...]]:
            def hook(_module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                z = arguments[0]
                by_head = z.view(-1, len(removed), 1, self.info.n_heads, self.info.d_head)
                return ((by_head * kept[layer].to(z.dtype)).view(z.shape), *arguments[1:])

            return hook

        with ExitStack() as hooks:
            for layer in {head.layer for heads in removed for head in heads}:
                output = self._projection(self._family.output, layer)
                hooks.callback(output.register_forward_pre_hook(zero(layer)).remove)
            yield

    # -- whole prompts ------------------------------------------------------------------------------------------------

    def padded(self, prompts: Sequence[Prompt]) -> dict[str, Tensor]:
        """Arguments that the model is called with for whole prompts in one batch, padded on the left."""
        return _Batch(prompts, 0, self.device).inputs()

    def whole(self, inputs: dict[str, Tensor], last: bool = False) -> Tensor:
        """The model's own logits at all positions, (B, T, V), or at the ``last`` alone, (B, 1, V)."""
        takes = inspect.signature(self.model.forward).parameters
        options = {name: tensor for name, tensor in inputs.items() if name in takes}
        keep = {"logits_to_keep": 1} if last and "logits_to_keep" in takes else {}
        logits: Tensor = self.model(**options, **keep, use_cache=False).logits
        return logits[:, -1:] if last else logits

    def by_head(self, z: Tensor) -> Tensor:
        """z of all heads side by side (B, T, H dh) as (B, T, H, dh)."""
        return z.view(*z.shape[:-1], self.info.n_heads, self.info.d_head)

    def output_projection(self, layer: int) -> nn.Module:
        """The module that reads all heads' z of a layer."""
        return self._projection(self._family.output, layer)

    def final_norm(self) -> nn.Module | None:
        """The module before the unembedding that reads the residual stream; None where the stream itself goes through
        norms or factors on its way there."""
        if self._family.carried or self._family.carried_on or self._family.final_norm in ("", "plain"):
            return None
        return self.backbone.get_submodule(self._family.final_norm)

    def norm_behind_attention(self, layer: int) -> nn.Module | None:
        """The norm that the attention of a layer writes through, if any."""
        name = self._family.after_attention
        return self._projection(name, layer) if name else None

    @property
    def residual_factor(self) -> float:
        """By which the model multiplies what a layer adds to the residual stream (Granite); 1 for most."""
        return float(getattr(self.model.config, "residual_multiplier", 1.0))

    # -- what all prompts begin with --------------------------------------------------------------------------------

    def _common(self, prompts: Sequence[Prompt]) -> list[int]:
        """The tokens that all prompts begin with, short of their sources and last tokens."""
        alike = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*(prompt.ids for prompt in prompts), strict=False))
        most = min((min(prompt.source, len(prompt.ids) - 1) for prompt in prompts), default=0)
        return [tokens[0] for tokens in alike][:most]

    def _start(self, prefix: list[int], n: int) -> Any:
        """The keys and values of a prefix, for n prompts that begin with it; None for an empty one. Run once."""
        if not prefix:
            return None
        if self._started is None or self._started[0] != prefix:
            out = self.forward({"input_ids": torch.tensor([prefix], device=self.device)}, None)
            self._started = (prefix, out.past_key_values)
        cache = copy.deepcopy(self._started[1])
        cache.batch_repeat_interleave(n)
        return cache

    # -- batches ------------------------------------------------------------------------------------------------------

    def layer(self, layer: int) -> nn.Module:
        """A decoder layer."""
        return self._parts.layer(layer)

    def value(self, layer: int) -> nn.Module:
        """The projection that makes the values of a layer, and may make queries and keys too."""
        return self._projection(self._family.value, layer)

    def _projection(self, name: str, layer: int) -> nn.Module:
        return self._parts.projection(name, layer)

    def forward(self, inputs: dict[str, Tensor], cache: Any, use_cache: bool = True) -> Any:
        """The layers run on inputs behind a cache of ``transformers``, without those inputs that this family does not
        take (ALiBi needs no positions)."""
        taken = {name: tensor for name, tensor in inputs.items() if name in self._takes}
        return self.backbone(**taken, past_key_values=cache, use_cache=use_cache)

    def _batch_size(self, prompts: Sequence[Prompt], per_token: int, once: int = 0) -> int:
        """How many prompts fit the memory, by the numbers held per token and once for each prompt."""
        free = torch.cuda.mem_get_info(self.device)[0] // 4 if self.device.type == "cuda" else BATCH_BYTES
        longest = max((len(prompt.ids) for prompt in prompts), default=1)
        held = self.unembed.element_size() * (longest * per_token + once)
        return int(max(1, min(LARGEST_BATCH, free // held)))

    def _batches(self, prompts: Sequence[Prompt], size: int) -> Iterator[Tensor]:
        """The places of the prompts in batches, those of like length together."""
        lengths = torch.tensor([len(prompt.ids) for prompt in prompts])
        yield from torch.split(lengths.argsort(stable=True), size) if len(prompts) else ()


@dataclass(frozen=True)
class Steps:
    """A batch of prompts, run up to its last token.

    Attributes:
        places: which of the prompts given they are.
        at_once: how many sets of heads can be removed in one go.
    """

    places: Tensor
    at_once: int
    _cache: Any
    _inputs: dict[str, Tensor]
    _runner: Runner

    def predict(self, removed: Sequence[Sequence[HeadId]]) -> Tensor:
        """The likeliest next token of each prompt (n, B) with each of at most ``at_once`` sets of heads removed at the
        last position."""
        filled = [*removed, *([()] * (self.at_once - len(removed)))]
        return self._runner.last_step(self._cache, self._inputs, filled).T[: len(removed)]


class _Batch:
    """Prompts without their common prefix, padded on the left to one length; padding is masked and counts for no
    position.

    Attributes:
        source: the place of each prompt's source in what follows the prefix.
    """

    def __init__(self, prompts: Sequence[Prompt], prefix: int, device: torch.device) -> None:
        longest = max(len(prompt.ids) for prompt in prompts)
        pad = [longest - len(prompt.ids) for prompt in prompts]
        rows = [[0] * n + list(prompt.ids[prefix:]) for n, prompt in zip(pad, prompts, strict=True)]
        self._ids = torch.tensor(rows, device=device)
        mask = [[1] * prefix + [0] * n + [1] * (longest - prefix - n) for n in pad]
        self._mask, self._prefix = torch.tensor(mask, device=device), prefix
        self.source = torch.tensor([n + p.source - prefix for n, p in zip(pad, prompts, strict=True)], device=device)

    def inputs(self) -> dict[str, Tensor]:
        """Arguments that the model is called with; the mask covers the prefix too."""
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)[:, self._prefix :]
        return {"input_ids": self._ids, "attention_mask": self._mask, "position_ids": positions}


def open_runner(model: str, info: ModelInfo, device: torch.device, dtype: torch.dtype) -> Runner:
    """Load MODEL to be run, in this precision. Raises `CheckpointError` when ``transformers`` cannot load it."""
    return Runner(able(load_network(model, dtype), dtype, info).to(device), info)


def able(loaded: PreTrainedModel, dtype: torch.dtype, info: ModelInfo) -> PreTrainedModel:
    """A loaded model, ready to run in this precision. Raises `CheckpointError` where it cannot."""
    if dtype == torch.float64:
        if loaded.config._attn_implementation == "eager":
            raise CheckpointError(f"transformers runs {info.name} in float32 only")
        if hasattr(loaded, "set_experts_implementation"):
            loaded.set_experts_implementation("eager")  # the others know no double precision
    return loaded
