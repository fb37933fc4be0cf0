"""Random heads by the hundred, for what chance shows in the embeddings of a model.

A random head is W_VO = A diag(s) B^T as in `describe.maps.placebo`: A and B (d, dh) have Haar-random orthonormal
columns. Any dh columns of a Haar-random rotation Q (d, d) are such a matrix. So heads share a rotation Q for A and
another, P, for B, and each takes columns of its own, at random; that the heads of one rotation are not quite
independent costs a little precision, and the saliency of all of them is one product:

    saliency(t)^2 = sum_i s_i^2 (x Q)_i^2 / |x|^2        i: the columns that the head reads along
"""

from __future__ import annotations

import torch
from torch import Tensor

from describe.maps.blocks import BLOCK, Rows, in_blocks
from describe.maps.placebo import RandomAxes
from describe.maps.salient import SalientOperations
from describe.maps.screening import extreme_targets, largest
from describe.maps.vectors import SourceVectors

__all__ = ["random_operations"]


def random_operations(
    x: SourceVectors, unembed: Rows, singular: Tensor, n: int, k: int, *, seed: int, block: int = BLOCK
) -> SalientOperations:
    """Random heads with these ``singular`` values (H, dh): their n most salient sources, and k targets of each.

    Computed on the device and in the precision of the source vectors' norms. ``block``: numbers in the largest
    temporary.
    """
    d, (heads, width) = x.vectors.shape[1], singular.shape
    axes = RandomAxes.drawn(x.norms, d=d, width=width, heads=heads, seed=seed)
    read, write, into, out = axes.read, axes.write, axes.into, axes.out
    singular = singular.to(read)
    squares = axes.squares(singular).mT
    squared = torch.empty(heads, len(x.norms), device=read.device, dtype=read.dtype)

    def fill(rows: slice) -> None:
        squared[:, rows] = ((x.of(rows) @ read).square_() @ squares).mT

    in_blocks(len(x.norms), d + heads, fill, numbers=block)
    saliency, sources = largest(squared.sqrt_().div_(x.norms).masked_fill_(x.norms == 0, 0), n)
    written = torch.zeros(*sources.shape, d, device=read.device, dtype=read.dtype)
    for head in range(heads):
        written[head] = (x.of(sources[head]) @ read[:, into[head]] * singular[head]) @ write[:, out[head]].mT
    found = extreme_targets(written.flatten(0, 1), unembed, k, block)
    return SalientOperations(sources, saliency, *(column.view(*sources.shape, -1) for column in found))
