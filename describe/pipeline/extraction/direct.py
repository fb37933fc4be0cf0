"""Heads by the reading ``direct``, layer by layer: own ones, and heads that stand in for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from describe.maps import HeadCoordinates, LayerReading, LayerView, RowCounts, own_heads, read_layer
from describe.maps.reading import DirectOperations
from describe.pipeline.common import N_DIRECT_TARGETS, N_HELD_OUT, N_SALIENT, N_SAMPLED, N_TARGETS, Progress, silent
from describe.pipeline.extraction.compute import Means, seeds_of
from describe.pipeline.extraction.views import layer_views
from describe.readings import Reading
from describe.records import ConstantPart, HeadId, HeadMapping, MappingRow, Target
from describe.weights import HeadWeights
from describe.weights.model import LayerWeights

__all__ = ["direct_layers", "direct_mapping", "read_views"]

COUNTS = RowCounts(N_SALIENT + N_HELD_OUT, N_SAMPLED, N_SALIENT, N_DIRECT_TARGETS)

MOST = 1 << 16
"""Heads that are read in a layer, at most."""

StandIns = Callable[[int, LayerView, LayerWeights], Iterable[HeadCoordinates]]
"""The heads that are read in a layer, over its view, from its own weights."""


def direct_layers(
    model: str,
    weights: HeadWeights,
    reading: Reading,
    layers: Sequence[int],
    means: Means,
    progress: Progress = silent,
) -> Iterator[tuple[int, LayerReading]]:
    """Each layer and its heads' rows and constant parts, on the CPU, in order."""

    def own(layer: int, view: LayerView, read: LayerWeights) -> Iterator[HeadCoordinates]:
        return own_heads(view, read, block=means.block)

    return read_views(model, weights, reading, layers, means, own, progress=progress)


def read_views(
    model: str,
    weights: HeadWeights,
    reading: Reading,
    layers: Sequence[int],
    means: Means,
    heads: StandIns,
    *,
    counts: RowCounts = COUNTS,
    progress: Progress = silent,
) -> Iterator[tuple[int, LayerReading]]:
    """Each layer and the rows and constant parts of whatever ``heads`` there are in it."""
    for layer, view in layer_views(model, weights, reading, layers, means, progress):
        found = heads(layer, view, weights.layer(layer))
        first = seeds_of(weights.info, layer).start
        yield layer, read_layer(view, found, counts, seeds=range(first, first + MOST), block=means.block)


def direct_mapping(found: LayerReading, head: HeadId, place: int, tokens: list[str]) -> HeadMapping:
    """One head's part of a layer, at its ``place`` there, token ids with their text.

    Rows by distinctness that suppress are of heads whose suppressed side stands out more. Held-out rows have as few
    targets as those of the paper's reading, and strengths for none.
    """
    rows = _rows(found.salient, place, tokens, (N_DIRECT_TARGETS, N_TARGETS))
    held_out = _rows(found.salient, place, tokens, (N_TARGETS, N_TARGETS), strengths=False)
    shown = N_SALIENT + N_HELD_OUT
    distinct, suppressing, constant = found.promoting, found.suppressing, found.constant
    outstanding = (
        distinct is not None
        and suppressing is not None
        and bool(suppressing.distinctness[place].mean() > distinct.distinctness[place].mean())
    )
    return HeadMapping(
        head,
        rows[:N_SALIENT],
        held_out=held_out[N_SALIENT:shown],
        sampled=held_out[shown:],
        distinct=() if distinct is None else _rows(distinct, place, tokens, (N_DIRECT_TARGETS, N_TARGETS)),
        suppressing=_rows(suppressing, place, tokens, (N_TARGETS, N_DIRECT_TARGETS))
        if outstanding and suppressing is not None
        else (),
        constant=None
        if constant is None
        else ConstantPart(
            _targets(tokens, constant.targets[place], constant.logits[place]),
            _targets(tokens, constant.suppressed[place], constant.suppressed_logits[place]),
            float(constant.share[place]),
        ),
    )


def _rows(
    found: DirectOperations, place: int, tokens: list[str], targets: tuple[int, int], *, strengths: bool = True
) -> tuple[MappingRow, ...]:
    """A head's rows, with so many promoted and suppressed targets of each."""
    up, down = targets
    return tuple(
        MappingRow(
            token_id=source,
            token=tokens[source],
            saliency=float(found.saliency[place, row]),
            targets=_targets(
                tokens,
                found.targets[place, row, :up],
                found.logits[place, row, :up],
                found.z[place, row, :up] if strengths else None,
            ),
            suppressed=_targets(
                tokens,
                found.suppressed[place, row, :down],
                found.suppressed_logits[place, row, :down],
                found.suppressed_z[place, row, :down] if strengths else None,
            ),
            distinctness=float(found.distinctness[place, row]) if strengths else None,
            variants=tuple(tokens[other] for other in found.variants[place][row]),
        )
        for row, source in enumerate(found.sources[place].tolist())
    )


def _targets(
    tokens: list[str], ids: torch.Tensor, logits: torch.Tensor, z: torch.Tensor | None = None
) -> tuple[Target, ...]:
    strengths = [None] * len(ids) if z is None else z.tolist()
    parts = zip(ids.tolist(), logits.tolist(), strengths, strict=True)
    return tuple(Target(token, tokens[token], logit, strength) for token, logit, strength in parts)
