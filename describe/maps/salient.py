"""The salient operation of every head of a layer (MAPS, arXiv 2412.11965, section 3.2), from the weights alone.

The equations, for a source vector x = x(t) of dimension d and a head with W_V (d, dh) and W_O (dh, d):

    saliency(t) = |x W_V W_O| / |x|          over the whole vocabulary
    M[s, t]     = x(s) W_V W_O U[:, t]       for the most salient s, and for some others drawn at random

W_V W_O is never formed. With the QR decomposition W_O^T = Q R, |z W_O| = |z R^T| for every z = x W_V, so saliency costs
dh (d + dh) multiply-adds a token and head instead of d * d; heads that share W_V share z.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.maps.blocks import BLOCK, Rows, in_blocks
from describe.maps.screening import extreme_targets, largest
from describe.maps.vectors import SourceVectors
from describe.weights.model import LayerWeights

__all__ = [
    "SalientOperations",
    "saliencies",
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
