"""The figures of all heads of a model, without any LLM: which relate, copy or suppress words more than random heads do.

A cell is a source and one of its targets. It is related where the target is among the `NEAREST` tokens with the largest
cosine to the source by their embeddings, the mean embedding off, and is another word: not the source in other case or
spacing. A row copies where one of its targets is the source in whatever case and spacing. Any linear map sends the
sources that it acts on most to some near neighbours of theirs, so the shares are held against those of random heads
with the spectra of the model's own, read in the same way: p is the exact rank where a random head shows as much, else
the smaller of that rank's and the beta-binomial tail with the mean and scatter of the random heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from describe.figures import MAX_Q, MIN_COUNT, PARTS, FigurePart, HeadFigure
from describe.records import HeadMapping
from describe.statistics import Scatter, benjamini_hochberg, beta_binomial_tail, scatter
from describe.text import word_of

__all__ = [
    "NEAREST",
    "SETTINGS",
    "HeadRows",
    "Neighbours",
    "model_figures",
    "near_neighbours",
    "word_keys",
]

Ids = NDArray[np.int_]
Floats = NDArray[np.float64]

NEAREST = 100
"""Tokens that are near a source."""

TARGETS = 5
"""Targets of a row that are looked at, of those promoted and of those suppressed."""

BLOCK = 1 << 23
"""Numbers in the largest temporary."""

SETTINGS = {
    "version": 1,
    "nearest": NEAREST,
    "targets": TARGETS,
    "embeddings": "mean off",
    "max_q": MAX_Q,
    "min_count": MIN_COUNT,
}
"""Settings that figures depend on besides the rows and the random heads; kept with them."""


@dataclass(frozen=True)
class Neighbours:
    """The near neighbours of some tokens: ``near`` (S, k) token ids of each of the ``tokens`` (S), ascending."""

    tokens: Ids
    near: Ids

    def of(self, sources: Ids) -> Ids:
        """Those of each source (n), in the order of the sources, (n, k)."""
        found: Ids = self.near[np.searchsorted(self.tokens, sources)]
        return found


Embeddings = Callable[[slice], NDArray[np.float32]]
"""E of some of the tokens that count, by their places, (n, d)."""


def near_neighbours(embed: Embeddings, tokens: Ids, sources: Ids, nearest: int = NEAREST) -> Neighbours:
    """The tokens with the largest cosine to each source, itself aside; the mean embedding is taken off first.

    Args:
        embed: of the tokens that count.
        tokens: their ids, (n), ascending.
        sources: ids of the tokens asked about, of those; in whatever order and number.
    """
    wanted = np.unique(sources)
    size, places, k = len(tokens), np.searchsorted(tokens, wanted), min(nearest, len(tokens) - 1)
    if not (k > 0 and len(wanted)):
        return Neighbours(wanted, np.empty((len(wanted), 0), dtype=np.int64))
    step = max(4 * k, BLOCK // len(wanted))
    parts = [slice(start, min(start + step, size)) for start in range(0, size, step)]
    sums: list[Floats] = []
    rows: list[NDArray[np.float32]] = []
    for part in parts:
        vectors = embed(part)
        sums.append(vectors.sum(0, dtype=np.float64))
        rows.append(vectors[places[(places >= part.start) & (places < part.stop)] - part.start])
    mean = (np.sum(sums, axis=0) / size).astype(np.float32)
    own = _unit(np.concatenate(rows) - mean)
    best, near = np.empty((len(wanted), 0), dtype=np.float32), np.empty((len(wanted), 0), dtype=np.int64)
    for part in parts:
        cosine = own @ _unit(embed(part) - mean).T
        here = (places >= part.start) & (places < part.stop)
        cosine[here, places[here] - part.start] = -np.inf
        best = np.concatenate([best, cosine], axis=1)
        near = np.concatenate([near, np.broadcast_to(tokens[part], cosine.shape)], axis=1)
        if best.shape[1] > k:
            first = np.argpartition(-best, k - 1, axis=1)[:, :k]
            best, near = np.take_along_axis(best, first, axis=1), np.take_along_axis(near, first, axis=1)
    return Neighbours(wanted, near)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return found


def word_keys(tokens: Sequence[str]) -> Ids:
    """A number for the word of each token of a vocabulary, (V): the same for one word in other case or spacing."""
    numbers: dict[str, int] = {}
    words = map(word_of, tokens)
    return np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.int64)


class HeadRows(NamedTuple):
    """A head's rows as token ids: ``sources`` (n), and of each k targets ``promoted`` and ``suppressed``, (n, k)."""

    sources: Ids
    promoted: Ids
    suppressed: Ids

    @classmethod
    def of(cls, mapping: HeadMapping) -> HeadRows:
        """The salient rows of a head; -1 where a row has fewer targets than `TARGETS`."""
        rows = mapping.salient
        sides = [np.full((len(rows), TARGETS), -1, dtype=np.int64) for _ in range(2)]
        for i, row in enumerate(rows):
            for side, targets in zip(sides, (row.targets, row.suppressed), strict=True):
                ids = [target.token_id for target in targets[:TARGETS]]
                side[i, : len(ids)] = ids
        return cls(np.array([row.token_id for row in rows], dtype=np.int64), *sides)


def model_figures(own: Sequence[HeadRows], random: Sequence[HeadRows], keys: Ids, near: Neighbours) -> list[HeadFigure]:
    """The figure of each head of a model; the q-values are over all parts of all of them.

    Args:
        own: the rows of all heads there are.
        random: those of random heads, read in the same way.
        keys: of the vocabulary, as `word_keys` makes them.
        near: the neighbours of all sources.
    """
    shown, null = (_Shown.by(heads, keys, near) for heads in (own, random))
    p_values = null.p_values(shown)
    q_values = _corrected(p_values)
    expected, most = null.shares.mean(0), null.largest
    above = sum(_stands_out(null, place, p_values[1:]) for place in range(len(random)))

    def part(i: int, j: int) -> FigurePart:
        counts = int(shown.count[i, j]), int(shown.of[i, j])
        return FigurePart(*counts, *(float(x) for x in (expected[j], most[j], p_values[i, j], q_values[i, j])))

    return [
        HeadFigure("saliency", len(random), above, **{name: part(i, j) for j, name in enumerate(PARTS)})
        for i in range(len(own))
    ]


def _stands_out(null: _Shown, place: int, others: Floats) -> bool:
    """A random head shows something above the other random heads, tested together with heads of p-values ``others``."""
    one, rest = null.at([place]), null.at([i for i in range(len(null.count)) if i != place])
    beyond = (one.shares[0] > rest.largest) & (one.count[0] >= MIN_COUNT)
    if not beyond.any():
        return False
    q_values = _corrected(np.concatenate([rest.p_values(one), others]))[0]
    return bool((beyond & (q_values < MAX_Q)).any())


def _corrected(p_values: Floats) -> Floats:
    return benjamini_hochberg(p_values.ravel()).reshape(p_values.shape) if p_values.size else p_values


@dataclass(frozen=True)
class _Shown:
    """How many cells or rows of D heads show each of `PARTS`, ``count``, ``of`` how many there are; both (D, 4)."""

    count: Ids
    of: Ids

    @classmethod
    def by(cls, heads: Sequence[HeadRows], keys: Ids, near: Neighbours) -> _Shown:
        both = np.array([_counted(rows, keys, near) for rows in heads], dtype=np.int64).reshape(-1, 2, len(PARTS))
        return cls(both[:, 0], both[:, 1])

    def at(self, places: Sequence[int]) -> _Shown:
        """Those of some of the heads."""
        return _Shown(self.count[places], self.of[places])

    @cached_property
    def shares(self) -> Floats:
        """The share of each part in each head, 0 where there is nothing to look at."""
        found: Floats = self.count / np.maximum(self.of, 1)
        return found

    @property
    def largest(self) -> Floats:
        """The largest share of each part."""
        found: Floats = self.shares.max(0, initial=0.0)
        return found

    def p_values(self, shown: _Shown) -> Floats:
        """The chance of each part of other heads, ``shown``, to be seen in a head of these; never 0."""
        reached = (self.shares[None] >= shown.shares[:, None]).sum(1)
        rank = (1 + reached) / (1 + len(self.count))
        for j in range(len(PARTS) if len(self.count) else 0):
            chance, beyond = scatter(self.count[:, [j]], self.of[:, j]), reached[:, j] == 0
            for n in np.unique(shown.of[beyond, j]):
                places = np.flatnonzero(beyond & (shown.of[:, j] == n))
                tails = _tails(shown.count[places, j], int(n), chance)
                rank[places, j] = np.minimum(rank[places, j], tails)
        p_values: Floats = np.maximum(rank, np.finfo(np.float64).tiny)
        return p_values


def _tails(count: Ids, n: int, chance: Scatter) -> Floats:
    """P(X >= count) of each count."""
    seen, place = np.unique(count, return_inverse=True)
    repeated = Scatter(*(np.repeat(part, len(seen)) for part in chance))
    tails: Floats = beta_binomial_tail(seen, n, repeated)[place]
    return tails


def _counted(rows: HeadRows, keys: Ids, near: Neighbours) -> tuple[list[int], list[int]]:
    """How many cells or rows show each of `PARTS`, and how many there are."""
    count, of = [], []
    own, neighbours = keys[rows.sources][:, None], near.of(rows.sources)
    for targets in (rows.promoted[:, :TARGETS], rows.suppressed[:, :TARGETS]):
        there = targets >= 0
        same = there & (keys[targets] == own)
        related = there & ~same & (targets[:, :, None] == neighbours[:, None]).any(2)
        count += [int(related.sum()), int(same.any(1).sum())]
        of += [int(there.sum()), int(there.any(1).sum())]
    return count, of
