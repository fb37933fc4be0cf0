"""Products of rows in a low precision, and how far they may be off.

A product of rounded vectors differs from that of the vectors as they are, both computed in any order of d summands, by
at most

    |a~ b~ - a b| <= |a - a~| |b| + |a~| |b - b~| + g |a| |b|,      g = 2 d u, u the unit of rounding of the sums

(Cauchy-Schwarz), each norm known; and as it is stored it is rounded once more. So a low precision says of nearly all
products what is asked of them, and those that it leaves open are computed again in full.
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

from describe.maps.blocks import BLOCK, blocks

__all__ = [
    "CHUNK",
    "SLACK",
    "Columns",
    "Products",
    "RoundedRows",
    "Screen",
    "cache_blocks",
    "full_sums",
    "group_of",
    "norms",
    "quickest",
    "scaled",
    "unit",
]

CHUNK = 64
"""Products whose largest is looked at before any single one."""

IN_CACHE = 1 << 17
"""Numbers that a processor's cache holds beside others."""

TILE = (256, 1024)
"""The product by which the quickest precision is found."""

SLACK = 1.001
"""By how much norms are taken too large: more than their own rounding."""

HUGE = 1e37
"""A product of norms from which on sums might not be finite."""

TINY = 1e-18
"""A smaller norm may have come out as 0, its squares being none any more: none is taken smaller."""


class Columns:
    """Rows b on the right of a product, in one precision.

    Attributes:
        rows: (n, d), or (n, G, d) for G groups of rows on the left, each with columns of its own.
        length: at least the norm of each, (n,) or (n, G), in the precision they had.
    """

    def __init__(self, b: Tensor, dtype: torch.dtype, length: Tensor | None = None) -> None:
        """``length``: larger than the norms where ``b`` itself is off, by the unit of ``dtype`` for each of it."""
        self.rows = b.to(dtype)
        self.length = norms(b, self.rows) if length is None else length

    def __getitem__(self, places: slice) -> Columns:
        """Some of them, where there are no groups."""
        return Columns(self.rows[places], self.rows.dtype, self.length[places])


@dataclass(frozen=True)
class RoundedRows:
    """A matrix (n, d) in memory, and beside it in a low precision, for many looks at it."""

    whole: Tensor
    low: Columns

    @classmethod
    def of(cls, whole: Tensor) -> RoundedRows | Tensor:
        """The matrix with its copy in the device's quickest precision, or alone where that is its own."""
        dtype = quickest(whole.device.type, whole.dtype)
        return whole if dtype == whole.dtype else cls(whole, Columns(whole, dtype))

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        return self.whole.shape

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        return self.whole[rows]


class Screen:
    """Rows a on the left of products, (m, d), in one precision.

    Attributes:
        dtype: the precision.
        length: at least the norm of each row, (m,), in the precision the rows had.
        sums: how far sums may be off, of the product of the norms.
    """

    def __init__(self, a: Tensor, dtype: torch.dtype) -> None:
        self._rows, self.dtype = a.to(dtype), dtype
        self.length = norms(a)
        self._lost = norms(a - self._rows.to(a.dtype))
        sums = torch.promote_types(dtype, torch.float32)
        self.sums = (a.shape[1] + 16) * torch.finfo(sums).eps  # of the sums here, and of those computed again
        self._unit = unit(dtype) if dtype != a.dtype else 0.0  # of rounding b
        self._stored = self._unit if dtype != sums else 0.0  # of rounding a product as it is returned

    @property
    def unit(self) -> float:
        """How far products may be off, of the product of the norms, for what the columns lost."""
        return self._unit + self.sums

    def look(self, b: Columns, rows: Tensor | None = None, chunk: int = CHUNK) -> Products:
        """The products with ``b``, of these of the rows, ascending. Each group has as many, in a row."""
        by_group, lengths = (of if b.rows.dim() == 3 else of[:, None] for of in (b.rows, b.length))
        real, n_groups = lengths.shape
        left, length, lost = (part if rows is None else part[rows] for part in (self._rows, self.length, self._lost))
        slack = (lost + length * self.unit) * (SLACK + 3 * self._stored)
        slack[~(length * lengths.amax() < HUGE)] = torch.inf
        missing = -real % chunk
        if missing:
            by_group = F.pad(by_group, (0, 0, 0, 0, 0, missing))
        every = torch.arange(len(self._rows), device=left.device) if rows is None else rows
        group = group_of(every, len(self._rows), n_groups)
        products = left.new_empty(len(left), real + missing)
        sizes = [len(left)] if n_groups == 1 else torch.bincount(group, minlength=n_groups).tolist()
        with full_sums():
            start = 0
            for columns, size in zip(by_group.unbind(1), sizes, strict=True):
                torch.mm(left[start : start + size], columns.mT, out=products[start : start + size])
                start += size
        return Products(products, real, slack, (F.pad(lengths.mT, (0, missing)), group), chunk)

    def below(self, value: Tensor) -> Tensor:
        """The least that a product as returned can be, but for its own slack, if the product itself is as large."""
        return value - 2 * self._stored * value.abs()

    def above(self, value: Tensor) -> Tensor:
        """The most that it can be, likewise, if the product itself is no larger."""
        return value + 2 * self._stored * value.abs()


class Products:
    """Products (r, n) by chunks, each of ``chunk`` columns one after another.

    In bfloat16 they are kept as whole numbers in the same order, which are compared ten times as fast.

    Attributes:
        reach: how far those in each chunk may be off, (r, chunks).
        real: how many columns there are.
    """

    def __init__(self, products: Tensor, real: int, slack: Tensor, lengths: tuple[Tensor, Tensor], chunk: int) -> None:
        """``products``: (r, a multiple of ``chunk``), of which columns from ``real`` on are none; ``slack`` (r,) times
        a length is how far each may be off: ``lengths`` are those of the columns by group, and each row's group."""
        self._whole = products.dtype == torch.bfloat16
        self._kept = products.view(torch.int16) if self._whole else products
        self._slack, self.real = slack, real
        self._grid = len(products), products.shape[1] // chunk, chunk
        length, group = lengths
        self._length = length.reshape(-1, chunk)
        self._first = group * self._grid[1]  # of its group's chunks, for each row
        longest = self._length.amax(dim=1).view(len(length), -1)
        self.reach = slack[:, None] * longest[group]
        self._high = self._kept.new_empty(self._grid[:2])
        self._low = torch.empty_like(self._high)
        limits = torch.iinfo(torch.int16) if self._whole else torch.finfo(products.dtype)
        for part in blocks(len(products), max(products.shape[1], 1), 4 * IN_CACHE):
            some = self._kept[part]
            if self._whole:
                _order(some)
            by_chunk = some.view(-1, *self._grid[1:])
            for found, extreme, none in ((self._low, torch.amin, limits.max), (self._high, torch.amax, limits.min)):
                if real < some.shape[1]:
                    some[:, real:] = none
                found[part] = extreme(by_chunk, dim=2)

    def peaks(self, sign: int) -> Tensor:
        """The largest of each chunk, or with ``sign`` -1 the negative of the smallest, (r, chunks)."""
        return sign * self._read(self._high if sign == 1 else self._low)

    def of(self, row: Tensor, chunk: Tensor) -> tuple[Tensor, Tensor]:
        """The products in some chunks, and how far they may be off, each (p, ``chunk``)."""
        length = self._length.index_select(0, self._first[row] + chunk)
        return self._read(self._chunks(row, chunk)), self._slack[row, None] * length

    def past(self, sign: int, row: Tensor, chunk: Tensor, bar: Tensor) -> tuple[Tensor, Tensor]:
        """Which products of some chunks (p,), or with ``sign`` -1 their negatives, may be larger than the bar of each
        (p,): in which of these chunks they are, and which column."""
        limit = sign * (bar - self.reach[row, chunk])
        if self._whole:
            limit = _ordered(limit, sign)
        some = self._chunks(row, chunk)
        # What is not finite stays open, the way in which this is asked.
        closed = (some < limit[:, None]) if sign == 1 else (some > limit[:, None])
        entry, place = closed.logical_not_().nonzero(as_tuple=True)
        column = self.column(chunk[entry], place)
        real = column < self.real
        return entry[real], column[real]

    def at(self, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """Single products, and how far they may be off, each (p,)."""
        _, chunks, size = self._grid
        values = self._read(self._kept.view(-1).index_select(0, row * (chunks * size) + column))
        return values, self._slack[row] * self._length.view(-1)[self._first[row] * size + column]

    def column(self, chunk: Tensor, place: Tensor) -> Tensor:
        """The columns at places in chunks; those from ``real`` on are none."""
        return chunk * self._grid[2] + place

    def _chunks(self, row: Tensor, chunk: Tensor) -> Tensor:
        _, chunks, size = self._grid
        return self._kept.view(-1, size).index_select(0, row * chunks + chunk)

    def _read(self, kept: Tensor) -> Tensor:
        if not self._whole:
            return kept.to(self._slack)
        return _order(kept.clone()).view(torch.bfloat16).to(self._slack)


def group_of(rows: Tensor, n_rows: int, n_groups: int) -> Tensor:
    """Of which group each of some rows is, where ``n_rows`` are of groups as large, one after another."""
    return rows // max(1, n_rows // n_groups)


def _order(bits: Tensor) -> Tensor:
    """Of floating-point numbers, by their bits, whole numbers in the same order; and of these the bits. In place."""
    whole = torch.iinfo(bits.dtype)
    signs = bits >> whole.bits - 1
    signs &= whole.max
    bits ^= signs
    return bits


def _ordered(limits: Tensor, sign: int) -> Tensor:
    """``limits`` (p,) as whole numbers in the order of `_order`: a number in bfloat16 larger than its limit, or with
    ``sign`` -1 smaller, is at least as large there, or as small; and where the limit is not finite, every number is."""
    # The upper half of the bits of a number are those of one in bfloat16, and shifting rounds down, as this order goes.
    ordered = _order(limits.to(torch.float32, copy=True).view(torch.int32)) >> 16
    ends = torch.iinfo(torch.int16)
    ordered[~(sign * limits > -torch.inf)] = ends.min if sign == 1 else ends.max
    return ordered.to(torch.int16)


def norms(rows: Tensor, low: Tensor | None = None) -> Tensor:
    """The norm of each row (..., d), or a little more; 0 only where all of it is 0. ``low``: these in a low precision,
    which is quicker to read: what it rounds, and the norm as it is returned, is in the little."""
    lost = 0.0 if low is None or low.dtype == rows.dtype else 3 * unit(low.dtype)
    found: Tensor = torch.linalg.vector_norm(rows if low is None else low, dim=-1).to(rows).mul_(SLACK + lost)
    small = found < TINY
    found[small] = TINY * (rows[small] != 0).any(dim=-1).to(found)
    return found


def cache_blocks(rows: int, like: Tensor) -> Iterator[slice]:
    """Slices over so many rows as wide as those of ``like``, each of which its processor's cache holds."""
    return blocks(rows, like.shape[1], IN_CACHE if like.device.type == "cpu" else BLOCK)


def scaled(rows: Tensor) -> Tensor:
    """Rows (..., n), each divided by a power of two near its largest number, which changes no order."""
    limit = 1000 if rows.dtype == torch.float64 else 120
    exponent = torch.frexp(rows.abs().amax(dim=-1, keepdim=True)).exponent.clamp(-limit, limit)
    return rows * torch.pow(rows.new_tensor(2.0), -exponent)


def unit(dtype: torch.dtype) -> float:
    """The unit of rounding to a precision."""
    return torch.finfo(dtype).eps / 2


@contextmanager
def full_sums() -> Iterator[None]:
    """While this lasts, a GPU adds no partial sums in bfloat16, which the bound knows nothing of."""
    switches = torch.backends.cuda.matmul
    before = switches.allow_bf16_reduced_precision_reduction
    switches.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        switches.allow_bf16_reduced_precision_reduction = before


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
