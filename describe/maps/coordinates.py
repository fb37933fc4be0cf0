"""A head in coordinates of its own, in which it is no larger than dh: M = read write^T.

    x(s) W_V W_O U[:, t]  =  (x(s) W_V R^T) (Q^T U[:, t])         W_O^T = Q R, Q^T Q = 1

The rows of ``read`` (n, r) are what the head writes for each source, in an orthonormal basis Q of all that it can
write, so their norms are those of x(s) W_VO; the rows of ``write`` (m, r) are the targets in this basis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.maps.blocks import BLOCK, Rows, in_blocks
from describe.maps.placebo import orthonormal
from describe.maps.view import LayerView
from describe.weights.model import LayerWeights

__all__ = ["TOGETHER", "HeadCoordinates", "own_heads", "random_heads_of"]

TOGETHER = 1 << 24
"""Numbers in what the heads that are looked at together write: 64 MiB in float32."""


@dataclass(frozen=True)
class HeadCoordinates:
    """A head over the n sources and m targets of a view.

    Attributes:
        read: (n, r), and ``write`` (m, r): M = read write^T, and |read[s]| = |x(s) W_VO|.
        constant: the same of the mean source vector that was taken off, (r,), with b_V; None where none was.
    """

    read: Tensor
    write: Tensor
    constant: Tensor | None = None


def own_heads(view: LayerView, layer: LayerWeights, *, block: int = BLOCK) -> Iterator[HeadCoordinates]:
    """Each head of a layer, W_V (G, d, dh) and W_O (H, dh, d), over the tokens of a view.

    Computed on the device and in the precision of the source vectors' norms. ``block``: numbers in the largest
    temporary. Raises `CheckpointError` when the weights are not finite.
    """
    value, output = layer.value.to(view.x.norms), layer.output.to(view.x.norms)
    per_group, n = len(output) // len(value), len(view.targets)
    bases, triangles = torch.linalg.qr(output.mT)
    width = bases.shape[2]
    together = max(1, TOGETHER // max(1, n * width))
    for first in range(0, len(output), together):
        some = range(first, min(first + together, len(output)))
        groups = range(some.start // per_group, (some.stop - 1) // per_group + 1)
        taken = _sources_times(view, torch.cat([value[group] for group in groups], dim=1), block)
        writes = _times(view.unembed, torch.cat([bases[head] for head in some], dim=1), block)
        if not bool(torch.isfinite(taken.sum() + writes.sum())):
            raise CheckpointError("the value or output matrices hold values that are not finite (NaN or infinity)")
        for place, head in enumerate(some):
            group, dh = head // per_group, value.shape[2]
            read = taken[:, (group - groups.start) * dh :][:, :dh] @ triangles[head].mT
            constant = None
            if view.mean is not None:
                always = view.mean.to(value) @ value[group]
                bias = 0 if layer.value_bias is None else layer.value_bias[group].to(value)
                constant = (always + bias) @ triangles[head].mT
            write = writes[:, place * width : (place + 1) * width]
            yield HeadCoordinates(read, write, constant)


def random_heads_of(view: LayerView, singular: Tensor, *, seed: int, block: int = BLOCK) -> Iterator[HeadCoordinates]:
    """Random heads with these ``singular`` values (H, r), over the tokens of a view.

    Each is A diag(s) B^T with A and B from all matrices with orthonormal columns alike. Heads take columns of one
    random rotation for A and of another for B (`describe.maps.chance`), so that hundreds cost two matrix products:
    d // r heads columns of their own, the next as many other choices of them.
    """
    d, width = view.x.vectors.shape[1], singular.shape[1]
    draw = torch.Generator().manual_seed(seed)
    into, out = (orthonormal(d, d, draw).to(view.x.norms) for _ in range(2))
    taken, writes = _sources_times(view, into, block), _times(view.unembed, out, block)
    mean = None if view.mean is None else view.mean.to(into) @ into
    for number, spectrum in enumerate(singular.to(view.x.norms)):
        start = number % (d // width) * width
        if number and not start:  # all columns were taken: others go together from here on
            across, along = (torch.randperm(d, generator=draw).to(into.device) for _ in range(2))
            taken, writes = taken[:, across], writes[:, along]
            mean = None if mean is None else mean[across]
        some = slice(start, start + width)
        constant = None if mean is None else mean[some] * spectrum
        yield HeadCoordinates(taken[:, some] * spectrum, writes[:, some], constant)


def _sources_times(view: LayerView, matrix: Tensor, block: int) -> Tensor:
    found = matrix.new_empty(len(view.x.norms), matrix.shape[1])

    def fill(rows: slice) -> None:
        torch.mm(view.x.of(rows), matrix, out=found[rows])

    in_blocks(len(found), max(matrix.shape), fill, numbers=block)
    return found


def _times(rows: Rows, matrix: Tensor, block: int) -> Tensor:
    """Rows (m, d) times a matrix (d, r), where the matrix is and in its precision."""
    found = matrix.new_empty(rows.shape[0], matrix.shape[1])

    def fill(part: slice) -> None:
        torch.mm(rows[part].to(matrix), matrix, out=found[part])

    in_blocks(len(found), max(matrix.shape), fill, numbers=block)
    return found
