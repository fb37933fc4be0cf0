"""How well probabilities tell true rows from others, and how surely: small exact statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Estimate", "auroc", "balanced_accuracy", "mean_over_heads", "mean_over_rows", "wilson"]

Z = 1.959963984540054
"""Of a 95 % interval."""

DRAWS, SEED = 2000, 0
"""Of a bootstrap."""

_ROUNDING = 1e-12


class Estimate(NamedTuple):
    """A value with its 95 % confidence interval."""

    value: float
    low: float
    high: float


def auroc(own: Sequence[float], others: Sequence[float]) -> Estimate:
    """The chance that one of the head's ``own`` rows is given a higher probability than one of ``others``; ties half.

    The interval is Newcombe's fifth (2006, Stat. Med. 25:559-573): all values from which the one seen lies no farther
    than 1.96 standard errors, which has the right coverage for few rows and does not shrink to a point at 0 and 1.
    """
    a, b = np.asarray(own)[:, None], np.asarray(others)[None, :]
    seen = float(((a > b) + 0.5 * (a == b)).mean())
    return Estimate(seen, 1 - _upper(1 - seen, a.size, b.size), _upper(seen, a.size, b.size))


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


def wilson(hits: float, n: int) -> Estimate:
    """The share of ``hits`` among ``n`` >= 1 independent ones, with Wilson's score interval (1927)."""
    share = hits / n
    middle, scale = share + Z**2 / (2 * n), 1 + Z**2 / n
    half = Z * (share * (1 - share) / n + Z**2 / (4 * n**2)) ** 0.5
    return Estimate(share, max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale))


def mean_over_heads(values: Sequence[float]) -> Estimate:
    """The mean over heads; the interval by a bootstrap over heads (percentiles of `DRAWS` draws)."""
    found = np.asarray(values, dtype=float)
    draws = np.random.default_rng(SEED).choice(found, (DRAWS, found.size)).mean(1)
    return Estimate(float(found.mean()), *_quantiles(draws))


def mean_over_rows(values: Sequence[float]) -> Estimate:
    """The mean over a head's rows, at least two, with Student's t interval."""
    from scipy.stats import t

    found = np.asarray(values, dtype=float)
    half = float(t.ppf(0.975, found.size - 1) * found.std(ddof=1) / found.size**0.5)
    return Estimate(float(found.mean()), float(found.mean()) - half, float(found.mean()) + half)


def _quantiles(draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _upper(seen: float, m: int, n: int) -> float:
    """The largest AUROC from which ``seen``, of m and n rows, is no farther away than 1.96 standard errors."""
    if seen >= 1 - _ROUNDING:
        return 1.0
    from scipy.optimize import brentq

    half = (m + n) / 2 - 1

    def beyond(true: float) -> float:
        variance = true * (1 - true) * (1 + half * (1 - true) / (2 - true) + half * true / (1 + true)) / (m * n)
        return float(true - seen - Z * variance**0.5)

    return float(brentq(beyond, max(seen, _ROUNDING), 1.0))  # 0 is a root too, where none was seen
