"""How well a score tells answers of yes from answers of no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from describe.statistics.intervals import Estimate, newcombe

__all__ = ["auroc", "auroc_of"]

Floats = npt.NDArray[np.float64]


def auroc(scores: Any, positive: Any, weights: Any = None) -> Floats:
    """The chance that a positive answer's score is above a negative one's, equal scores counting half (Mann and
    Whitney 1947): of n answers with ``scores`` and whether each is ``positive``, as often as ``weights`` (B, n) say.

    Returns B values, one without weights; NaN where there is no positive or no negative answer.
    """
    score, yes = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    weigh = np.ones((1, len(score))) if weights is None else np.asarray(weights, dtype=np.float64)
    _, place = np.unique(score, return_inverse=True)
    order = np.argsort(place, kind="stable")
    first = np.flatnonzero(np.diff(place[order], prepend=-1))
    if not len(score):
        return np.full(len(weigh), np.nan)
    for_yes, for_no = (np.add.reduceat((weigh * side)[:, order], first, axis=1) for side in (yes, ~yes))
    below = np.cumsum(for_no, axis=1) - for_no / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = (for_yes * below).sum(1) / (for_yes.sum(1) * for_no.sum(1))
    return found


def auroc_of(own: Sequence[float], others: Sequence[float]) -> Estimate:
    """The AUROC with which scores tell ``own`` rows from ``others``, one of either at least; Newcombe's interval."""
    scores, positive = [*own, *others], [True] * len(own) + [False] * len(others)
    return newcombe(float(auroc(scores, positive)[0]), len(own), len(others))
