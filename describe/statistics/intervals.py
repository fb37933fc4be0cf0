"""Confidence intervals: of a share, of an AUROC, and from the draws of a bootstrap."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["CONFIDENCE", "Estimate", "Z", "middle", "newcombe", "wilson"]

CONFIDENCE = 0.95
"""Of every interval."""

Z = 1.959963984540054
"""So many standard errors on either side are such an interval of a normal variable."""

_ROUNDING = 1e-12


class Estimate(NamedTuple):
    """A value with its 95 % confidence interval."""

    value: float
    low: float
    high: float


def wilson(hits: float, n: int) -> Estimate:
    """The share of ``hits`` among ``n`` >= 1 that are independent of each other, with Wilson's score interval (1927).

    scipy's takes whole hits only; here a tie may count half.
    """
    share = hits / n
    middle, scale = share + Z**2 / (2 * n), 1 + Z**2 / n
    half = Z * (share * (1 - share) / n + Z**2 / (4 * n**2)) ** 0.5
    return Estimate(share, max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale))


def newcombe(auroc: float, m: int, n: int) -> Estimate:
    """An AUROC of m positive and n negative answers with Newcombe's fifth interval (2006, Stat. Med. 25:559-573).

    It holds all values from which the one seen lies no farther than 1.96 standard errors, which has the right coverage
    for few answers and does not shrink to a point at 0 and 1.
    """
    return Estimate(auroc, 1 - _upper(1 - auroc, m, n), _upper(auroc, m, n))


def middle(draws: npt.NDArray[Any]) -> tuple[float, float]:
    """The interval that holds the middle 95 % of the ``draws`` (B,) of a bootstrap."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _upper(seen: float, m: int, n: int) -> float:
    """The largest AUROC from which ``seen``, of m and n answers, is no farther away than 1.96 standard errors."""
    if seen >= 1 - _ROUNDING:
        return 1.0
    from scipy.optimize import brentq

    half = (m + n) / 2 - 1

    def beyond(true: float) -> float:
        variance = true * (1 - true) * (1 + half * (1 - true) / (2 - true) + half * true / (1 + true)) / (m * n)
        return float(true - seen - Z * variance**0.5)

    return float(brentq(beyond, max(seen, _ROUNDING), 1.0))  # 0 is a root too, where none was seen


def difference(one: tuple[int, int], other: tuple[int, int]) -> Estimate:
    """The difference of two shares, each as (k, n), with the interval that joins their Wilson intervals (Newcombe 1998,
    Stat. Med. 17:873-890, method 10)."""
    a, b = wilson(*one), wilson(*other)
    value = a.value - b.value
    down = ((a.value - a.low) ** 2 + (b.high - b.value) ** 2) ** 0.5
    up = ((a.high - a.value) ** 2 + (b.value - b.low) ** 2) ** 0.5
    return Estimate(value, value - down, value + up)
