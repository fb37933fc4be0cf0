"""The verdict on a description, in words, from all its scores: one table, read from the top."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from describe.head_record.scores import HeadlineScore
from describe.measures import Verdict

__all__ = ["verdict"]

P, CHANCE = 0.05, 0.5
"""Random heads bear out a description as well as its head no oftener than this; what says nothing scores so much."""

ByMeasure = Mapping[str, HeadlineScore]


def _borne_out(scores: ByMeasure) -> bool:
    """By the weights: words that were written by it, which no more than `P` of random heads do as well with."""
    p = scores["write"].p if "write" in scores else None
    return p is not None and p <= P


def _beyond_tokens(scores: ByMeasure) -> bool:
    """By rows, where the weights were not asked: beyond the tokens it names, or beyond what shared tokens tell."""
    if "write" in scores:
        return False
    told = [scores[name] for name in ("relation", "masked") if name in scores]
    if told:
        return any(_above(score, CHANCE if score.wrong is None else max(CHANCE, score.wrong)) for score in told)
    score = scores.get("detection")
    return score is not None and score.grouping is not None and _above(score, max(CHANCE, score.grouping))


def _tells_rows(scores: ByMeasure) -> bool:
    """Its head's rows are told from others, and nothing shows that by more than the tokens it names."""
    score = scores.get("detection")
    return score is not None and _above(score, CHANCE)


def _above(score: HeadlineScore, level: float) -> bool:
    return score.low is not None and score.low > level


RULES: Sequence[tuple[Verdict, Callable[[ByMeasure], bool]]] = (
    ("supported", _borne_out),
    ("supported", _beyond_tokens),
    ("names outputs only", _tells_rows),
    ("not supported", bool),
    ("not judged", lambda scores: True),
)
"""The first that holds is the verdict."""

JUDGING = ("write", "relation", "masked", "inputs", "detection")
"""Measures whose 0.5 is chance; whether descriptions agree says nothing of their truth, nor do bits without a level."""


def verdict(scores: Sequence[HeadlineScore]) -> Verdict:
    """The verdict by the newest score of each measure."""
    newest = {one.measure: one for one in sorted(scores, key=lambda one: one.scored) if one.measure in JUDGING}
    return next(words for words, holds in RULES if holds(newest))
