"""Jobs for an engine: which layers of which model to compute, and how its weights are opened where that happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from describe.readings import PAPER, Reading
from describe.records import ModelInfo

if TYPE_CHECKING:
    from describe.maps import HeadsTogether, LayerReading, LayerView, RowCounts
    from describe.weights import HeadWeights
    from describe.weights.model import LayerWeights

__all__ = ["Beside", "Job", "Opener", "RankJob", "StandIns", "opener"]

Opener = Callable[[str], "HeadWeights"]

StandIns = Callable[[int, "LayerView", "LayerWeights"], Iterable["HeadsTogether"]]
"""The heads that are read in a layer, over its view, from its own weights."""


@dataclass(frozen=True)
class Beside:
    """Other heads to be read in the same layers, while the tokens stand there.

    Attributes:
        layers: in which there are any.
        heads: those of a layer; ``counts``: how many rows of each.
        take: given each layer of them, before that layer's own heads are handed on.
    """

    layers: frozenset[int]
    heads: StandIns
    counts: RowCounts
    take: Callable[[int, LayerReading], None]


@dataclass(frozen=True)
class Job:
    """Layers of a model to compute: MODEL, what it must turn out to be, which layers, by which reading, and which other
    heads besides."""

    model: str
    info: ModelInfo
    layers: tuple[int, ...]
    reading: Reading = field(default=PAPER, kw_only=True)
    beside: Beside | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class RankJob(Job):
    """Layers of a model in which to rank targets.

    Attributes:
        triples: source, target and k of each pair.
        first_mlp: sources are read through the first MLP in all layers but the first; else nowhere.
    """

    triples: tuple[tuple[int, int, int], ...]
    first_mlp: bool


def opener() -> Opener:
    """An opener of models that keeps a few open: all are looked at before the first is computed."""
    from describe.weights import open_model

    return lru_cache(maxsize=4)(open_model)
