"""A head's mapping as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from describe.records import HeadMapping

__all__ = ["Table", "commonest"]

Ids = NDArray[np.int_]


@dataclass(frozen=True)
class Table:
    """A head's mapping as ids: ``sources`` n, ``targets`` n x t; ``distinct`` d, its targets each once."""

    sources: Ids
    targets: Ids
    distinct: Ids

    @classmethod
    def of(cls, mapping: HeadMapping) -> Table:
        rows = [row for row in mapping.salient if row.targets]
        width = min((len(row.targets) for row in rows), default=0)
        targets = [[target.token_id for target in row.targets[:width]] for row in rows]
        ids = np.array(targets, dtype=np.int64).reshape(len(rows), width)
        return cls(np.array([row.token_id for row in rows], dtype=np.int64), ids, np.unique(ids))

    def first(self, rows: int) -> Table:
        """The most salient rows alone."""
        return Table(self.sources[:rows], self.targets[:rows], np.unique(self.targets[:rows]))

    @property
    def most(self) -> int:
        """More than half of a row's targets."""
        return int(self.targets.shape[1]) // 2 + 1

    def row_counts(self) -> Ids:
        """In how many rows each of the distinct targets is."""
        counts: Ids = (self.targets[:, :, None] == self.distinct).any(1).sum(0)
        return counts


def commonest(table: Table, number: int) -> tuple[Ids, Ids, int]:
    """The commonest targets, in how many rows each is, and in how many rows are most of the first (as many as a row
    has)."""
    count = table.row_counts()
    first = np.argsort(-count, kind="stable")[:number]
    tokens = table.distinct[first]
    in_set = (np.isin(table.targets, tokens[: table.targets.shape[1]]).sum(1) >= table.most).sum()
    return tokens, count[first], int(in_set)
