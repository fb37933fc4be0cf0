"""Relation and suppression scores (MAPS, arXiv 2412.11965, section 3.1): exact, without the full projection.

For a head and a pair (s, t), the target's rank in row s of M = x W_V W_O U decides: the pair counts for the relation
score when fewer than k tokens have a larger M[s, .] than t, and for the suppression score when fewer than k have a
smaller one. Nearly all targets lie far from both ends, and a look at a few hundred tokens tells: as soon as k tokens
beat the target on both sides, the pair is done. So the vocabulary is scanned in growing blocks, tokens whose scores
vary most before others, and only rows that are still open go on.

The first block is looked at in float32 throughout, and through W_O first: z (W_O U) takes dh numbers a token where
(z W_O) U takes d, and all sources of a head share W_O U. A pair is dropped only when it is beaten beyond the rounding
of all these products. For the few that are left, what the heads write is computed in float64, and its product with U
in float32: a token counts as larger or smaller only when it is so beyond rounding; where the tokens that are neither
matter, they are settled in float64. The scores are those of the equations in float64, whatever the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from describe.maps.blocks import BLOCK, Rows, blocks, in_blocks
from describe.maps.memory import HELD
from describe.weights.model import LayerWeights

__all__ = ["PairHits", "Pairs", "Sought", "Unembedding", "head_hits", "relation_hits"]

FIRST_BLOCK = 256
SAMPLE = 1 << 12
"""Rows that the mean row is taken from: it orders the tokens, and no score depends on it."""
ROUNDING = 1e-5
"""Bound of the float32 product's error, relative to |y| |u|: some 80 units in the last place, where one is typical."""


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


class Unembedding:
    """U by token, the rows farthest from the mean row first, ready to be scanned.

    Args:
        unembed: U transposed, (V, d), in any precision.
        keep: hold it in float32 on the device; else its rows are read and converted each time.
        block: numbers in the largest temporary.
    """

    def __init__(self, unembed: Rows, device: torch.device, *, keep: bool = True, block: int = BLOCK) -> None:
        self._stored, self._device = unembed, device
        self.block = block
        n_tokens, d = unembed.shape
        self.most = n_tokens if keep else max(1, block // d)
        distance, self.longest = torch.empty(n_tokens), 0.0
        mean = self._converted(torch.arange(0, n_tokens, -(-n_tokens // SAMPLE))).mean(0)

        def measure(tokens: slice) -> None:
            rows = self._converted(tokens)
            self.longest = max(self.longest, float(torch.linalg.vector_norm(rows, dim=1).max()))
            distance[tokens] = torch.linalg.vector_norm(rows - mean, dim=1).cpu()

        in_blocks(n_tokens, d, measure, numbers=block)
        self._order = distance.argsort(descending=True, stable=True)
        self._kept = torch.empty(n_tokens, d, device=device) if keep else None
        if self._kept is not None:
            place, kept = self._order.argsort().to(device), self._kept

            def keep_rows(tokens: slice) -> None:
                kept[place[tokens]] = self._converted(tokens)

            in_blocks(n_tokens, d, keep_rows, numbers=block)

    def __len__(self) -> int:
        return len(self._order)

    def ordered(self, start: int, stop: int) -> Tensor:
        """The rows at these places of the order, in float32; not more than ``most`` at once."""
        return self._converted(self._order[start:stop]) if self._kept is None else self._kept[start:stop]

    def rows(self, tokens: Tensor) -> Tensor:
        """The rows of tokens given by id, in float64."""
        return self._stored[tokens.cpu()].to(self._device, torch.float64)

    def ids(self, places: Tensor) -> Tensor:
        """The ids of the tokens at places of the order."""
        return self._order[places.to(self._order.device)].to(places.device)

    def _converted(self, tokens: slice | Tensor) -> Tensor:
        return self._stored[tokens].to(self._device, torch.float32)


def relation_hits(pairs: Pairs, layer: LayerWeights, unembedding: Unembedding, heads: int | None = None) -> PairHits:
    """Which pairs each head of a layer implements and suppresses, by rank of the target.

    Args:
        pairs: on the device to compute on.
        layer: W_V (G, d, dh) and W_O (H, dh, d), any device and precision.
        heads: how many are done at once; by default, as many as keep caches warm.
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
    """
    device = read.device
    n_heads, n_sources = output.shape[0], read.shape[1]
    group = torch.arange(n_heads, device=device) // (n_heads // read.shape[0])
    first = _First(pairs, unembedding)
    top = torch.empty(n_heads, len(pairs.source), dtype=torch.bool, device=device)
    bottom = top.clone()
    at_once = at_once or max(1, HELD // (n_sources * output.shape[2]))
    for heads in torch.arange(n_heads, device=device).chunk(-(-n_heads // at_once)):
        z, w_o = read[group[heads]], output[heads]
        counts = first.counts(z.float(), w_o.float())
        top[heads], bottom[heads] = _hits(z, w_o, counts, pairs, unembedding)
    return PairHits(top, bottom)


class _First:
    """The first block of tokens and the targets, in float32, for what all heads have read."""

    def __init__(self, pairs: Sought, unembedding: Unembedding) -> None:
        self._pairs, self._longest = pairs, unembedding.longest
        target, self._place = torch.unique(pairs.target, return_inverse=True)
        block = unembedding.ordered(0, min(len(unembedding), unembedding.most, FIRST_BLOCK))
        self.tokens = len(block)
        self._rows = torch.cat([block, unembedding.rows(target).float()]).mT
        self._block = unembedding.block

    def counts(self, z: Tensor, w_o: Tensor) -> Tensor:
        """How many tokens of the block are larger, and smaller, than each target for certain, (2, h, P), for z (h, S,
        dh) and W_O (h, dh, d).

        Rounding is bounded by sum_i |z_i| |W_O[i]| |u|, W_O[i] a row: both products' errors are below it, times some
        units in the last place.
        """
        through = w_o @ self._rows
        scores = z @ through[:, :, : self.tokens]
        margin = 2 * ROUNDING * (z.abs() @ torch.linalg.vector_norm(w_o, dim=2)[:, :, None])[:, :, 0] * self._longest
        found = torch.empty(2, len(z), len(self._pairs.source), dtype=torch.int32, device=z.device)
        for part in blocks(len(self._pairs.source), len(z) * self.tokens, self._block):
            source = self._pairs.source[part]
            own = (z[:, source] * through[:, :, self.tokens + self._place[part]].mT).sum(2)
            of_pair, wide = scores[:, source], margin[:, source]
            found[0, :, part] = (of_pair > (own + wide)[:, :, None]).sum(2, dtype=torch.int32)
            found[1, :, part] = (of_pair < (own - wide)[:, :, None]).sum(2, dtype=torch.int32)
        return found


def _hits(z: Tensor, w_o: Tensor, counts: Tensor, pairs: Sought, unembedding: Unembedding) -> tuple[Tensor, Tensor]:
    """``top`` and ``bottom`` (h, P) of h heads with z (h, S, dh) and W_O (h, dh, d), after the first block's counts."""
    left = (counts < pairs.k).any(0)
    top, bottom = torch.zeros_like(left), torch.zeros_like(left)
    head, pair = left.nonzero(as_tuple=True)
    if not len(head):
        return top, bottom
    n_sources = z.shape[1]
    rows, row = torch.unique(head * n_sources + pairs.source[pair], return_inverse=True)
    of_head = rows // n_sources
    written = torch.empty(len(rows), w_o.shape[2], dtype=torch.float64, device=z.device)
    for number in of_head.unique().tolist():
        chosen = (of_head == number).nonzero()[:, 0]
        written[chosen] = z[number, rows[chosen] % n_sources].double() @ w_o[number].double()
    own = torch.empty(len(pair), dtype=torch.float64, device=z.device)
    for part in blocks(len(pair), written.shape[1], unembedding.block):
        own[part] = (written[row[part]] * unembedding.rows(pairs.target[pair[part]])).sum(1)
    scan = _Scan(written, row, own, pairs.target[pair], pairs.k[pair], unembedding)
    seen = min(len(unembedding), unembedding.most, FIRST_BLOCK)
    scan.eliminate(seen, counts[:, left])
    scan.settle_doubts()
    top[head, pair], bottom[head, pair] = scan.hits()
    return top, bottom


class _Scan:
    """Pairs still open (``open``, by number), and how many tokens so far are larger or smaller than their targets.

    Args:
        rows: what heads write, (R, d), float64.
        row: the row of each pair, (P,); ``own``: its target's score, float64; ``target`` and ``k`` as in `Pairs`.
    """

    def __init__(
        self, rows: Tensor, row: Tensor, own: Tensor, target: Tensor, k: Tensor, unembedding: Unembedding
    ) -> None:
        self._exact_rows, self._rows = rows, rows.float()
        self._row, self._own, self._target, self._k = row, own, target, k
        self._unembedding = unembedding
        self.open = torch.arange(len(row), device=rows.device)
        margin = ROUNDING * torch.linalg.vector_norm(self._rows, dim=1)[row] * unembedding.longest
        # A score above `high` is larger for certain; one from `low` to `high` may be either.
        self._high, self._low = (own + margin).float(), (own - margin).float()

    def eliminate(self, seen: int, counts: Tensor) -> None:
        """Scan the vocabulary in growing blocks behind the tokens ``seen`` already, of which the (larger, smaller)
        ``counts`` (2, P) are known, dropping pairs that are beaten on both sides."""
        self._larger, self._smaller = counts[0].clone(), counts[1].clone()
        start, size = seen, FIRST_BLOCK
        while start < len(self._unembedding) and len(self.open):
            rows, place = torch.unique(self._row[self.open], return_inverse=True)
            width = min(size, self._unembedding.block // len(rows) + 1, self._unembedding.most)
            block = self._unembedding.ordered(start, start + width)
            self._count(self._rows[rows] @ block.mT, place)
            k = self._k[self.open]
            keep = (self._larger < k) | (self._smaller < k)
            self.open, self._larger, self._smaller = (kept[keep] for kept in (self.open, self._larger, self._smaller))
            start, size = start + len(block), 2 * size

    def _count(self, scores: Tensor, place: Tensor) -> None:
        """Add what a block's ``scores`` (rows, tokens) say of the open pairs, pair i in row ``place[i]``."""
        for part in blocks(len(self.open), scores.shape[1], self._unembedding.block):
            pair = self.open[part]
            of_pair = scores[place[part]]
            self._larger[part] += (of_pair > self._high[pair, None]).sum(1, dtype=torch.int32)
            self._smaller[part] += (of_pair < self._low[pair, None]).sum(1, dtype=torch.int32)

    def settle_doubts(self) -> None:
        """Count anew, in float64 where float32 cannot tell, for pairs whose outcome undecided tokens could change."""
        unembedding, k = self._unembedding, self._k[self.open]
        near = len(unembedding) - self._larger - self._smaller - 1  # the target is within rounding of itself
        could = [(count < k) & (count + near >= k) for count in (self._larger, self._smaller)]
        doubtful = (could[0] | could[1]).nonzero()[:, 0]
        self._larger[doubtful], self._smaller[doubtful] = 0, 0
        for part in blocks(len(doubtful), min(len(unembedding), unembedding.most), unembedding.block):
            for start in range(0, len(unembedding), unembedding.most):
                self._settle(doubtful[part], start)

    def _settle(self, place: Tensor, start: int) -> None:
        """Counts for some open pairs, by their ``place`` among these, and the tokens read from ``start`` on."""
        pair = self.open[place]
        scores = self._rows[self._row[pair]] @ self._unembedding.ordered(start, start + self._unembedding.most).mT
        larger, smaller = scores > self._high[pair, None], scores < self._low[pair, None]
        self._larger[place] += larger.sum(1, dtype=torch.int32)
        self._smaller[place] += smaller.sum(1, dtype=torch.int32)
        one, token = (~(larger | smaller)).nonzero(as_tuple=True)
        token = self._unembedding.ids(token + start)
        for some in blocks(len(token), self._exact_rows.shape[1], self._unembedding.block):
            exact = (self._exact_rows[self._row[pair[one[some]]]] * self._unembedding.rows(token[some])).sum(1)
            own, of_pair = self._own[pair[one[some]]], place[one[some]]
            other = token[some] != self._target[pair[one[some]]]  # its own score need not round alike in two products
            self._larger.index_add_(0, of_pair, ((exact > own) & other).int())
            self._smaller.index_add_(0, of_pair, ((exact < own) & other).int())

    def hits(self) -> tuple[Tensor, Tensor]:
        """For all pairs (P,): fewer than k tokens are larger; fewer than k are smaller. A dropped pair is neither."""
        top = torch.zeros(len(self._row), dtype=torch.bool, device=self.open.device)
        bottom = top.clone()
        top[self.open], bottom[self.open] = self._larger < self._k[self.open], self._smaller < self._k[self.open]
        return top, bottom
