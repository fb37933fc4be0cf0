"""Relation and suppression scores (MAPS, arXiv 2412.11965, section 3.1): exact, without the full projection.

For a head and a pair (s, t), the target's rank in row s of M = x W_V W_O U decides: the pair counts for the relation
score when fewer than k tokens have a larger M[s, .] than t, and for the suppression score when fewer than k have a
smaller one. Nearly all targets lie far from both ends, and a look at a thousand tokens tells: tokens whose scores vary
most are taken before others, and a side of a pair is settled as soon as k tokens beat its target.

Tokens are looked at in the device's quickest precision, where the bound on each product's error says which of them are
larger for certain and which may be (`describe.maps.low_precision`). The first ones are looked at through W_O:
z (W_O U) takes dh numbers a token where (z W_O) U takes d, and all sources of a head share W_O U. Sides that are left
are counted over all tokens (`describe.maps.counting`), of which those that may or may not be larger are computed again
in float64. The scores are those of the equations in float64, whatever the precisions and the blocks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.maps.counting import SIGNS, Sides, Unembedding
from describe.maps.low_precision import Columns, Products, Screen, norms, scaled
from describe.maps.memory import HELD
from describe.weights.model import LayerWeights

__all__ = ["PairHits", "Pairs", "Sought", "head_hits", "relation_hits"]

FIRST = (256, 1024)
"""Tokens that are looked at for all pairs, at least and at most: half as many as there are sources."""

CHUNKS_OF_K = 4
"""Of how many chunks at least the first tokens are, times k: a side is settled by k of them with a larger token."""


@dataclass(frozen=True)
class Sought:
    """Which target is sought in which row; pairs with the same source share a row.

    Attributes:
        source: the row each pair starts from, (P,).
        target: the token id each pair leads to, (P,).
        k: how many tokens may stand before the target, plus one, (P,).
    """

    source: Tensor
    target: Tensor
    k: Tensor


@dataclass(frozen=True)
class Pairs(Sought):
    """Pairs to score, by the distinct sources they share.

    Attributes:
        vectors: source vectors of the distinct sources, (S, d), float64.
    """

    vectors: Tensor


@dataclass(frozen=True)
class PairHits:
    """For each head of a layer and each pair, whether the target is among the k largest (``top``) or the k smallest
    (``bottom``) of its row; both (H, P), boolean."""

    top: Tensor
    bottom: Tensor


def relation_hits(pairs: Pairs, layer: LayerWeights, unembedding: Unembedding, heads: int | None = None) -> PairHits:
    """Which pairs each head of a layer implements and suppresses, by rank of the target.

    Args:
        pairs: on the device to compute on.
        layer: W_V (G, d, dh) and W_O (H, dh, d), any device and precision.
        heads: of how many heads rows are held at once; by default, of as many as need little memory.

    Raises `CheckpointError` when the weights are not finite.
    """
    device = pairs.vectors.device
    value, output = (matrix.to(device, torch.float64) for matrix in (layer.value, layer.output))
    return head_hits(pairs.vectors @ value, output, pairs, unembedding, heads)


def head_hits(
    read: Tensor, output: Tensor, pairs: Sought, unembedding: Unembedding, at_once: int | None = None
) -> PairHits:
    """Which targets are among the first and the last k of z W_O U, by rank, for what heads have read.

    Args:
        read: z of each head and row, (G, S, dh), in any precision, on the device to compute on; G divides the number of
            heads, and head h reads group h // (H / G).
        output: W_O (H, dh, d), as ``read``; both are taken as exact.

    Raises `CheckpointError` when they are not finite.
    """
    if not (bool(torch.isfinite(read).all()) and bool(torch.isfinite(output).all())):
        raise CheckpointError("the value or output matrices hold values that are not finite (NaN or infinity)")
    n_groups, n_sources = read.shape[:2]
    read, output = scaled(read.double()), scaled(output.double().flatten(1)).view(output.shape)
    by_group = output.view(n_groups, -1, *output.shape[1:])
    first = _First(pairs, unembedding)
    beaten = torch.cat([first.beaten(z, w_o) for z, w_o in zip(read, by_group, strict=True)], dim=1)
    left = beaten < pairs.k
    hits = torch.zeros_like(left)
    at_once = n_sources * (at_once or max(1, HELD // (n_sources * output.shape[2])))
    for side, head, pair in _parts(left, at_once):
        rows, row = torch.unique(head * n_sources + pairs.source[pair], return_inverse=True)
        written = torch.empty(len(rows), output.shape[2], dtype=torch.float64, device=read.device)
        for number in sorted(set(head.tolist())):
            mine = rows // n_sources == number
            written[mine] = read[number // by_group.shape[1]][rows[mine] % n_sources] @ output[number]
        known = beaten[side, head, pair]
        sides = Sides(written, row, 1 - 2 * side, pairs.target[pair], pairs.k[pair], known, first.tokens)
        hits[side, head, pair] = sides.hits(unembedding)
    return PairHits(hits[0], hits[1])


def _parts(left: Tensor, most: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Side, head and pair of what is ``left`` (2, H, P), a head or more at a time, with ``most`` sides in all if these
    are several."""
    ends = left.sum(dim=(0, 2)).cumsum(0).tolist()
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, bisect_right(ends, before + most))
        side, head, pair = left[:, start:stop].nonzero(as_tuple=True)
        yield side, head + start, pair
        start = stop


class _First:
    """The first tokens and the targets, for what all heads have read."""

    def __init__(self, pairs: Sought, unembedding: Unembedding) -> None:
        self._pairs, self._dtype = pairs, unembedding.screens[0]
        target, place = torch.unique(pairs.target, return_inverse=True)
        least, most = FIRST
        self.tokens = min(len(unembedding), most, max(least, len(torch.unique(pairs.source)) // 2))
        self._place = self.tokens + place
        tokens = unembedding.ids(torch.arange(self.tokens, device=target.device))
        self._rows = unembedding.rows(torch.cat([tokens, target])).float()
        self._length = norms(self._rows)
        n_chunks = CHUNKS_OF_K * int(pairs.k.max()) if len(pairs.k) else 1
        self._chunk = max(1, self.tokens // n_chunks)

    def beaten(self, z: Tensor, w_o: Tensor) -> Tensor:
        """How many tokens at least are larger than the target of each pair, and how many smaller, (2, h, P), of heads
        ``w_o`` (h, dh, d) that read ``z`` (S, dh).

        W_O U is computed in float32: how far a row of it is off counts as a larger norm.
        """
        screen = Screen(z.float(), self._dtype)
        through = (self._rows @ w_o.float().flatten(0, 1).mT).view(len(self._rows), len(w_o), -1)
        own_z, sums = z.float()[self._pairs.source], (w_o.shape[2] + 16) * torch.finfo(torch.float32).eps
        found = []
        for number, size in enumerate(norms(w_o.flatten(1)).float()):
            of_head = through[:, number]
            length, off = norms(of_head), sums * size * self._length
            wide = (length + off / screen.unit)[: self.tokens]
            tokens = Columns(of_head[: self.tokens], self._dtype, wide)
            products = screen.look(tokens, chunk=self._chunk)
            own = (own_z * of_head[self._place]).sum(1)
            margin = screen.length[self._pairs.source] * (screen.sums * length + off)[self._place]
            found.append(torch.stack([self._chunks(screen, products, sign, own, margin) for sign in SIGNS]))
        return torch.stack(found, dim=1)

    def _chunks(self, screen: Screen, products: Products, sign: int, own: Tensor, margin: Tensor) -> Tensor:
        """How many chunks hold a token that beats the target of each pair for certain, (P,)."""
        bar = screen.above(sign * own + margin)
        larger = (products.peaks(sign) - products.reach)[self._pairs.source] > bar[:, None]
        return larger.sum(1, dtype=torch.int32)
