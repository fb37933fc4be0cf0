"""Counting, exactly, how many tokens beat a target: whether it is among the k largest, or smallest, of its row."""

from __future__ import annotations

import torch
from torch import Tensor

from describe.maps.blocks import BLOCK, Rows, blocks, in_blocks, step_of
from describe.maps.low_precision import CHUNK, Columns, Products, Screen, norms, quickest, scaled

__all__ = ["SIGNS", "Sides", "Unembedding"]

SIGNS = (1, -1)
"""Of the two sides of a pair: larger tokens are counted on the first, smaller ones on the second."""

WIDTH = 2048
"""Tokens that are looked at first; then twice as many, and so on."""

SAMPLE = 1 << 12
"""Rows that the mean row is taken from: it orders the tokens, and no score depends on it."""

CROWDED = 512
"""Tokens that a precision may leave open of a side before the next one looks."""


class Unembedding:
    """U by token, the rows farthest from the mean row first, ready to be scanned.

    Attributes:
        screens: the precisions to look in, each where the one before leaves too much open.
        block: numbers in the largest temporary.
        computed: how many products were computed in float64.
    """

    def __init__(
        self,
        unembed: Rows,
        device: torch.device,
        *,
        keep: bool = True,
        block: int = BLOCK,
        screens: tuple[torch.dtype, ...] | None = None,
    ) -> None:
        """``unembed``: U transposed, (V, d), in any precision. ``keep``: hold it on the device in the first precision;
        else its rows are read and converted each time. ``screens``: by default the device's quickest and float32."""
        self._stored, self._device = unembed, device
        self.block, self.computed = block, 0
        self.screens = tuple(dict.fromkeys(screens or (quickest(device.type), torch.float32)))
        n_tokens, d = unembed.shape
        distance, length = torch.empty(2, n_tokens, device=device)
        mean = self._converted(torch.arange(0, n_tokens, -(-n_tokens // SAMPLE))).mean(0)

        def measure(tokens: slice) -> None:
            rows = self._converted(tokens)
            length[tokens] = norms(rows)
            distance[tokens] = torch.linalg.vector_norm(rows - mean, dim=1)

        in_blocks(n_tokens, d, measure, numbers=block)
        order = distance.argsort(descending=True, stable=True)
        self._order: Tensor = order.cpu()
        self._length: Tensor = length[order]
        self._kept = torch.empty(n_tokens, d, device=device, dtype=self.screens[0]) if keep else None
        if self._kept is not None:
            place, kept = order.argsort(), self._kept

            def keep_rows(tokens: slice) -> None:
                kept[place[tokens]] = self._converted(tokens).to(kept.dtype)

            in_blocks(n_tokens, d, keep_rows, numbers=block)

    def __len__(self) -> int:
        return len(self._order)

    def most(self, dtype: torch.dtype) -> int:
        """How many tokens may be asked for at once."""
        kept = self._kept is not None and self._kept.dtype == dtype
        return len(self) if kept else max(1, self.block // self._stored.shape[1])

    def columns(self, start: int, stop: int, dtype: torch.dtype) -> Columns:
        """The tokens at these places of the order, in this precision."""
        length = self._length[start:stop]
        if self._kept is not None and self._kept.dtype == dtype:
            return Columns(self._kept[start:stop], dtype, length)
        return Columns(self._converted(self._order[start:stop]), dtype, length)

    def rows(self, tokens: Tensor) -> Tensor:
        """The rows of tokens given by id, in float64."""
        distinct, place = torch.unique(tokens, return_inverse=True)
        return self._stored[distinct.cpu()].to(self._device, torch.float64)[place]

    def ids(self, places: Tensor) -> Tensor:
        """The ids of the tokens at places of the order."""
        return self._order[places.to(self._order.device)].to(places.device)

    def _converted(self, tokens: slice | Tensor) -> Tensor:
        return self._stored[tokens].to(self._device, torch.float32)


class Sides:
    """Sides of pairs, on each of which fewer than k tokens beat the target, or not.

    Attributes:
        written: what heads write, (R, d), float64.
        row: of each side, which of these, (n,); ``sign``: that of its scores when larger ones beat, (n,); ``target``:
            a token id, (n,); ``k``, (n,).
        known: how many at least of the ``first`` tokens beat it, (n,).
        own: the target's score, times the sign, (n,), float64.
    """

    def __init__(
        self, written: Tensor, row: Tensor, sign: Tensor, target: Tensor, k: Tensor, known: Tensor, first: int
    ) -> None:
        self.written, self.row, self.sign, self.target, self.k = scaled(written), row, sign, target, k
        self.known, self.first = known, first
        self.own = torch.empty(len(row), dtype=torch.float64, device=row.device)

    def hits(self, unembedding: Unembedding) -> Tensor:
        """On which sides fewer than k tokens beat the target, (n,)."""
        every = torch.arange(len(self.row), device=self.row.device)
        self.own = self.scores(every, self.target, unembedding)
        hits, left = torch.zeros_like(every, dtype=torch.bool), every
        for dtype in unembedding.screens:
            if not len(left):
                break
            count = _Count(self, unembedding, dtype, final=dtype == unembedding.screens[-1])
            hits[count.scan(left)] = True
            left = torch.cat(count.crowded)
        return hits

    def scores(self, side: Tensor, tokens: Tensor, unembedding: Unembedding) -> Tensor:
        """The score of a token in the row of a side, times its sign, each by itself, (p,), float64."""
        found = torch.empty(len(side), dtype=torch.float64, device=side.device)
        for part in blocks(len(side), self.written.shape[1], unembedding.block):
            products = self.written[self.row[side[part]]] * unembedding.rows(tokens[part])
            found[part] = self.sign[side[part]] * products.sum(1)
        unembedding.computed += len(side)
        return found


class _Count:
    """How many tokens beat the targets of sides, looked at in one precision.

    Attributes:
        crowded: the sides of which it leaves too much open, in parts. The ``final`` precision has none.
    """

    def __init__(self, sides: Sides, unembedding: Unembedding, dtype: torch.dtype, *, final: bool) -> None:
        self._sides, self._unembedding, self._dtype, self._final = sides, unembedding, dtype, final
        self._screen = Screen(sides.written.float(), dtype)
        self._known = sides.known
        self._larger = torch.zeros_like(sides.row)
        self._near = torch.zeros_like(sides.row)
        self._open: list[tuple[Tensor, Tensor]] = []
        self.crowded: list[Tensor] = [sides.row[:0]]

    def scan(self, left: Tensor) -> Tensor:
        """Which of the sides ``left`` are hits; those in ``crowded`` are not among them."""
        first = self._sides.first
        left = self._scan(left, first, len(self._unembedding))
        self._known = torch.zeros_like(self._known)
        left = self._scan(left, 0, first)
        others = self._larger[left] + self._near[left]
        k = self._sides.k[left]
        self._settle(left[(self._larger[left] < k) & (others >= k)])
        return left[self._larger[left] < k]

    def _scan(self, left: Tensor, start: int, stop: int) -> Tensor:
        """Which of the sides ``left`` are not beaten by the tokens at these places, in growing blocks."""
        unembedding, size = self._unembedding, WIDTH
        while start < stop and len(left):
            rows, place = torch.unique(self._sides.row[left], return_inverse=True)
            width = min(size, step_of(len(rows), unembedding.block, CHUNK), unembedding.most(self._dtype))
            columns = unembedding.columns(start, min(start + width, stop), self._dtype)
            products = self._screen.look(columns, rows)
            left = torch.cat([self._take(left, place, products, sign, start) for sign in SIGNS])
            if sum(len(side) for side, _ in self._open) > unembedding.block // 8:
                self._settle(left)
            start, size = start + len(columns.rows), 2 * size
        return left

    def _take(self, left: Tensor, place: Tensor, products: Products, sign: int, start: int) -> Tensor:
        """Count what ``products`` say of the sides of this sign, each in the row ``place`` of them: those left of it,
        which are not beaten yet."""
        mine = self._sides.sign[left] == sign
        side, place = left[mine], place[mine]
        own, k = self._sides.own[side].to(products.reach), self._sides.k
        above, below = self._screen.above(own), self._screen.below(own)
        peaks = products.peaks(sign)
        beaten = ((peaks - products.reach)[place] > above[:, None]).sum(1, dtype=torch.int32)
        beaten = beaten + self._larger[side] + self._known[side] >= k[side]
        side, place, above, below = (of[~beaten] for of in (side, place, above, below))
        # What is not finite stays open, the way in which this is asked.
        which, chunk = (~((peaks + products.reach)[place] < below[:, None])).nonzero(as_tuple=True)
        value, off = products.of(place[which], chunk)
        column = products.column(chunk[:, None], torch.arange(value.shape[1], device=value.device))
        there = column < products.real
        larger = (sign * value - off > above[which, None]) & there
        near = there & ~larger & ~(off.add(value, alpha=sign) < below[which, None])
        self._larger.index_add_(0, side[which], larger.sum(1))
        self._near.index_add_(0, side[which], near.sum(1))
        entry, spot = near.nonzero(as_tuple=True)
        self._open.append((side[which[entry]], start + column[entry, spot]))
        if not self._final:
            crowded = self._near[side] > CROWDED
            self.crowded.append(side[crowded])
            side = side[~crowded]
        return side[self._larger[side] + self._known[side] < k[side]]

    def _settle(self, some: Tensor) -> None:
        """Compute again what was left open of some sides, and forget all else."""
        side, place = (torch.cat(of) for of in zip(*self._open, strict=True)) if self._open else (some[:0], some[:0])
        wanted = torch.zeros_like(self._near, dtype=torch.bool)
        wanted[some] = True
        tokens = self._unembedding.ids(place)
        wanted = wanted[side] & (tokens != self._sides.target[side])  # its own score need not round alike in both
        side, tokens = side[wanted], tokens[wanted]
        larger = self._sides.scores(side, tokens, self._unembedding) > self._sides.own[side]
        self._larger.index_add_(0, side, larger.long())
        self._near.zero_()
        self._open.clear()
