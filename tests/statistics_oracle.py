"""The closed forms of the tails and corrections that scipy computes for us, written out in numpy."""

from __future__ import annotations

import numpy as np
from scipy.special import betaln, gammaln

__all__ = ["benjamini_hochberg", "beta_binomial_tail", "binomial_tail", "mean_over_heads", "poisson_binomial_tail"]


def binomial_tail(count: np.ndarray, n: int, p: np.ndarray) -> np.ndarray:
    """P(X >= count) for X ~ Binomial(n, p), T tests."""
    k = np.arange(n + 1)
    p = np.clip(p, 1e-300, 1 - 1e-15)[:, None]
    log_pmf = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + k * np.log(p) + (n - k) * np.log1p(-p)
    return np.minimum((np.exp(log_pmf) * (k >= count[:, None])).sum(1), 1.0)


def beta_binomial_tail(count: np.ndarray, n: int, mean: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """P(X >= count) for X ~ BetaBinomial(n, mean (1 - rho) / rho, (1 - mean) (1 - rho) / rho), T tests."""
    k = np.arange(n + 1)
    a, b = (share * (1 - rho) / rho for share in (mean, 1 - mean))
    log_pmf = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    log_pmf = log_pmf + betaln(k + a[:, None], n - k + b[:, None]) - betaln(a, b)[:, None]
    return np.minimum((np.exp(log_pmf) * (k >= count[:, None])).sum(1), 1.0)


def poisson_binomial_tail(chances: np.ndarray, count: np.ndarray) -> np.ndarray:
    """P(X >= count) for X the number of successes with these chances (T x n), one success after the other."""
    tests, n = chances.shape
    pmf = np.zeros((tests, n + 1))
    pmf[:, 0] = 1.0
    for chance in chances.T[..., None]:
        pmf = pmf * (1 - chance) + np.pad(pmf, ((0, 0), (1, 0)))[:, :-1] * chance
    return np.minimum((pmf * (np.arange(n + 1) >= count[:, None])).sum(1), 1.0)


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """The smallest p n / rank from each test on, from the largest p-value down."""
    order = np.argsort(p_values, kind="stable")[::-1]
    scaled = p_values[order] * len(p_values) / np.arange(len(p_values), 0, -1)
    q_values = np.empty_like(p_values)
    q_values[order] = np.minimum(np.minimum.accumulate(scaled), 1.0)
    return q_values


def mean_over_heads(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of the means of 2,000 draws of as many values."""
    draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
