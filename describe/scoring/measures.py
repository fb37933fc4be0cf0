"""Figures of a judge's probabilities and bits: of one description's rows, and over the heads of a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from describe.records import MappingRow
from describe.statistics import CONFIDENCE, Estimate, middle, resample, wilson

__all__ = ["balanced_accuracy", "grouping", "mean_over_heads", "mean_over_rows"]


def grouping(rows: Sequence[MappingRow]) -> list[float]:
    """How much each row shares its targets with the others: the sum of Jaccard's coefficients.

    A program's guess at the largest group among the rows, without any description: what detection must beat.
    """
    targets = [{target.token_id for target in row.targets} for row in rows]

    def shared(one: set[int], other: set[int]) -> float:
        return len(one & other) / len(one | other) if one or other else 0.0

    return [sum(shared(one, other) for j, other in enumerate(targets) if j != i) for i, one in enumerate(targets)]


SEED = 0
"""Of the bootstrap over heads."""


def balanced_accuracy(own: Sequence[float], others: Sequence[float]) -> Estimate:
    """The mean of the shares of own rows given more than one half, and of others given less; one half counts half.

    The interval joins the Wilson intervals of both shares (MOVER; Zou & Donner 2008, Stat. Med. 27:1693-1702).
    """
    shares = []
    for probabilities, sign in ((own, 1), (others, -1)):
        above = sign * (np.asarray(probabilities) - 0.5)
        shares.append(wilson(float(((above > 0) + 0.5 * (above == 0)).sum()), above.size))
    value = sum(share.value for share in shares) / 2
    down, up = (sum((s.value - s[end]) ** 2 for s in shares) ** 0.5 / 2 for end in (1, 2))
    return Estimate(value, value - down, value + up)


def mean_over_heads(values: Sequence[float]) -> Estimate:
    """The mean over heads, with the interval of a bootstrap over heads."""
    found = np.asarray(values, dtype=float)
    draws = resample(found.size, seed=SEED).heads @ found / found.size
    return Estimate(float(found.mean()), *middle(draws))


def mean_over_rows(values: Sequence[float]) -> Estimate:
    """The mean over a head's rows, at least two, with Student's t interval."""
    from scipy.stats import t

    found = np.asarray(values, dtype=float)
    mean, error = float(found.mean()), float(found.std(ddof=1)) / found.size**0.5
    half = float(t.ppf((1 + CONFIDENCE) / 2, found.size - 1)) * error
    return Estimate(mean, mean - half, mean + half)
