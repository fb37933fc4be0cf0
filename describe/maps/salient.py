"""The salient operation of every head of a layer (MAPS, arXiv 2412.11965, section 3.2), from the weights alone.

The equations, for a source vector x = x(t) of dimension d and a head with W_V (d, dh) and W_O (dh, d):

    saliency(t) = |x W_V W_O| / |x|          over the whole vocabulary
    M[s, t]     = x(s) W_V W_O U[:, t]       for the most salient s, and for some others drawn at random

Both by way of a low precision, exactly: see `describe.maps.saliency` and `describe.maps.screening`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from describe.maps.blocks import BLOCK, Rows
from describe.maps.saliency import exact_saliency, most_salient
from describe.maps.screening import extreme_targets
from describe.maps.vectors import SourceVectors
from describe.weights.model import LayerWeights

__all__ = [
    "SalientOperations",
    "salient_operations",
]


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
    most = most_salient(x, value, output, n, block)
    seeds = range(seed, seed + n_heads) if isinstance(seed, int) else seed
    drawn = _drawn(most.tokens, vocab_size, sample, seeds)
    sources = torch.cat([most.tokens, drawn], dim=1)
    written = torch.empty(*sources.shape, output.shape[2], device=device, dtype=dtype)
    of_drawn = torch.empty(drawn.shape, device=device, dtype=dtype)
    for head in range(n_heads):
        read = value[head // (n_heads // len(value))]
        of_drawn[head] = exact_saliency(x, read, most.factors[head], drawn[head], block)
        written[head] = x.of(sources[head]) @ read @ output[head]
    saliency = torch.cat([most.saliency, of_drawn], dim=1)
    found = extreme_targets(written.flatten(0, 1), unembed, k, block)
    return SalientOperations(sources, saliency, *(column.view(*sources.shape, -1) for column in found))


def _drawn(taken: Tensor, vocab_size: int, sample: int, seeds: Sequence[int]) -> Tensor:
    """``sample`` other token ids for each head, (H, sample), none twice and none among its ``taken`` (H, n)."""
    n = taken.shape[1]
    sample = min(sample, vocab_size - n)
    drawn = []
    for seed, ids in zip(seeds, taken.tolist(), strict=True):
        seen = set(ids)
        enough = random.Random(seed).sample(range(vocab_size), n + sample)  # noqa: S311  (no secret)
        drawn.append([token for token in enough if token not in seen][:sample])
    return torch.tensor(drawn, dtype=torch.long, device=taken.device).view(len(taken), sample)
