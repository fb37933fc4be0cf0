"""How far each cell of a head's M stands out, and the rows whose largest cell stands out most, exactly.

Saliency finds the sources that a head moves most, whatever it moves them to. A cell stands out where it is large for
its column and for its row. Columns are divided by their spread over sources and rows by theirs over targets:

    D[s, t] = (M[s, t] - mean of column t) / standard deviation of column t over the sources
    z[s, t] = (D[s, t] - mean of row s) / standard deviation of row s of D over the targets

A column or row without spread is 0. The column means are 0 already where the mean source is apart. In a head's
coordinates M = read write^T all this is exact from covariances of r numbers: with R = read less its mean,

    column spread(t) = |A^T write[t]|,       A A^T = R^T R / n
    row spread(s)    = |B^T R[s]|,           B B^T = covariance of V[t] = write[t] / column spread(t) over the targets
    z[s, t]          = p(s) . q(t),          p(s) = B^T R[s] / row spread(s), q(t) = B^-1 (V[t] - mean V)

The share of the constant part c is that of the variance of logits over targets which it makes, as a mean over sources:

    share = variance of c write^T / (variance of c write^T + mean of the variance of M[s] over the sources s)

The vectors p are of length one, so z changes by no more than |q| times the error of p, and the other way round. By this
bound the largest cell of each row is looked for in the precision in which the machine is quickest, with the matrix
product's blocks kept in its caches; the rows that may be among the first are then computed in float64. Distinctness is
compared in single precision, so that rows which differ in rounding alone are ordered by token id.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from describe.maps.blocks import BLOCK, blocks
from describe.maps.coordinates import HeadCoordinates
from describe.maps.low_precision import cache_blocks, quickest

__all__ = ["Standing", "distinct_sources", "in_order", "standing"]

TILE = (2048, 512)
"""Rows and columns of M at a time: 2 MiB in bfloat16, which the caches of two cores hold."""


@dataclass(frozen=True)
class Standing:
    """How far cells stand out: z[s, t] = sources[s] . targets[t].

    Attributes:
        sources: (n, r).
        targets: (m, r).
        share: of the constant part, one number; None where there is none.
    """

    sources: Tensor
    targets: Tensor
    share: Tensor | None

    def rows(self, sources: Tensor) -> Tensor:
        """z of some sources (n,) by their places, and all targets, (n, m) in float32."""
        return (self.sources[sources] @ self.targets.mT).float()


def standing(head: HeadCoordinates) -> Standing:
    """How far each cell of a head's M stands out."""
    least = 8 * torch.finfo(head.read.dtype).eps
    read, write = (_doubled(rows) for rows in (head.read, head.write))
    size = torch.linalg.vector_norm(read) / len(read) ** 0.5
    mean = read.mean(dim=0)
    read -= mean
    values, axes = _covariance(read)
    along = axes * values.sqrt()
    spread = write.new_empty(len(write), 1)
    for part in cache_blocks(len(write), write):
        torch.linalg.vector_norm(write[part] @ along, dim=1, keepdim=True, out=spread[part])
    share = None
    if head.constant is not None:
        always, own = (write @ torch.stack([mean, head.constant.to(mean)], dim=1)).var(dim=0, unbiased=False)
        whole = own + always + spread.square().mean() - (write.mean(dim=0) @ along).square().sum()
        share = torch.where(whole > 0, own / whole, 0).to(head.constant)
    least_spread = least * size * torch.linalg.vector_norm(head.write, dim=1, keepdim=True)
    write /= spread.masked_fill_(spread <= least_spread, torch.inf)
    write -= write.mean(dim=0)
    values, axes = _covariance(write)
    sources, targets = _times(read, axes * values.sqrt()), _times(write, axes / values.sqrt())
    spread = torch.linalg.vector_norm(sources, dim=1, keepdim=True)
    least_spread = least * size * values.max().sqrt() if len(values) else size
    sources /= spread.masked_fill_(spread <= least_spread, torch.inf)
    return Standing(sources, targets, share)


def _doubled(rows: Tensor) -> Tensor:
    """Rows in float64, in memory of their own: of rows that lie apart `copy_` is twice as quick as `to`."""
    return torch.empty(rows.shape, dtype=torch.float64, device=rows.device).copy_(rows)


def _covariance(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The variances (r',) of rows (n, r) without a mean, along their principal axes (r, r'); those without are out."""
    values, axes = torch.linalg.eigh(rows.mT @ rows / len(rows))
    kept = values > 1e-13 * values[-1].clamp_min(0)
    return values[kept], axes[:, kept]


def _times(rows: Tensor, matrix: Tensor) -> Tensor:
    """Rows (n, r) times a matrix (r, r'), in the memory of the rows: a new block of memory takes longer than this."""
    found = rows[:, : matrix.shape[1]]
    for part in cache_blocks(len(rows), rows):
        found[part] = rows[part] @ matrix
    return found


def distinct_sources(found: Standing, words: Tensor, n: int, *, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """The places of the most distinct rows: those whose largest cell is highest, and those whose lowest is lowest.

    Each in order, equal ones by place, and as many as it takes to have n words. ``words`` (n_sources,): the number of
    each source's word. ``block``: numbers in the largest temporary.
    """
    peaks, margin = _peaks(found)
    first = [_first(found, side, peak, margin, words, n, block) for side, peak in zip((1, -1), peaks, strict=True)]
    return first[0], first[1]


def in_order(scores: Tensor, places: Tensor, words: Tensor, n: int) -> Tensor:
    """Of these ``places``, ascending, those with the largest ``scores``, in order: as many as n words take."""
    if len(scores) > 4 * n:  # enough nearly always; with all that equal the last
        few = (scores >= scores.topk(4 * n).values[-1]).nonzero()[:, 0]
        if len(set(words[places[few]].tolist())) >= n:
            scores, places = scores[few], places[few]
    places = places[scores.sort(descending=True, stable=True).indices]
    seen: set[int] = set()
    for last, word in enumerate(words[places].tolist()):
        seen.add(word)
        if len(seen) == n:
            return places[: last + 1]
    return places


def _first(found: Standing, side: int, peak: Tensor, margin: Tensor, words: Tensor, n: int, block: int) -> Tensor:
    """The first rows of one side, of peaks (n_sources,) that are right within a margin."""
    sure = torch.full_like(peak, -torch.inf).scatter_reduce_(0, words, peak - margin, "amax")
    bound = sure.topk(min(n, len(sure))).values[-1]
    places = (peak + margin >= bound).nonzero()[:, 0]
    exact = torch.empty(len(places), dtype=torch.float32, device=peak.device)
    for part in blocks(len(places), len(found.targets), block):
        exact[part] = (side * (found.sources[places[part]] @ found.targets.mT)).amax(dim=1).float()
    return in_order(exact, places, words, n)


def _peaks(found: Standing) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The largest cell of each row and the largest of its negative, (n,), and the margin within which they are right.

    Both are at least 0, as the mean of a row is.
    """
    dtype = quickest(found.sources.device.type)
    sources, targets = found.sources.to(dtype), found.targets.to(dtype)
    length = torch.linalg.vector_norm(found.targets, dim=1).max()
    unit = 0.51 * torch.finfo(dtype).eps
    error = torch.linalg.vector_norm(found.sources - sources, dim=1) * length
    error += torch.linalg.vector_norm(found.targets - targets, dim=1).max() * (1 + unit)
    error += 2 * sources.shape[1] * torch.finfo(torch.float32).eps * length  # of sums, and of what is compared
    tile = torch.empty(TILE[0] * TILE[1], dtype=dtype, device=sources.device)
    high, low = (_comparable(torch.zeros(len(sources), dtype=dtype, device=sources.device)) for _ in range(2))
    for rows in blocks(len(sources), 1, TILE[0]):
        for columns in blocks(len(targets), 1, TILE[1]):
            left, right = sources[rows], targets[columns]
            cells = torch.mm(left, right.mT, out=tile[: len(left) * len(right)].view(len(left), len(right)))
            torch.maximum(high[rows], _comparable(cells).amax(dim=1), out=high[rows])
            torch.maximum(low[rows], _comparable(cells.neg_()).amax(dim=1), out=low[rows])
    high, low = (side.view(dtype).float() for side in (high, low))
    return (high, low), (error + unit * (torch.maximum(high, low) + error)).float()


def _comparable(numbers: Tensor) -> Tensor:
    """Numbers in the same memory, of which those above 0 are in order and above all others: those in bfloat16 by their
    bits, as whole numbers, which are compared ten times as fast."""
    return numbers.view(torch.int16) if numbers.dtype == torch.bfloat16 else numbers
