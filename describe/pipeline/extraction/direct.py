"""Heads by the reading ``direct``, layer by layer: own ones, and heads that stand in for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from describe.maps import (
    DirectOperations,
    HeadsTogether,
    LayerReading,
    LayerView,
    RowCounts,
    WordOperations,
    own_heads,
    read_layer,
)
from describe.pipeline.common import N_DIRECT_TARGETS, N_HELD_OUT, N_SALIENT, N_SAMPLED, N_TARGETS, Progress, silent
from describe.pipeline.extraction.compute import Means, seeds_of
from describe.pipeline.extraction.jobs import Beside, StandIns
from describe.pipeline.extraction.views import layer_views
from describe.readings import Reading
from describe.records import ConstantPart, HeadId, HeadMapping, MappingRow, Target
from describe.weights import HeadWeights
from describe.weights.model import LayerWeights

__all__ = ["direct_layers", "direct_mapping", "read_views"]

COUNTS = RowCounts(N_SALIENT, N_HELD_OUT, N_SAMPLED, N_SALIENT, N_DIRECT_TARGETS)

MOST = 1 << 16
"""Heads that are read in a layer, at most."""


def direct_layers(
    model: str,
    weights: HeadWeights,
    reading: Reading,
    layers: Sequence[int],
    means: Means,
    progress: Progress = silent,
    beside: Beside | None = None,
) -> Iterator[tuple[int, LayerReading]]:
    """Each layer and its heads' rows and constant parts, on the CPU, in order."""

    def own(layer: int, view: LayerView, read: LayerWeights) -> Iterator[HeadsTogether]:
        if beside is not None and layer in beside.layers:
            beside.take(layer, _read(weights, layer, view, beside.heads, beside.counts, means))
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
        yield layer, _read(weights, layer, view, heads, counts, means)


def _read(
    weights: HeadWeights, layer: int, view: LayerView, heads: StandIns, counts: RowCounts, means: Means
) -> LayerReading:
    """The rows and constant parts of whatever ``heads`` there are in a layer."""
    found = heads(layer, view, weights.layer(layer))
    first = seeds_of(weights.info, layer).start
    return read_layer(view, found, counts, seeds=range(first, first + MOST), block=means.block)


def direct_mapping(found: LayerReading, head: HeadId, place: int, tokens: list[str]) -> HeadMapping:
    """One head's part of a layer, at its ``place`` there, token ids with their text.

    Rows by distinctness that suppress are of heads whose suppressed side stands out more. Held-out rows have as few
    targets as those of the paper's reading.
    """
    held_out = _rows(found.held_out, place, tokens, (N_TARGETS, N_TARGETS))
    distinct, suppressing, constant = found.promoting, found.suppressing, found.constant
    outstanding = (
        distinct is not None
        and suppressing is not None
        and bool(suppressing.distinctness[place].mean() > distinct.distinctness[place].mean())
    )
    return HeadMapping(
        head,
        _rows(found.salient, place, tokens, (N_DIRECT_TARGETS, N_TARGETS)),
        held_out=held_out[:N_HELD_OUT],
        sampled=held_out[N_HELD_OUT:],
        distinct=() if distinct is None else _rows(distinct, place, tokens, (N_DIRECT_TARGETS, N_TARGETS)),
        suppressing=_rows(suppressing, place, tokens, (N_TARGETS, N_DIRECT_TARGETS))
        if outstanding and suppressing is not None
        else (),
        constant=None
        if constant is None
        else ConstantPart(
            _targets(tokens, constant.targets[place].tolist(), constant.logits[place].tolist()),
            _targets(tokens, constant.suppressed[place].tolist(), constant.suppressed_logits[place].tolist()),
            float(constant.share[place]),
        ),
    )


def _rows(found: WordOperations, place: int, tokens: list[str], targets: tuple[int, int]) -> tuple[MappingRow, ...]:
    """A head's rows, with so many promoted and suppressed targets of each."""
    up, down = targets
    promoted, lowest = [found.targets, found.logits], [found.suppressed, found.suppressed_logits]
    of_rows = [found.sources, found.saliency]
    if isinstance(found, DirectOperations):
        promoted.append(found.z)
        lowest.append(found.suppressed_z)
        of_rows.append(found.distinctness)
    columns = (
        zip(*(column[place].tolist() for column in of_rows), strict=True),
        zip(*(column[place, :, :up].tolist() for column in promoted), strict=True),
        zip(*(column[place, :, :down].tolist() for column in lowest), strict=True),
        found.variants[place],
    )
    return tuple(
        MappingRow(
            token_id=source,
            token=tokens[source],
            saliency=saliency,
            targets=_targets(tokens, *high),
            suppressed=_targets(tokens, *low),
            distinctness=distinctness[0] if distinctness else None,
            variants=tuple(tokens[other] for other in variants),
        )
        for (source, saliency, *distinctness), high, low, variants in zip(*columns, strict=True)
    )


def _targets(
    tokens: list[str], ids: list[int], logits: list[float], z: list[float] | None = None
) -> tuple[Target, ...]:
    strengths: list[float | None] = [None] * len(ids) if z is None else [*z]
    parts = zip(ids, logits, strengths, strict=True)
    return tuple(Target(token, tokens[token], logit, far) for token, logit, far in parts)
