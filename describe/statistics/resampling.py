"""The bootstrap: heads are a sample, and so are raters, with whom they are crossed.

Two answers about one head are alike, and so are two answers of one rater; a bootstrap of single answers takes them for
independent and comes out too narrow. The pigeonhole bootstrap (Owen 2007, doi:10.1214/07-AOAS122) draws heads with
replacement and, independently, raters with replacement; an answer counts as often as its head was drawn times as often
as its rater was. It is conservative: where neither heads nor raters differ, it is wider than it need be. With one
rater, or none, it is the common bootstrap over heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["DRAWS", "Resampling", "resample"]

Floats = npt.NDArray[np.float64]

DRAWS = 2000
"""Of a bootstrap, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """How often each head and each rater is in each draw.

    Attributes:
        heads: (B, I), rows sum to I.
        raters: (B, R), rows sum to R; all ones where there is one rater, of whom no variation can be drawn.
    """

    heads: Floats
    raters: Floats

    def total(self, cells: Floats) -> Floats:
        """Sums (B,) over ``cells`` (I, R), each cell as often as its head and its rater were drawn."""
        sums: Floats = np.einsum("br,br->b", self.heads @ cells, self.raters)
        return sums

    def by_rater(self, cells: Floats) -> Floats:
        """Sums (B, R) over the heads, as often as each was drawn."""
        return self.heads @ cells


def resample(n_heads: int, n_raters: int = 1, seed: int = 0, draws: int = DRAWS) -> Resampling:
    """Draw ``draws`` times from ``n_heads`` and ``n_raters``; the same seed gives the same draws."""
    random = np.random.default_rng(seed)
    return Resampling(_counts(random, n_heads, draws), _counts(random, n_raters, draws))


def _counts(random: np.random.Generator, n: int, draws: int) -> Floats:
    """How often each of n is in each draw, (draws, n)."""
    drawn = random.integers(0, n, (draws, n)) + n * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float64)
