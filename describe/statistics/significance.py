"""The tests behind every piece of evidence: tails, shuffles, effect size, false discovery rate.

scipy.stats takes half a second to import, so it is imported where a test is made.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Scatter",
    "benjamini_hochberg",
    "beta_binomial",
    "beta_binomial_tail",
    "binomial_tail",
    "cohens_h",
    "scatter",
    "shuffled_tail",
    "upper_tail",
]

Floats = NDArray[np.float64]

SHUFFLES, SEED = 2000, 0
"""Permutations of a head's rows, and the seed that makes them the same in every run."""


_LEAST_RHO = 1e-6
"""Below it, counts are binomial for all that can be seen."""


def cohens_h(share: Floats, expected: Floats) -> Floats:
    """Cohen's h, the distance of two shares on the arcsine scale: 0.2 is small, 0.5 medium, 0.8 large, pi the most."""
    h: Floats = 2 * np.arcsin(np.sqrt(share)) - 2 * np.arcsin(np.sqrt(expected))
    return h


def binomial_tail(count: NDArray[np.int_], n: NDArray[np.int_], p: Floats) -> Floats:
    """P(X >= count) for X ~ Binomial(n, p), exact, elementwise on arrays that broadcast."""
    from scipy.stats import binom

    tail: Floats = binom.sf(np.asarray(count) - 1, n, p)
    return tail


class Scatter(NamedTuple):
    """How counts scatter between heads: the ``mean`` share, and ``rho``, the correlation of any two rows of a head."""

    mean: Floats
    rho: Floats


def scatter(count: NDArray[np.int_], n: NDArray[np.int_]) -> Scatter:
    """The mean and correlation of T counts (D x T) out of n (D) each, by moments (Williams 1982, Appl. Stat. 31:144).

    rho is 0 where counts scatter no more than binomial ones. A count that is never seen gets half of one.
    """
    count, n = count[n > 0], n[n > 0, None]
    mean = (count.sum(0) + 0.5) / (n.sum() + 1)
    squares = ((count - n * mean) ** 2 / (n * mean * (1 - mean))).sum(0)
    rho = (squares - len(n)) / max((n - 1).sum(), 1)
    return Scatter(mean, np.clip(rho, _LEAST_RHO, 1 - _LEAST_RHO))


def beta_binomial(n: int, of: Scatter) -> Floats:
    """Chances of all counts, T x (n + 1): BetaBinomial(n, m (1 - rho) / rho, (1 - m) (1 - rho) / rho), m the mean."""
    from scipy.stats import betabinom

    a, b = (share[:, None] * (1 - of.rho[:, None]) / of.rho[:, None] for share in (of.mean, 1 - of.mean))
    chances: Floats = betabinom.pmf(np.arange(n + 1), n, a, b)
    return chances


def upper_tail(chances: Floats, count: NDArray[np.int_]) -> Floats:
    """P(X >= count), T, of `beta_binomial`'s chances. (Its own ``sf`` is 1 - cdf, and loses what is below 1e-16.)"""
    above = np.arange(chances.shape[1]) >= count[:, None]
    tails: Floats = np.minimum((chances * above).sum(1), 1.0)
    return tails


def beta_binomial_tail(count: NDArray[np.int_], n: int, of: Scatter) -> Floats:
    """P(X >= count) of T counts out of n that scatter so."""
    return upper_tail(beta_binomial(n, of), count)


def shuffled_tail(related: NDArray[np.bool_]) -> Floats:
    """How often shuffled rows show a relation as often as the rows as they are.

    Args:
        related: T x n x n; whether, in test t, the targets of row j stand in the relation to the source of row i.
            The diagonal is what the head does; the rest is what shuffling brings about.

    Returns T p-values. `SHUFFLES` permutations give p down to 1 / (`SHUFFLES` + 1). What none of them reaches gets the
    tail of as many independent rows with the same chances (Poisson-binomial; over sources or over targets, whichever
    is larger), which shuffled rows exceed by little: they draw without replacement.
    """
    n = related.shape[-1]
    observed = np.trace(related, axis1=1, axis2=2)
    order = np.random.default_rng(SEED).permuted(np.tile(np.arange(n), (SHUFFLES, 1)), axis=1)
    reached = np.array(
        [(test[np.arange(n), order].sum(1) >= seen).sum() for test, seen in zip(related, observed, strict=True)]
    )
    sampled = (1 + reached) / (1 + SHUFFLES)
    tails = (_poisson_binomial_tail(related.mean(axis), observed) for axis in (1, 2))
    return np.where(reached > 0, sampled, np.minimum(sampled, np.maximum(*tails)))


def benjamini_hochberg(p_values: Floats) -> Floats:
    """The q-value of each test: the smallest false discovery rate at which it is a discovery (Benjamini & Hochberg
    1995, J. R. Stat. Soc. B 57:289-300).
    """
    from scipy.stats import false_discovery_control

    q_values: Floats = false_discovery_control(p_values, method="bh")
    return q_values


def _poisson_binomial_tail(chances: Floats, count: NDArray[np.int_]) -> Floats:
    """P(X >= count) for X the number of successes with these chances (T x n), one test a row."""
    from scipy.stats import poisson_binom

    failures = chances.shape[1] - count  # so many at most: of successes, sf is 1 - cdf, and loses what is below 1e-16
    tail: Floats = poisson_binom.cdf(failures, 1 - chances)
    return tail
