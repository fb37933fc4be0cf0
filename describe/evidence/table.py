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
    """A head's mapping as ids: ``sources`` n, ``targets`` n x t; ``distinct`` d, its targets each once; ``numbers`` n,
    which of the head's salient rows these are, from 1."""

    sources: Ids
    targets: Ids
    distinct: Ids
    numbers: Ids

    @classmethod
    def of(cls, mapping: HeadMapping) -> Table:
        numbers = [number for number, row in enumerate(mapping.salient, 1) if row.targets]
        rows = [mapping.salient[number - 1] for number in numbers]
        width = min((len(row.targets) for row in rows), default=0)
        targets = [[target.token_id for target in row.targets[:width]] for row in rows]
        ids = np.array(targets, dtype=np.int64).reshape(len(rows), width)
        sources = np.array([row.token_id for row in rows], dtype=np.int64)
        return cls(sources, ids, np.unique(ids), np.array(numbers, dtype=np.int64))

    def first(self, rows: int) -> Table:
        """The most salient rows alone."""
        targets = self.targets[:rows]
        return Table(self.sources[:rows], targets, np.unique(targets), self.numbers[:rows])

    def lines(self, shows: NDArray[np.bool_]) -> tuple[int, ...]:
        """The numbers of the rows of which something is true, ``shows`` n."""
        return tuple(self.numbers[shows].tolist())

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
