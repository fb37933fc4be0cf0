"""Static against dynamic scores: Pearson's r over all heads and templates (MAPS)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from describe.check_records import DynamicHits, HitCounts
from describe.records import HeadId, OperationScores

__all__ = ["Correlation", "Pearson", "correlations", "points"]

Side = Literal["relation", "suppression"]


@dataclass(frozen=True)
class Pearson:
    """A correlation and its two-sided p-value; both None where a side does not vary."""

    r: float | None
    p: float | None


@dataclass(frozen=True)
class Correlation:
    """How an operation's static scores go with what heads do while the model runs.

    Attributes:
        side: whether relation or suppression scores are compared.
        sources: of one token, or of several.
        pairs: how many pairs the dynamic scores are over; ``points``: heads times templates.
        largest: the largest static score of these heads.
        of_source: against the head's output as if it attended to the source alone; ``in_context``: as it attends.
    """

    operation: str
    category: str
    side: Side
    sources: Literal["single", "multi"]
    k: int
    pairs: int
    points: int
    largest: float
    of_source: Pearson
    in_context: Pearson


def correlations(
    static: OperationScores, dynamic: DynamicHits, sources: Literal["single", "multi"], heads: Sequence[HeadId]
) -> list[Correlation]:
    """Relation and suppression scores of these heads against their dynamic scores in every template."""
    found = []
    places = np.array([head.layer for head in heads]), np.array([head.head for head in heads])
    for side, scores, name in _sides(static):
        chosen = np.array(scores)[places]
        of_source, in_context = (
            _pearson(chosen, _counts(hits, name, places)) for hits in (dynamic.of_source, dynamic.in_context)
        )
        found.append(
            Correlation(
                operation=static.name,
                category=static.category,
                side=side,
                sources=sources,
                k=dynamic.k,
                pairs=dynamic.pairs,
                points=len(heads) * len(dynamic.templates),
                largest=float(chosen.max()),
                of_source=of_source,
                in_context=in_context,
            )
        )
    return found


def points(static: OperationScores, dynamic: DynamicHits, side: Side) -> list[dict[str, Any]]:
    """The table of `correlations`, a row per template and head: ``template``, ``layer``, ``head``, ``static`` score,
    and the dynamic ones ``without_context`` and ``with_context``."""
    scores, name = next((scores, name) for known, scores, name in _sides(static) if known == side)
    return [
        {
            "template": template,
            "layer": layer,
            "head": head,
            "static": score,
            "without_context": getattr(of_source, name)[layer][head] / dynamic.pairs,
            "with_context": getattr(in_context, name)[layer][head] / dynamic.pairs,
        }
        for template, of_source, in_context in zip(
            dynamic.templates, dynamic.of_source, dynamic.in_context, strict=True
        )
        for layer, row in enumerate(scores)
        for head, score in enumerate(row)
    ]


def _sides(
    static: OperationScores,
) -> tuple[tuple[Side, tuple[tuple[float, ...], ...], str], ...]:
    return ("relation", static.scores, "promoted"), ("suppression", static.suppression, "suppressed")


def _counts(templates: Iterable[HitCounts], side: str, places: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Hits (T, heads) of the heads at these layers and columns: r is the same for counts as for shares."""
    return np.array([np.array(getattr(hits, side))[places] for hits in templates], dtype=float)


def _pearson(static: np.ndarray, dynamic: np.ndarray) -> Pearson:
    from scipy.stats import pearsonr

    repeated = np.tile(static, len(dynamic))
    if len(repeated) < 3 or np.ptp(repeated) == 0 or np.ptp(dynamic) == 0:
        return Pearson(None, None)
    found = pearsonr(repeated, dynamic.ravel())
    return Pearson(float(found.statistic), float(found.pvalue))
