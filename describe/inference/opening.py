"""Keys and values of an opening, which every token of a batch reads and none adds to."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

__all__ = ["OpeningCache"]


class OpeningCache(Cache):  # type: ignore[misc]
    """A cache of ``transformers`` that is filled by running an opening, layer by layer, and is then only read.

    Attributes:
        length: positions of the opening.
    """

    def __init__(self, n_layers: int, length: int) -> None:
        super().__init__(layers=[_OpeningLayer() for _ in range(n_layers)])
        self.length = length

    def filling(self, layer: int | None = None) -> None:
        """From now on a layer, by default each, takes in the opening."""
        for each in self.layers if layer is None else [self.layers[layer]]:
            each.before = 0

    def reading(self, layer: int | None = None) -> None:
        """From now on a layer, by default each, stands behind the opening, in batches of any size."""
        for each in self.layers if layer is None else [self.layers[layer]]:
            each.before = self.length

    def forget(self, layer: int) -> None:
        """Let go of a layer's keys and values."""
        self.layers[layer].keys = self.layers[layer].values = None


class _OpeningLayer(DynamicLayer):  # type: ignore[misc]
    """Full attention: masks of sliding windows hold over it as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.before = 0
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        if self.before == 0:
            self.keys, self.values = key_states, value_states
            return key_states, value_states
        keys, values = (
            torch.cat([kept.expand(len(new), *kept.shape[1:]), new], dim=-2)
            for kept, new in ((self.keys, key_states), (self.values, value_states))
        )
        return keys, values

    def get_seq_length(self) -> int:
        return self.before
