"""The k largest and the k smallest logits of each row, exactly, by way of a low precision.

The low precision says of nearly all entries that they are none of the k largest (`describe.maps.low_precision`). Those
that it leaves open are computed again, each by itself, and ranked by that: which precision looks first does not change
the result, and rounding, ties and tiny differences only leave more open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from describe.maps.blocks import BLOCK, Rows, in_blocks
from describe.maps.low_precision import CHUNK, Columns, Products, RoundedRows, Screen, cache_blocks, group_of, quickest

__all__ = ["Screening", "extreme_targets", "largest"]

WIDER = 2
"""How many numbers of a low precision take the place of one: the wider a block, the fewer entries come to be open."""

CROWDED = 16
"""One in so many entries of a block is the most that a precision may leave open of a row, before the next one looks."""


def extreme_targets(
    written: Tensor, unembed: Rows, k: int, numbers: int = BLOCK
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Over the vocabulary, for each row of ``written`` (m, d): the ids of the k largest logits and these, then the ids
    of the k smallest and these, each (m, k), the strongest first; equal ones by id.

    ``unembed``: U transposed, (V, d), moved to the device and precision of ``written`` block by block, of about
    ``numbers`` numbers. Where the rows are of G groups, as many of each, one after another: (V, G, d).
    """
    screening = Screening(written, k)

    def scan(block: slice) -> None:
        low = unembed.low[block] if isinstance(unembed, RoundedRows) else None
        screening.take(unembed[block].to(written), block.start, low)

    n_tokens, *of_token = unembed.shape
    width = max(len(written), math.prod(of_token))
    numbers_of_block = max(WIDER * numbers, 8 * CHUNK * width)
    in_blocks(n_tokens, width, scan, numbers=numbers_of_block, multiple=CHUNK)
    high, low = screening.highest, screening.lowest
    return high.ids, high.values, low.ids, -low.values


class Screening:
    """The k largest and k smallest products of each row of ``a`` (m, d) with rows that are taken in block by block.

    Attributes:
        highest: the k largest so far; ``lowest``: the k smallest, their sign turned.
        computed: how many entries were computed again.
    """

    def __init__(self, a: Tensor, k: int, screens: tuple[torch.dtype, ...] | None = None) -> None:
        """``screens``: the precisions to look in, each where the one before leaves too much open; by default the
        device's quickest and that of ``a``."""
        kinds = (quickest(a.device.type, a.dtype), a.dtype) if screens is None else screens
        self._a, self._k = a, k
        self._screens = [Screen(a, dtype) for dtype in dict.fromkeys(kinds)]
        nothing = a.new_empty(len(a), 0)
        self.highest = self.lowest = _Best(nothing, nothing.long())
        self.computed = 0

    def take(self, b: Tensor, start: int, low: Columns | None = None) -> None:
        """Take rows ``b`` in, whose ids begin at ``start``: all of them or, where memory ends, none.

        ``b``: (n, d), or (n, G, d) where the rows of ``a`` are of G groups, one after another, each with its own.
        ``low``: these in a low precision, if that is at hand.
        """
        sides = []
        for sign, best, (rows, columns) in zip((1, -1), (self.highest, self.lowest), self._open(b, low), strict=True):
            values = sign * self._exact(rows, columns, b)
            sides.append((best.merged(rows, start + columns, values, self._k), len(rows)))
        (self.highest, highest), (self.lowest, lowest) = sides
        self.computed += highest + lowest

    def _exact(self, rows: Tensor, columns: Tensor, b: Tensor) -> Tensor:
        """Products in full, (p,), each by itself, so that equal rows of ``b`` give equal ones."""
        values, flat = b.new_empty(len(rows)), b.reshape(-1, b.shape[-1])
        n_groups = len(flat) // len(b)
        columns = columns * n_groups + group_of(rows, len(self._a), n_groups)
        for part in cache_blocks(len(rows), flat):
            torch.sum(
                self._a.index_select(0, rows[part]).mul_(flat.index_select(0, columns[part])), dim=1, out=values[part]
            )
        return values

    def _open(self, b: Tensor, low: Columns | None) -> list[tuple[Tensor, Tensor]]:
        """The rows and columns of the entries that may be among the k largest, and the k smallest, row by row."""
        rows, n = torch.arange(len(self._a), device=b.device), len(b)
        found: list[list[tuple[Tensor, Tensor]]] = [[], []]
        for place, screen in enumerate(self._screens):
            of_b = Columns(b, screen.dtype) if low is None or low.rows.dtype != screen.dtype else low
            products = screen.look(of_b, None if place == 0 else rows)
            bests = (self.highest, self.lowest)
            sides = [
                _open(screen, products, sign, best.values[rows], self._k)
                for sign, best in zip((1, -1), bests, strict=True)
            ]
            crowded = rows.new_zeros(len(rows), dtype=torch.bool)
            if place + 1 < len(self._screens):
                for of, _ in sides:
                    crowded |= torch.bincount(of, minlength=len(rows)) * CROWDED > max(n, CROWDED * 2 * self._k)
            for side, (of, columns) in zip(found, sides, strict=True):
                kept = ~crowded[of]
                side.append((rows[of[kept]], columns[kept]))
            rows = rows[crowded]
            if not len(rows):
                break
        return [_in_order(side, n) for side in found]


def _open(screen: Screen, products: Products, sign: int, known: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Which products, or with ``sign`` -1 their negatives, may be among the k largest of their row, beside those that
    are ``known`` (r, k or fewer): rows and columns, row by row."""
    peaks = products.peaks(sign)
    bar = _bar(screen, known, peaks - products.reach, k)
    # What is not finite stays open, the way in which this is asked.
    row, chunk = (~(peaks + products.reach <= bar[:, None])).nonzero(as_tuple=True)
    entry, column = products.past(sign, row, chunk, bar[row])
    row = row[entry]
    value, off = products.at(row, column)
    value *= sign
    kept = _again(screen, known, row, (value - off, value + off), k)
    return row[kept], column[kept]


def _bar(screen: Screen, known: Tensor, sure: Tensor, k: int) -> Tensor:
    """The value (r,) above which a product may be one of the k largest: by k values known (r, k), or by one entry of
    each chunk, which is ``sure`` to be as large (r, chunks)."""
    if known.shape[1] == k:
        return screen.below(known[:, -1])
    if sure.shape[1] < k:
        return sure.new_full((len(sure),), -torch.inf)
    kth = screen.below(screen.below(sure.topk(k, dim=1).values[:, -1]))
    return torch.nextafter(kth, torch.full_like(kth, -torch.inf))


def _again(screen: Screen, known: Tensor, row: Tensor, bounds: tuple[Tensor, Tensor], k: int) -> Tensor:
    """Which entries (p,) stay open once each is known to be at least as large as the lower of its ``bounds``."""
    lower, upper = bounds
    if not len(row):
        return row.bool()
    _, wide, (place, _) = _Best(known, known.long()).beside(row, screen.below(lower))
    if wide.shape[1] < k:
        return torch.ones_like(row, dtype=torch.bool)
    return ~(upper < screen.below(wide.topk(k, dim=1).values[:, -1])[place])


@dataclass(frozen=True)
class _Best:
    """The k largest entries of each row so far: ``values`` from the largest down, ``ids``; (m, 0) before the first."""

    values: Tensor
    ids: Tensor

    def merged(self, rows: Tensor, ids: Tensor, values: Tensor, k: int) -> _Best:
        """With further entries (p,) taken in: of ascending ``rows``, and in a row of ascending ids above these."""
        if not len(rows):
            return self
        touched, wide, (row, column) = self.beside(rows, values)
        held = self.ids.shape[1]
        wide_ids = ids.new_zeros(wide.shape)
        wide_ids[:, :held], wide_ids[row, column] = self.ids[touched], ids
        found, where = largest(wide, k)
        found_ids = wide_ids.gather(1, where)
        if held < k:  # then all rows are touched, by equally many or by k at least
            return _Best(found, found_ids)
        return _Best(self.values.index_copy(0, touched, found), self.ids.index_copy(0, touched, found_ids))

    def beside(self, rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Entries (p,) of ascending rows behind the values of these rows: the rows, each once (r,); both side by side,
        filled up with -inf, (r, w); and in that the place of each entry."""
        touched, place, counts = torch.unique_consecutive(rows, return_inverse=True, return_counts=True)
        held = self.values.shape[1]
        column = held + torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[place]
        wide = self.values.new_full((len(touched), held + int(counts.max())), -torch.inf)
        wide[:, :held], wide[place, column] = self.values[touched], values
        return touched, wide, (place, column)


def _in_order(found: list[tuple[Tensor, Tensor]], width: int) -> tuple[Tensor, Tensor]:
    """Rows and columns, of ``width`` columns, row by row and in a row from the first column on."""
    rows, columns = (torch.cat(of) for of in zip(*found, strict=True))
    order = (rows * width + columns).argsort()
    return rows[order], columns[order]


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row (or all, where there are fewer) from the largest down, and their places; equal ones by
    place, which topk does not promise."""
    k = min(k, scores.shape[1])
    values, places = scores.topk(k, dim=1)
    tied = ((scores >= values[:, -1:]).sum(dim=1) > k).nonzero()[:, 0]
    places[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    places = places.sort(dim=1).values
    values, order = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order)
