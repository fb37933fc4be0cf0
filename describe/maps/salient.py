"""The salient operation of every head of a layer (MAPS, arXiv 2412.11965, section 3.2), from the weights alone.

The equations, for a source vector x = x(t) of dimension d and a head with W_V (d, dh) and W_O (dh, d):

    saliency(t) = |x W_V W_O| / |x|          over the whole vocabulary
    M[s, t]     = x(s) W_V W_O U[:, t]       for the most salient s, and for some others drawn at random

W_V W_O is never formed. With the QR decomposition W_O^T = Q R, |z W_O| = |z R^T| for every z = x W_V, so saliency costs
dh (d + dh) multiply-adds a token and head instead of d * d; heads that share W_V share z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from describe.errors import CheckpointError
from describe.maps.blocks import BLOCK, Rows, in_blocks
from describe.maps.vectors import SourceVectors
from describe.weights.model import LayerWeights

__all__ = [
    "SalientOperations",
    "extreme_targets",
    "largest",
    "saliencies",
    "salient_operations",
]

CHUNK = 64
"""Tokens whose largest logit is looked at before any single one."""


@dataclass(frozen=True)
class SalientOperations:
    """The salient operation of each head of a layer; n sources a head and k targets a source each way, strongest first.

    Attributes:
        sources: token ids, (H, n): the most salient, strongest first, then those drawn at random.
        saliency: |x W_VO| / |x| of the sources, (H, n).
        targets: token ids, (H, n, k).
        logits: M[source, target], (H, n, k).
        suppressed: the token ids with the lowest logits, (H, n, k), and ``suppressed_logits`` these, lowest first.
    """

    sources: Tensor
    saliency: Tensor
    targets: Tensor
    logits: Tensor
    suppressed: Tensor
    suppressed_logits: Tensor

    def split(self, n_heads: int) -> list[SalientOperations]:
        """These rows, ``n_heads`` heads at a time, on the CPU."""
        columns = (getattr(self, each.name).cpu().split(n_heads) for each in fields(self))
        return [SalientOperations(*parts) for parts in zip(*columns, strict=True)]


def salient_operations(
    x: SourceVectors,
    layer: LayerWeights,
    unembed: Rows,
    n: int,
    k: int,
    *,
    sample: int = 0,
    seed: int | Sequence[int] = 0,
    block: int = BLOCK,
) -> SalientOperations:
    """The n most salient sources of each head of a layer, and the k targets each promotes and suppresses the most.

    Args:
        x: the source vectors, with their norms on the device and in the precision to compute in.
        layer: W_V (G, d, dh) and W_O (H, dh, d), any device and precision; of several layers, one after another.
        unembed: U transposed, (V, d), any device and precision; moved block by block.
        sample: of how many other sources, drawn at random for each head, to see the targets too.
        seed: what the drawing depends on, besides V and n: of every head, or of the first, the others' following.
        block: numbers in the largest temporary.

    Equal scores are ordered by token id. Raises `CheckpointError` when the weights are not finite.
    """
    device, dtype = x.norms.device, x.norms.dtype
    value, output = layer.value.to(device, dtype), layer.output.to(device, dtype)
    n_heads, vocab_size = output.shape[0], x.norms.shape[0]
    n, k = min(n, vocab_size), min(k, unembed.shape[0])
    saliency = saliencies(x, value, output, block)
    if not bool(torch.isfinite(saliency).all()):
        raise CheckpointError("the value or output matrices hold values that are not finite (NaN or infinity)")
    _, sources = largest(saliency, n)
    seeds = range(seed, seed + n_heads) if isinstance(seed, int) else seed
    sources = torch.cat([sources, _drawn(sources, vocab_size, sample, seeds)], dim=1)
    written = torch.empty(*sources.shape, output.shape[2], device=device, dtype=dtype)
    for head, group in enumerate(torch.arange(value.shape[0]).repeat_interleave(n_heads // value.shape[0])):
        written[head] = x.of(sources[head]) @ value[group] @ output[head]
    found = extreme_targets(written.flatten(0, 1), unembed, k, block)
    return SalientOperations(
        sources, saliency.gather(1, sources), *(column.view(*sources.shape, -1) for column in found)
    )


def saliencies(x: SourceVectors, value: Tensor, output: Tensor, numbers: int = BLOCK) -> Tensor:
    """saliency(t) of every head and token, (H, V). A zero source vector has saliency 0."""
    n_groups, d, dh = value.shape
    per_group = output.shape[0] // n_groups
    joined = value.transpose(0, 1).reshape(d, n_groups * dh)
    # R^T of each head, side by side for the heads that share a group: (G, dh, per_group * rank)
    factor = torch.stack([torch.linalg.qr(matrix.mT, mode="r").R.mT for matrix in output])
    rank = factor.shape[-1]
    factors = factor.reshape(n_groups, per_group, dh, rank).transpose(1, 2).flatten(2)
    saliency = torch.empty(output.shape[0], len(x.norms), device=x.norms.device, dtype=x.norms.dtype)

    def fill(block: slice) -> None:
        read = x.of(block) @ joined
        for group in range(n_groups):
            written = read[:, group * dh : (group + 1) * dh] @ factors[group]
            norms = torch.linalg.vector_norm(written.view(-1, per_group, rank), dim=2)
            saliency[group * per_group : (group + 1) * per_group, block] = norms.T

    in_blocks(len(x.norms), max(2 * output.shape[0] * rank, d), fill, numbers=numbers)
    return saliency.div_(x.norms).masked_fill_(x.norms == 0, 0)


def extreme_targets(written: Tensor, unembed: Rows, k: int, numbers: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Over the vocabulary, for each row of ``written`` (m, d): the ids of the k largest logits and these, then the ids
    of the k smallest and these, each (m, k)."""
    ways = (_Best(written, k), _Best(written, k))

    def scan(block: slice) -> None:
        logits = written @ unembed[block].to(written).mT
        found = [best.with_block(logits if way == 0 else logits.neg_(), block.start) for way, best in enumerate(ways)]
        for best, of_block in zip(ways, found, strict=True):
            best.values, best.ids = of_block

    numbers = max(numbers, 8 * CHUNK * max(written.shape))
    in_blocks(unembed.shape[0], max(written.shape), scan, numbers=numbers, multiple=CHUNK)
    return ways[0].ids, ways[0].values, ways[1].ids, -ways[1].values


class _Best:
    """The k largest of each row so far: ``values`` from the largest down, ``ids``; (m, 0) before the first block."""

    def __init__(self, rows: Tensor, k: int) -> None:
        self._k = k
        self.values = rows.new_empty(rows.shape[0], 0)
        self.ids = self.values.long()

    def with_block(self, scores: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """``values`` and ``ids`` with a block (m, b) of scores taken in, whose first column is the id ``start``.

        Nearly all that a block holds is below what is there already, which the largest of each chunk tell.
        """
        if scores.shape[1] % CHUNK:  # the last block
            scores = F.pad(scores, (0, -scores.shape[1] % CHUNK), value=-torch.inf)
        m, width = scores.shape
        n_chunks = width // CHUNK
        if n_chunks <= self._k:
            ids = torch.arange(start, start + width, device=scores.device).expand(m, width)
            return self._merged(slice(None), scores, ids)
        chunks = scores.view(m, n_chunks, CHUNK)
        tops = chunks.amax(dim=2)
        full = self.values.shape[1] == self._k
        rows = (tops.amax(dim=1) > self.values[:, -1]).nonzero()[:, 0] if full else torch.arange(m, device=tops.device)
        # The k largest of a row, equal ones by id, lie in the k chunks with the largest tops, equal ones by place.
        chosen = largest(tops[rows], self._k)[1].sort(dim=1).values
        few = chunks[rows[:, None], chosen].flatten(1)
        ids = (start + CHUNK * chosen[:, :, None] + torch.arange(CHUNK, device=chosen.device)).flatten(1)
        values, kept = self._merged(rows, few, ids)
        if not full:
            return values, kept
        return self.values.index_copy(0, rows, values), self.ids.index_copy(0, rows, kept)

    def _merged(self, rows: slice | Tensor, scores: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Some rows merged with further scores of ascending higher ids: the k largest of both."""
        ids = torch.cat([self.ids[rows], ids], dim=1)
        values, places = largest(torch.cat([self.values[rows], scores], dim=1), self._k)
        return values, ids.gather(1, places)


def _drawn(taken: Tensor, vocab_size: int, sample: int, seeds: Sequence[int]) -> Tensor:
    """``sample`` other token ids for each head, (H, sample), none twice and none among its ``taken`` (H, n)."""
    sample = min(sample, vocab_size - taken.shape[1])
    drawn = []
    for seed, ids in zip(seeds, taken.cpu(), strict=True):
        source = torch.Generator().manual_seed(seed)
        order = torch.randperm(vocab_size, generator=source)
        drawn.append(order[~torch.isin(order, ids)][:sample])
    return torch.stack(drawn).to(taken.device)


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
