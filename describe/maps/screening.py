"""The k largest and the k smallest logits of each row, exactly, by way of a low precision.

A product of rounded vectors differs from that of the vectors as they are, both computed in any order of d summands, by
at most

    |a~ b~ - a b| <= |a - a~| |b| + |a~| |b - b~| + g |a| |b|,      g = 2 d u, u the unit of rounding of the sums

(Cauchy-Schwarz), each norm known. So the low precision says of nearly all entries that they are none of the k largest.
Those that it leaves open are computed again, each by itself, and ranked by that: which precision looks first does not
change the result, and rounding, ties and tiny differences only leave more open.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from describe.maps.blocks import BLOCK, Rows, blocks, in_blocks

__all__ = ["Screening", "extreme_targets", "largest", "quickest"]

CHUNK = 64
"""Entries whose largest is looked at before any single one."""

WIDER = 2
"""How many numbers of a low precision take the place of one: the wider a block, the fewer entries come to be open."""

IN_CACHE = 1 << 17
"""Numbers that a processor's cache holds beside others."""

CROWDED = 16
"""One in so many entries of a block is the most that a precision may leave open of a row, before the next one looks."""

TILE = (256, 1024)
"""The product by which the quickest precision is found."""

SLACK = 1.001
"""By how much norms are taken too large: more than their own rounding."""

HUGE = 1e37
"""A product of norms from which on sums might not be finite."""

TINY = 1e-18
"""A smaller norm may have come out as 0, its squares being none any more: none is taken smaller."""


def extreme_targets(
    written: Tensor, unembed: Rows, k: int, numbers: int = BLOCK
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Over the vocabulary, for each row of ``written`` (m, d): the ids of the k largest logits and these, then the ids
    of the k smallest and these, each (m, k), the strongest first; equal ones by id.

    ``unembed``: U transposed, (V, d), moved to the device and precision of ``written`` block by block, of about
    ``numbers`` numbers.
    """
    screening = Screening(written, k)

    def scan(block: slice) -> None:
        screening.take(unembed[block].to(written), block.start)

    width = max(written.shape)
    numbers_of_block = max(WIDER * numbers, 8 * CHUNK * width)
    in_blocks(unembed.shape[0], width, scan, numbers=numbers_of_block, multiple=CHUNK)
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
        self._screens = [_Screen(a, dtype) for dtype in dict.fromkeys(kinds)]
        nothing = a.new_empty(len(a), 0)
        self.highest = self.lowest = _Best(nothing, nothing.long())
        self.computed = 0

    def take(self, b: Tensor, start: int) -> None:
        """Take rows ``b`` (n, d) in, whose ids begin at ``start``: all of them or, where memory ends, none."""
        sides = []
        for sign, best, (rows, columns) in zip((1, -1), (self.highest, self.lowest), self._open(b), strict=True):
            values = sign * self._exact(rows, columns, b)
            sides.append((best.merged(rows, start + columns, values, self._k), len(rows)))
        (self.highest, highest), (self.lowest, lowest) = sides
        self.computed += highest + lowest

    def _exact(self, rows: Tensor, columns: Tensor, b: Tensor) -> Tensor:
        """Products in full, (p,), each by itself, so that equal rows of ``b`` give equal ones."""
        values = b.new_empty(len(rows))
        for part in blocks(len(rows), b.shape[1], IN_CACHE if b.device.type == "cpu" else BLOCK):
            torch.sum(
                self._a.index_select(0, rows[part]).mul_(b.index_select(0, columns[part])), dim=1, out=values[part]
            )
        return values

    def _open(self, b: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The rows and columns of the entries that may be among the k largest, and the k smallest, row by row."""
        rows = torch.arange(len(self._a), device=b.device)
        found: list[list[tuple[Tensor, Tensor]]] = [[], []]
        for place, screen in enumerate(self._screens):
            sides = screen.open(rows, b, (self.highest, self.lowest), self._k)
            crowded = rows.new_zeros(len(rows), dtype=torch.bool)
            if place + 1 < len(self._screens):
                for of, _ in sides:
                    crowded |= torch.bincount(of, minlength=len(rows)) * CROWDED > max(len(b), CROWDED * 2 * self._k)
            for side, (of, columns) in zip(found, sides, strict=True):
                kept = ~crowded[of]
                side.append((rows[of[kept]], columns[kept]))
            rows = rows[crowded]
            if not len(rows):
                break
        return [_in_order(side) for side in found]


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


class _Screen:
    """The rows of ``a`` in one precision, and how far products may be off in it."""

    def __init__(self, a: Tensor, dtype: torch.dtype) -> None:
        self._rows = a.to(dtype)
        self._length = _norms(a)
        self._lost = _norms(a - self._rows.to(a.dtype))
        sums = torch.promote_types(dtype, torch.float32)
        self._sums = (a.shape[1] + 16) * torch.finfo(sums).eps  # of the sums here, and of those computed again
        self._unit = torch.finfo(dtype).eps / 2 if dtype != a.dtype else 0.0  # of rounding b
        self._stored = self._unit if dtype != sums else 0.0  # of rounding a product as it is returned

    def open(self, rows: Tensor, b: Tensor, bests: tuple[_Best, _Best], k: int) -> list[tuple[Tensor, Tensor]]:
        """Which products of these rows with ``b`` may be among the k largest, with those of the first of ``bests``,
        and which, their sign turned, with those of the second: places in ``rows`` and columns, in order."""
        length = F.pad(_norms(b), (0, -len(b) % CHUNK)).view(-1, CHUNK)
        slack = (self._lost[rows] + self._length[rows] * (self._unit + self._sums)) * (SLACK + 3 * self._stored)
        slack[~(self._length[rows] * length.amax() < HUGE)] = torch.inf
        left = self._rows if len(rows) == len(self._rows) else self._rows[rows]
        with _full_sums():
            products = left @ F.pad(b.to(left.dtype), (0, 0, 0, -len(b) % CHUNK)).mT
        chunks = _Chunks(products, len(b))
        reach = slack[:, None] * length.amax(dim=1)
        found = []
        for sign, best in zip((1, -1), bests, strict=True):
            peaks = chunks.peaks(sign).to(slack)
            bar = self._bar(best.values[rows], peaks - reach, k)
            # What is not finite stays open, the way in which this is asked.
            row, chunk = (~(peaks + reach <= bar[:, None])).nonzero(as_tuple=True)
            value, off = sign * chunks.of(row, chunk).to(slack), slack[row, None] * length[chunk]
            entry, place = (~(value + off <= bar[row, None])).nonzero(as_tuple=True)
            real = chunk[entry] * CHUNK + place < len(b)
            entry, place = entry[real], place[real]
            row, column = row[entry], chunk[entry] * CHUNK + place
            kept = self._again(best.values[rows], row, (value - off)[entry, place], (value + off)[entry, place], k)
            found.append((row[kept], column[kept]))
        return found

    def _bar(self, known: Tensor, sure: Tensor, k: int) -> Tensor:
        """The value (r,) above which a product may be one of the k largest: by k values known (r, k), or by one entry
        of each chunk, which is ``sure`` to be as large (r, chunks)."""
        if known.shape[1] == k:
            return self._below(known[:, -1])
        if sure.shape[1] < k:
            return sure.new_full((len(sure),), -torch.inf)
        kth = self._below(self._below(sure.topk(k, dim=1).values[:, -1]))
        return torch.nextafter(kth, torch.full_like(kth, -torch.inf))

    def _again(self, known: Tensor, row: Tensor, lower: Tensor, upper: Tensor, k: int) -> Tensor:
        """Which entries (p,) stay open once each is known to be at least as large as its lower bound."""
        if not len(row):
            return row.bool()
        _, wide, (place, _) = _Best(known, known.long()).beside(row, self._below(lower))
        if wide.shape[1] < k:
            return torch.ones_like(row, dtype=torch.bool)
        return ~(upper < self._below(wide.topk(k, dim=1).values[:, -1])[place])

    def _below(self, value: Tensor) -> Tensor:
        """The least that a product as returned can be, if the product itself is as large as this."""
        return value - 2 * self._stored * value.abs()


class _Chunks:
    """Products (r, n) by chunks of their columns, n a multiple of `CHUNK`, of which those from ``real`` on are none.

    In bfloat16 they are kept as whole numbers in the same order, which are compared ten times as fast.
    """

    def __init__(self, products: Tensor, real: int) -> None:
        self._whole = products.dtype == torch.bfloat16
        self._kept = _ordered(products.view(torch.int16)) if self._whole else products
        self._real = real
        limits = torch.iinfo(torch.int16) if self._whole else torch.finfo(products.dtype)
        self._none = {1: limits.min, -1: limits.max}
        self._chunks = self._kept.view(len(products), -1, CHUNK)

    def peaks(self, sign: int) -> Tensor:
        """The largest of each chunk, or with ``sign`` -1 the negative of the smallest, (r, chunks)."""
        self._kept[:, self._real :] = self._none[sign]
        return sign * self._read(self._chunks.amax(dim=2) if sign == 1 else self._chunks.amin(dim=2))

    def of(self, row: Tensor, chunk: Tensor) -> Tensor:
        """The products in some chunks, (p, CHUNK)."""
        return self._read(self._chunks[row, chunk])

    def _read(self, kept: Tensor) -> Tensor:
        return _ordered(kept).view(torch.bfloat16).float() if self._whole else kept


def _ordered(bits: Tensor) -> Tensor:
    """Of numbers in bfloat16, by their bits, whole numbers in the same order; and of these the bits."""
    found = bits >> 15
    found &= torch.iinfo(torch.int16).max
    found ^= bits
    return found


def _in_order(found: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Rows and columns row by row, of parts that have no row in common."""
    if len(found) == 1:
        return found[0]
    rows, columns = (torch.cat(of) for of in zip(*found, strict=True))
    order = rows.argsort(stable=True)
    return rows[order], columns[order]


def _norms(rows: Tensor) -> Tensor:
    """The norm of each row, or a little more; 0 only where all of it is 0."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1).mul_(SLACK)
    small = (norms < TINY).nonzero()[:, 0]
    norms[small] = TINY * (rows[small] != 0).any(dim=1).to(norms)
    return norms


@contextmanager
def _full_sums() -> Iterator[None]:
    """While this lasts, a GPU adds no partial sums in bfloat16, which the bound knows nothing of."""
    switches = torch.backends.cuda.matmul
    before = switches.allow_bf16_reduced_precision_reduction
    switches.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        switches.allow_bf16_reduced_precision_reduction = before


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


@cache
def quickest(device: str, dtype: torch.dtype = torch.float32) -> torch.dtype:
    """The precision, at most ``dtype``, in which a kind of device multiplies matrices quickest: bfloat16 where it has
    units for that."""
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device != "cpu":
        return torch.float32
    seconds = {each: min(timeit.repeat(_product(each), number=1)) for each in (dtype, torch.float32, torch.bfloat16)}
    return min(seconds, key=lambda each: seconds[each])


def _product(dtype: torch.dtype) -> Callable[[], Tensor]:
    left, right, out = (torch.zeros(size, dtype=dtype) for size in ((TILE[0], 64), (64, TILE[1]), TILE))
    return lambda: torch.mm(left, right, out=out)
