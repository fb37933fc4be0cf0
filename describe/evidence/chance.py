"""Shares that random heads show, against which claims about one side of a head are held.

The sources that any head acts on most are alike, and so are the targets that it promotes: both lie close in the
embeddings. Random heads show how much of each property comes about in this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from describe.evidence.table import Table, commonest
from describe.evidence.vocabulary import Vocabulary
from describe.statistics import Scatter, beta_binomial, beta_binomial_tail, scatter, upper_tail

__all__ = ["Chance"]

Ids = NDArray[np.int_]
Floats = NDArray[np.float64]


class Chance:
    """How the claims that can be made about inputs, or about outputs, scatter between random heads.

    Args:
        tables: the random heads'.
        shared: hub tokens, which are no outputs of a head's own.
    """

    def __init__(self, vocabulary: Vocabulary, tables: Sequence[Table], shared: Ids) -> None:
        self._tables = tables
        sides = {
            "inputs": [table.sources for table in tables],
            "outputs": [table.distinct[~np.isin(table.distinct, shared)] for table in tables],
        }
        self._sides = {
            kind: scatter(np.array([vocabulary.has[ids].sum(0) for ids in each]), np.array([len(ids) for ids in each]))
            for kind, each in sides.items()
        }
        self._common = lru_cache(maxsize=None)(self._common_of)
        self._chances = lru_cache(maxsize=None)(self._chances_of)

    def of_side(self, kind: str, count: Ids, rows: int) -> tuple[Floats, Floats]:
        """Of each property the share that random heads show, and the chance that one shows as many of so many rows."""
        return self._sides[kind].mean, upper_tail(self._chances(kind, rows), count)

    def of_common(self, count: Ids, rows: int) -> tuple[Floats, Floats]:
        """Chances of the commonest targets by rank, last the rows that have most of them, out of so many rows."""
        of = self._common(rows, len(count))
        return of.mean, beta_binomial_tail(count, rows, of)

    def _chances_of(self, kind: str, rows: int) -> Floats:
        """Of each property the chance of every count out of so many rows."""
        return beta_binomial(rows, self._sides[kind])

    def _common_of(self, rows: int, ranks: int) -> Scatter:
        """Fewer rows have more in common: random heads are looked at on as many, their most salient ones."""
        found = []
        for table in (table.first(rows) for table in self._tables):
            _, count, in_set = commonest(table, ranks - 1)
            found.append([*count, *[0] * (ranks - 1 - len(count)), in_set])
        return scatter(np.array(found), np.array([len(table.first(rows).sources) for table in self._tables]))
