"""How well scores tell which descriptions people will accept, and how well they would by luck."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from describe.statistics import auroc

__all__ = ["SHUFFLES", "by_luck", "cross_validated"]

SHUFFLES = 200

FOLDS = 5
RIDGE = 1.0
"""Pulls every slope towards 0 with the weight of one description, so that many scores of few of them have one too."""

Floats = npt.NDArray[np.float64]


def by_luck(
    values: Floats,
    item: npt.NDArray[np.intp],
    yes: npt.NDArray[np.bool_],
    seed: int,
    ordered: Callable[[Floats], Floats],
) -> Floats:
    """AUROCs (`SHUFFLES`,) with which ``values`` (I, k) rank the answers ``yes`` (n,) on ``item`` (n,) after the
    ratings of the items were dealt out anew among them; ``ordered`` makes one height an item of values."""
    random = np.random.default_rng(seed)
    drawn = (ordered(values[random.permutation(len(values))]) for _ in range(SHUFFLES))
    return np.array([auroc(heights[item], yes)[0] for heights in drawn])


def cross_validated(values: Floats, shares: Floats, heads: npt.NDArray[np.intp], seed: int) -> Floats:
    """The height (I,) that scores ``values`` (I, k) give each item together, by what was seen of other heads alone.

    Ridge regression of the share of raters that accept an item, ``shares`` (I,), on its scores, each in units of its
    spread; five parts of the heads in turn are left out, and ranked. A score that is not there counts as the mean.
    Heights are relative to the mean of the other parts: the mean itself would rank a part low whose items fit.
    """
    part = (np.random.default_rng(seed).permutation(int(heads.max()) + 1) % FOLDS)[heads]
    found = np.zeros(len(values))
    for out in (part == k for k in range(FOLDS)):
        known = ~np.isnan(values)
        seen, there = values[~out], known[~out]
        count = np.maximum(there.sum(axis=0), 1)
        mean = np.where(there, seen, 0).sum(axis=0) / count
        spread = (np.where(there, seen - mean, 0) ** 2).sum(axis=0) / count
        scaled = np.where(known, values - mean, 0) / np.sqrt(np.where(spread > 0, spread, 1))
        left, right = scaled[~out], shares[~out] - shares[~out].mean()
        found[out] = scaled[out] @ np.linalg.solve(left.T @ left + RIDGE * np.eye(left.shape[1]), left.T @ right)
    return found
