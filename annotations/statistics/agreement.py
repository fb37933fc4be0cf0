"""Agreement between raters: raw, Krippendorff's alpha and Gwet's AC1, with any answers missing.

All three are ratios of sums over items, so a bootstrap over items reweights those sums and computes nothing twice.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Agreement", "Pairs", "agreement", "pairs_of"]

Floats = npt.NDArray[np.float64]


class Pairs(NamedTuple):
    """Terms of the coefficients: sums over items; with leading dimensions, those of many draws.

    Attributes:
        coincidences: (..., C, C) Krippendorff's matrix: pairs of answers to one item, each item's pairs together
            counting as much as its answers.
        agreeing: (...) the share of pairs that agree, summed over items with two answers or more.
        paired: (...) how many such items.
        shares: (..., C) the shares of the answers to an item, summed over items with one answer or more.
        rated: (...) how many such items.
    """

    coincidences: Floats
    agreeing: Floats
    paired: Floats
    shares: Floats
    rated: Floats


class Agreement(NamedTuple):
    """Three coefficients, NaN where they are not defined: without pairs, and alpha where all answers are the same."""

    raw: Floats
    alpha: Floats
    ac1: Floats


def pairs_of(counts: Any, weights: Any = None) -> Pairs:
    """Sum over items: ``counts`` (I, C) says how many raters gave each answer; ``weights`` (B, I) weighs the items."""
    n = np.asarray(counts, dtype=np.float64)
    weigh = np.ones(len(n)) if weights is None else np.asarray(weights, dtype=np.float64)
    answers = n.sum(axis=1)
    paired, rated = answers >= 2, answers >= 1
    others = np.where(paired, answers - 1, 1)
    per_item = (n[:, :, None] * n[:, None, :] - n[:, :, None] * np.eye(n.shape[1])) / others[:, None, None]
    agreeing = np.where(paired, np.einsum("icc->i", per_item) / np.where(rated, answers, 1), 0)
    shares = n / np.where(rated, answers, 1)[:, None]
    return Pairs(
        np.tensordot(weigh, np.where(paired[:, None, None], per_item, 0), axes=1),
        weigh @ agreeing,
        weigh @ paired.astype(np.float64),
        weigh @ shares,
        weigh @ rated.astype(np.float64),
    )


def agreement(pairs: Pairs, level: Literal["nominal", "ordinal"] = "nominal") -> Agreement:
    """Raw agreement, alpha and AC1 from sums over items.

    Raw agreement is the mean over items of the share of pairs that agree (Gwet's p_a). Alpha = 1 - D_o / D_e
    (Krippendorff 2011), for categories without order or, ``ordinal``, in the order of the columns; raw agreement and
    AC1 know no order. AC1 = (p_a - p_e) / (1 - p_e) with p_e = sum of pi (1 - pi) / (C - 1) (Gwet 2008), C counting the
    categories of the scale, used or not.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = pairs.agreeing / pairs.paired
        pi = pairs.shares / pairs.rated[..., None]
        chance = (pi * (1 - pi)).sum(axis=-1) / (pi.shape[-1] - 1)
        return Agreement(raw, _alpha(pairs.coincidences, level), (raw - chance) / (1 - chance))


def _alpha(observed: Floats, level: str) -> Floats:
    totals = observed.sum(axis=-1)
    n = totals.sum(axis=-1)
    expected = totals[..., :, None] * totals[..., None, :]  # the diagonal's "- n_c" is multiplied by a distance of 0
    distance = _ordinal(totals) if level == "ordinal" else 1 - np.eye(observed.shape[-1])
    disagreement, chance = (observed * distance).sum(axis=(-2, -1)), (expected * distance).sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha: Floats = 1 - (n - 1) * disagreement / np.where(chance > 0, chance, np.nan)
    return alpha


def _ordinal(totals: Floats) -> Floats:
    """Squared number of answers between two categories, half of either included: (..., C, C)."""
    middle = np.cumsum(totals, axis=-1) - totals / 2
    squared: Floats = (middle[..., :, None] - middle[..., None, :]) ** 2
    return squared
