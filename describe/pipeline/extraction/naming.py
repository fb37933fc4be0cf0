"""Results of a layer as mappings of its heads: token ids with their text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from describe.pipeline.common import N_HELD_OUT, N_SALIENT
from describe.records import HeadId, HeadMapping, MappingRow, Target

if TYPE_CHECKING:
    import torch

    from describe.maps import LayerReading, SalientOperations

__all__ = ["named"]


def named(found: SalientOperations | LayerReading, head: HeadId, place: int, tokens: list[str]) -> HeadMapping:
    """One head's part of a layer's result, at its ``place`` there, token ids with their text."""
    from describe.maps import LayerReading

    if isinstance(found, LayerReading):
        from describe.pipeline.extraction.direct import direct_mapping

        return direct_mapping(found, head, place, tokens)

    def targets(ids: torch.Tensor, logits: torch.Tensor) -> list[tuple[Target, ...]]:
        rows = zip(ids[place].tolist(), logits[place].tolist(), strict=True)
        return [tuple(Target(t, tokens[t], z) for t, z in zip(*row, strict=True)) for row in rows]

    sources, saliency = found.sources[place].tolist(), found.saliency[place].tolist()
    promoted, suppressed = targets(found.targets, found.logits), targets(found.suppressed, found.suppressed_logits)
    columns = zip(sources, saliency, promoted, suppressed, strict=True)
    rows = tuple(MappingRow(source, tokens[source], *rest) for source, *rest in columns)
    last = N_SALIENT + N_HELD_OUT
    return HeadMapping(head, rows[:N_SALIENT], held_out=rows[N_SALIENT:last], sampled=rows[last:])
