"""The power of a study for the difference between own and other heads' descriptions. Pure.

The share of "fits" on ``n`` items with ``r`` answers each has the variance p (1 - p) D / (n r), with the design effect
D = 1 + (r - 1) rho, since answers about one item are alike: rho is their intraclass correlation. With p = 1/2 on both
sides, where the variance is largest, the difference of both shares has the standard error

    se = sqrt(D / (4 r) (1 / n_own + 1 / n_other))

and a test at 5 %, two-sided, finds a difference d with the chance Phi(d / se - 1.96). Own and other descriptions of one
table are answered alike, and raters differ in how readily they say "fits": the first makes the true error smaller, the
second larger where raters judge different items, which the blocks prevent.
"""

from __future__ import annotations

from math import inf, sqrt
from statistics import NormalDist

__all__ = ["ALIKE", "WANTED", "power", "smallest_difference", "standard_error"]

ALIKE = 0.4
"""rho, the intraclass correlation of answers about one item, that is assumed."""

WANTED = 0.8
"""The power that a study should have for the difference that matters."""

_NORMAL = NormalDist()
_CRITICAL = _NORMAL.inv_cdf(0.975)


def standard_error(own: int, other: int, raters: int, alike: float = ALIKE) -> float:
    """The standard error of the difference, at its largest, of shares of so many items with so many raters each."""
    if not (own and other and raters):
        return inf
    effect = 1 + (raters - 1) * alike
    return sqrt(effect / (4 * raters) * (1 / own + 1 / other))


def power(difference: float, error: float) -> float:
    """The chance that a difference of shares is found at 5 %, two-sided, given its standard error."""
    return _NORMAL.cdf(difference / error - _CRITICAL)


def smallest_difference(error: float) -> float:
    """The difference of shares that is found with the chance `WANTED`; over 1 where none is."""
    return error * (_CRITICAL + _NORMAL.inv_cdf(WANTED))
