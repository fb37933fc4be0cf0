"""The salient operation of every head of a layer (MAPS, arXiv 2412.11965, section 3.2), from the weights alone.

The equations, for a source vector x = x(t) of dimension d and a head with W_V (d, dh) and W_O (dh, d):

    saliency(t) = |x W_V W_O| / |x|          over the whole vocabulary
    M[s, t]     = x(s) W_V W_O U[:, t]       for the most salient s, and for some others drawn at random

W_V W_O is never formed. With the QR decomposition W_O^T = Q R, |z W_O| = |z R^T| for every z = x W_V, so saliency costs
dh (d + dh) multiply-adds a token and head instead of d * d; heads that share W_V share z.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.weights.model import FirstMLP, LayerWeights

__all__ = ["SalientOperations", "SourceVectors", "salient_operations", "source_vectors"]

BLOCK_ELEMENTS = 1 << 22
"""Numbers in the largest temporary of a block (16 MiB in float32): enough for full speed, few enough for caches."""


@dataclass(frozen=True)
class SourceVectors:
    """The source vectors of a vocabulary: ``vectors`` (V, d), ``norms`` (V,)."""

    vectors: Tensor
    norms: Tensor


@dataclass(frozen=True)
class SalientOperations:
    """What each head of a layer does; n sources a head and k targets a source each way, strongest first.

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


def source_vectors(embed: Tensor, mlp: FirstMLP, device: torch.device, dtype: torch.dtype) -> SourceVectors:
    """x(t) = MLP_0(norm(E[t])) for every token t: E (V, d) in any precision to vectors (V, d) in ``dtype``.

    Raises `CheckpointError` when the weights hold values that are not finite.
    """
    mlp = mlp.to(device, dtype)
    vectors = torch.empty(embed.shape, device=device, dtype=dtype)
    for block in _blocks(embed.shape[0], mlp.up.shape[0]):
        vectors[block] = mlp(embed[block].to(device, dtype))
    norms = torch.linalg.vector_norm(vectors, dim=1)
    if not bool(torch.isfinite(norms).all()):
        raise CheckpointError("the embeddings or the first MLP hold values that are not finite (NaN or infinity)")
    return SourceVectors(vectors, norms)


def salient_operations(
    x: SourceVectors, layer: LayerWeights, unembed: Tensor, n: int, k: int, *, sample: int = 0, seed: int = 0
) -> SalientOperations:
    """The n most salient sources of each head of a layer, and the k targets each promotes and suppresses the most.

    Args:
        x: the source vectors, on the device and in the precision to compute in.
        layer: W_V (G, d, dh) and W_O (H, dh, d), any device and precision.
        unembed: U transposed, (V, d), any device and precision; moved block by block.
        sample: of how many other sources, drawn at random for each head, to see the targets too.
        seed: what the drawing depends on, besides V, n and the head's place in the layer.

    Equal scores are ordered by token id. Raises `CheckpointError` when the weights are not finite.
    """
    device, dtype = x.vectors.device, x.vectors.dtype
    value, output = layer.value.to(device, dtype), layer.output.to(device, dtype)
    n, k = min(n, x.vectors.shape[0]), min(k, unembed.shape[0])
    saliency = _saliency(x, value, output)
    if not bool(torch.isfinite(saliency).all()):
        raise CheckpointError("the value or output matrices hold values that are not finite (NaN or infinity)")
    _, sources = _top(saliency, n)
    sources = torch.cat([sources, _drawn(sources, saliency.shape[1], sample, seed)], dim=1)
    read = x.vectors[sources] @ value.repeat_interleave(output.shape[0] // value.shape[0], dim=0)
    written = read @ output  # (H, n, d)
    (logits, targets), (negated, suppressed) = _extreme_targets(written.flatten(0, 1), unembed, k)
    found = (targets, logits, suppressed, -negated)
    return SalientOperations(
        sources, saliency.gather(1, sources), *(column.view(*sources.shape, -1) for column in found)
    )


def _saliency(x: SourceVectors, value: Tensor, output: Tensor) -> Tensor:
    """saliency(t) of every head and token, (H, V). A zero source vector has saliency 0."""
    n_groups, d, dh = value.shape
    per_group = output.shape[0] // n_groups
    joined = value.transpose(0, 1).reshape(d, n_groups * dh)
    # R^T of each head, side by side for the heads that share a group: (G, dh, per_group * rank)
    factor = torch.linalg.qr(output.mT, mode="r").R.mT
    rank = factor.shape[-1]
    factors = factor.reshape(n_groups, per_group, dh, rank).transpose(1, 2).flatten(2)
    saliency = torch.empty(output.shape[0], x.vectors.shape[0], device=x.vectors.device, dtype=x.vectors.dtype)
    for block in _blocks(x.vectors.shape[0], 2 * output.shape[0] * rank):
        read = x.vectors[block] @ joined
        for group in range(n_groups):
            written = read[:, group * dh : (group + 1) * dh] @ factors[group]
            norms = torch.linalg.vector_norm(written.view(-1, per_group, rank), dim=2)
            saliency[group * per_group : (group + 1) * per_group, block] = norms.T
    return torch.where(x.norms > 0, saliency / x.norms, 0)


def _extreme_targets(written: Tensor, unembed: Tensor, k: int) -> list[tuple[Tensor, Tensor]]:
    """The k largest logits of each row of ``written`` (m, d) over the vocabulary, and their token ids, (m, k).

    Then the same of the logits with their sign turned.
    """
    empty = written.new_empty(written.shape[0], 0)
    best = [(empty, empty.long())] * 2
    for block in _blocks(unembed.shape[0], written.shape[0]):
        found = written @ unembed[block].to(written).mT
        for way in range(2):
            values, places = (found.neg_() if way else found).topk(min(k, found.shape[1]), dim=1)
            so_far, ids = best[way]
            best[way] = _ordered(torch.cat([so_far, values], dim=1), torch.cat([ids, places + block.start], dim=1), k)
    return best


def _drawn(taken: Tensor, vocab_size: int, sample: int, seed: int) -> Tensor:
    """``sample`` other token ids for each head, (H, sample), none twice and none among its ``taken`` (H, n)."""
    sample = min(sample, vocab_size - taken.shape[1])
    drawn = []
    for head, ids in enumerate(taken.cpu()):
        source = torch.Generator().manual_seed(seed + head)
        order = torch.randperm(vocab_size, generator=source)
        drawn.append(order[~torch.isin(order, ids)][:sample])
    return torch.stack(drawn).to(taken.device)


def _top(scores: Tensor, n: int) -> tuple[Tensor, Tensor]:
    values, ids = scores.topk(n, dim=1)
    return _ordered(values, ids, n)


def _ordered(values: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest values of each row, descending, equal values by ascending id."""
    by_id = ids.argsort(dim=1)
    values, ids = values.gather(1, by_id), ids.gather(1, by_id)
    order = values.argsort(dim=1, descending=True, stable=True)[:, :k]
    return values.gather(1, order), ids.gather(1, order)


def _blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices over ``rows`` so that a block of rows times ``width`` numbers stays within `BLOCK_ELEMENTS`."""
    step = max(1, BLOCK_ELEMENTS // max(1, width))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
