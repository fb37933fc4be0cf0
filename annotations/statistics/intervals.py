"""The intervals of a study's figures, each with the name of its method."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from describe.statistics import middle

__all__ = ["Interval", "between"]

_LEAST_USABLE = 0.9  # of the draws: below, the interval would be one of the lucky draws


class Interval(NamedTuple):
    """From ``low`` to ``high``, by ``method``."""

    method: str
    low: float
    high: float


def between(draws: npt.NDArray[Any], method: str) -> Interval | str:
    """The middle 95 % of a statistic's bootstrap ``draws`` (B,), or in words why they say nothing.

    Draws that are not finite, because nothing that counts was drawn, are left out where they are few.
    """
    usable = draws[np.isfinite(draws)]
    if len(usable) < _LEAST_USABLE * len(draws):
        return "too few answers for a bootstrap: many draws have none that count"
    if np.ptp(usable) < 1e-12:
        return "no bootstrap interval: every draw is the same, since the answers do not vary"
    return Interval(method, *middle(usable))
