"""Intervals: Wilson's for a share of independent answers, and percentiles of a bootstrap's draws."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["CONFIDENCE", "DRAWS", "Interval", "between", "wilson"]

CONFIDENCE = 0.95
"""Of every interval."""

DRAWS = 2000
"""Of a bootstrap, unless told otherwise."""

_LEAST_USABLE = 0.9  # of the draws: below, the interval would be one of the lucky draws


class Interval(NamedTuple):
    """From ``low`` to ``high``, by ``method``."""

    method: str
    low: float
    high: float


def wilson(hits: int, n: int) -> Interval:
    """Wilson's score interval (1927) of ``hits`` among ``n`` >= 1 answers that are independent of each other."""
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(CONFIDENCE, method="wilson")
    return Interval("Wilson", float(found.low), float(found.high))


def between(draws: npt.NDArray[Any], method: str) -> Interval | str:
    """The middle 95 % of a statistic's bootstrap ``draws`` (B,), or in words why they say nothing.

    Draws that are not finite, because nothing that counts was drawn, are left out where they are few.
    """
    usable = draws[np.isfinite(draws)]
    if len(usable) < _LEAST_USABLE * len(draws):
        return "too few answers for a bootstrap: many draws have none that count"
    if np.ptp(usable) < 1e-12:
        return "no bootstrap interval: every draw is the same, since the answers do not vary"
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(usable, [tail, 1 - tail])
    return Interval(method, float(low), float(high))
