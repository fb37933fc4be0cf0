"""Queries and keys of single tokens, as the attention of a running model makes them of given source vectors.

The model's own modules do it, whatever the family: projections, biases, norms of queries and keys, rotary positions and
the factor in front of the logits. A layer's attention is given the vectors in the place of what it reads, and what it
would multiply is taken from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from describe.errors import CheckpointError
from describe.inference.attention.patterns import PatternReader
from describe.inference.layerwise import LayerCall, LayerwiseModel
from describe.inference.loading import Parts, load_network
from describe.inference.opening import OpeningCache
from describe.inference.running import Runner
from describe.records import ModelInfo

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["QueriesAndKeys", "QueryKeyReader", "open_query_key_reader"]

IMPLEMENTATION = "headscribe_query_key"
"""The name under which ``transformers`` finds what notes queries and keys."""

TOGETHER = 1 << 12
"""Tokens at once."""


@dataclass(frozen=True)
class QueriesAndKeys:
    """Of n tokens at T places each: ``query`` (n, T, H, dh), scaled, and ``key`` (n, T, H, dh), a group's repeated."""

    query: Tensor
    key: Tensor


class _Noted(Exception):  # noqa: N818  (no error: all is known that was asked)
    """Ends an attention with its queries (B, H, T, dh), keys (B, G, T, dh) and the factor of its logits."""

    def __init__(self, query: Tensor, key: Tensor, scaling: float) -> None:
        super().__init__()
        self.query, self.key, self.scaling = query, key, scaling


def _note(module: nn.Module, query: Tensor, key: Tensor, *_: object, **options: object) -> None:
    scaling = options.get("scaling")
    if scaling is None:
        scaling = getattr(module, "scaling", None)
    raise _Noted(query, key, float(scaling) if isinstance(scaling, int | float) else query.shape[-1] ** -0.5)


class QueryKeyReader:
    """A causal model whose attention can be asked for queries and keys. Made by `open_query_key_reader`.

    Attributes:
        patterns: the same model, whose attention on text can be seen.
    """

    def __init__(self, model: PreTrainedModel, info: ModelInfo) -> None:
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        ALL_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, _note)
        self.info, self._parts = info, Parts(model, info.family)
        self.patterns = PatternReader(model, info)
        self._layers = LayerwiseModel(Runner(model, info))
        self._calls: dict[int, list[LayerCall]] = {}

    def read(self, layer: int, vectors: Tensor, places: int = 1) -> QueriesAndKeys:
        """Queries and keys of source vectors (n, d), each at the places 0 to T - 1.

        Raises `CheckpointError` where ``transformers`` computes the attention of the family in its own way.
        """
        found = [self._read(layer, part, places) for part in torch.split(vectors, max(1, TOGETHER // places))]
        return QueriesAndKeys(torch.cat([one.query for one in found]), torch.cat([one.key for one in found]))

    def _read(self, layer: int, vectors: Tensor, places: int) -> QueriesAndKeys:
        if places not in self._calls:
            with torch.no_grad():
                ids = torch.zeros(1, places, dtype=torch.long, device=self._layers.device)
                self._calls[places] = self._layers.calls(ids, OpeningCache(self.info.n_layers, 0))
        call, module = self._calls[places][layer], self._parts.layer(layer)
        given = vectors.to(self._layers.device, self._layers.dtype)[:, None].expand(-1, places, -1).contiguous()
        try:
            with torch.no_grad(), self._noting(layer, given):
                call(module, given)
        except (RuntimeError, ValueError):  # of one that checks what it is called with for itself
            pass
        except _Noted as noted:
            key = noted.key.repeat_interleave(noted.query.shape[1] // noted.key.shape[1], dim=1)
            query = noted.query * noted.scaling
            return QueriesAndKeys(query.transpose(1, 2), key.transpose(1, 2))
        raise CheckpointError(
            f"transformers computes the attention of the family {self.info.family} in a way that does not tell its"
            " queries and keys: --qk cannot read it"
        )

    @contextmanager
    def _noting(self, layer: int, given: Tensor) -> Iterator[None]:
        """The layer's attention reads these vectors (n, T, d) whatever it is called with, and notes what it makes."""
        attention = self._parts.attention(layer)
        config = getattr(attention, "config", None)
        before = getattr(config, "_attn_implementation", None)

        def replaced(
            _module: nn.Module, arguments: tuple[object, ...], options: dict[str, object]
        ) -> tuple[tuple[object, ...], dict[str, object]]:
            if "hidden_states" in options:
                return arguments, options | {"hidden_states": given}
            return (given, *arguments[1:]), options

        hook = attention.register_forward_pre_hook(replaced, with_kwargs=True)
        try:
            if config is not None:
                config._attn_implementation = IMPLEMENTATION
            yield
        finally:
            hook.remove()
            if config is not None:
                config._attn_implementation = before


def open_query_key_reader(model: str, info: ModelInfo, device: torch.device, dtype: torch.dtype) -> QueryKeyReader:
    """Load MODEL to be asked. Raises `CheckpointError` when ``transformers`` cannot load it."""
    return QueryKeyReader(load_network(model, dtype, attn_implementation="eager").to(device), info)
