"""Which pairs of tokens a head's W_Q W_K^T connects most strongly, and how a random head's would.

    logit(t, s) = q(t) R k(s)^T / sqrt(dh)          q = x W_Q, k = x W_K, means over tokens off

R is what the model's rotary positions turn a query by, against a key, at an offset, or its mean over offsets; without
such positions it is 1. Nothing of the size of the vocabulary squared is held: rows are ranked by their largest cell, a
block at a time, and the n strongest pairs are in the n rows with the largest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from describe.maps.blocks import BLOCK, blocks
from describe.maps.placebo import orthonormal

__all__ = ["TokenLogits", "agreement", "random_logits", "strongest_pairs", "turned"]


@dataclass(frozen=True)
class TokenLogits:
    """A head's attention logits between n tokens, in factors: ``query`` (n, r) times ``key`` (n, r) transposed.

    Both have their means over tokens off: what a token gets from all others, or gives to all, is no pair.
    """

    query: Tensor
    key: Tensor

    @classmethod
    def of(cls, query: Tensor, key: Tensor) -> TokenLogits:
        """Of queries and keys (n, r) as the model has them, scaled."""
        return cls(query - query.mean(0), key - key.mean(0))

    @property
    def spread(self) -> float:
        """The standard deviation of the logits of all pairs, by the covariances of both factors."""
        n = len(self.query)
        squares = (self.query.mT.double() @ self.query.double()) * (self.key.mT.double() @ self.key.double())
        return float(squares.sum().clamp_min(0).sqrt() / n)

    def at(self, queries: Tensor, keys: Tensor) -> Tensor:
        """The logits of pairs (m,) of tokens by their places."""
        return (self.query[queries] * self.key[keys]).sum(-1)


def strongest_pairs(logits: TokenLogits, n: int, *, block: int = BLOCK) -> tuple[Tensor, Tensor, Tensor]:
    """The n pairs with the largest logits, in order: places of queries, of keys, and logits, (n,) each, n at most all.

    Equal ones by place. ``block``: numbers in the largest temporary.
    """
    size = len(logits.query)
    largest = torch.cat([(logits.query[rows] @ logits.key.mT).amax(1) for rows in blocks(size, size, block)])
    rows = largest.topk(min(n, size)).indices.sort().values
    cells = logits.query[rows] @ logits.key.mT
    flat = cells.flatten()
    places = flat.topk(min(n, flat.numel())).indices.sort().values
    places = places[flat[places].sort(descending=True, stable=True).indices]
    return rows[places // size], places % size, flat[places]


def turned(before: Tensor, behind: Tensor) -> Tensor:
    """The linear map (r, m) of vectors (n, r) to others (n, m), exact where one is."""
    found: Tensor = torch.linalg.lstsq(before.cpu().double(), behind.cpu().double(), driver="gelsy").solution
    return found.to(before)


def agreement(static: Tensor, seen: Tensor, there: Tensor) -> float | None:
    """Pearson's r of static logits with the attention seen, both (m, o): o pairs of each of m queries.

    ``seen``: logarithms of attention; ``there``: which pairs count. Means of each query are off, since what a softmax
    takes off is no pair's. None where nothing varies.
    """
    counts = there.sum(1, keepdim=True)
    kept = there & (counts > 1)
    mean = counts.clamp(min=1)
    x, y = (
        (each - each.where(there, 0).sum(1, keepdim=True) / mean).where(kept, 0).double() for each in (static, seen)
    )
    spread = float((x.square().sum() * y.square().sum()).sqrt())
    return float((x * y).sum()) / spread if spread > 0 else None


def random_logits(x: Tensor, into_query: Tensor, into_key: Tensor, seed: int) -> TokenLogits:
    """A random head over the same source vectors (n, d), their mean off: A diag(s) B^T in the place of W_Q R W_K^T.

    ``into_query``, ``into_key``: W_Q R and W_K, (d, r), whose singular values s it has; A and B are drawn from all
    matrices with orthonormal columns alike.
    """
    draw = torch.Generator().manual_seed(seed)
    read, written = (torch.linalg.qr(each.cpu().double(), mode="r").R for each in (into_query, into_key))
    half = torch.linalg.svdvals(read @ written.mT).sqrt()
    query, key = ((orthonormal(x.shape[1], len(half), draw) * half).to(x) for _ in range(2))
    return TokenLogits(x @ query, x @ key)
