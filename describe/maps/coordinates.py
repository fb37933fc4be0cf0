"""A head in coordinates of its own, in which it is no larger than dh: M = read write^T.

    x(s) W_V W_O U[:, t]  =  (x(s) W_V R^T) (Q^T U[:, t])         W_O^T = Q R, Q^T Q = 1

The rows of ``read`` (n, r) are what the head writes for each source, in an orthonormal basis Q of all that it can
write, so their norms are those of x(s) W_VO; the rows of ``write`` (m, r) are the targets in this basis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.maps.blocks import BLOCK, Rows, blocks, in_blocks
from describe.maps.placebo import orthonormal
from describe.maps.view import LayerView
from describe.weights.model import LayerWeights

__all__ = ["HeadCoordinates", "HeadsTogether", "own_heads", "random_heads_of"]

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


@dataclass(frozen=True)
class HeadsTogether:
    """H heads over one view, side by side: so many small products are one large one, and as fast as that.

    Attributes:
        read: (n, H, r), ``write`` (m, H, r) and ``constant`` (H, r), as each head has them.
    """

    read: Tensor
    write: Tensor
    constant: Tensor | None = None

    def __iter__(self) -> Iterator[HeadCoordinates]:
        for head in range(self.read.shape[1]):
            constant = None if self.constant is None else self.constant[head]
            yield HeadCoordinates(self.read[:, head], self.write[:, head], constant)


def own_heads(view: LayerView, layer: LayerWeights, *, block: int = BLOCK) -> Iterator[HeadsTogether]:
    """The heads of a layer, W_V (G, d, dh) and W_O (H, dh, d), over the tokens of a view, in order.

    Computed on the device and in the precision of the source vectors' norms. ``block``: numbers in the largest
    temporary. Raises `CheckpointError` when the weights are not finite.
    """
    value, output = layer.value.to(view.x.norms), layer.output.to(view.x.norms)
    bases, triangles = torch.linalg.qr(output.mT)  # (H, d, r), (H, r, dh)
    if not bool(torch.isfinite(value.sum() + triangles.sum())):
        raise CheckpointError("the value or output matrices hold values that are not finite (NaN or infinity)")
    per_group, always = len(output) // len(value), None
    if view.mean is not None:
        always = view.mean.to(value) @ value
        if layer.value_bias is not None:
            always += layer.value_bias.to(value)
    for some in blocks(len(output), len(view.targets) * bases.shape[2], TOGETHER):
        groups = [head // per_group for head in range(len(output))[some]]
        read = _reads(view, value, groups, triangles[some], block)
        write = _times(view.unembed, _beside(bases[some]), block).view(-1, len(groups), bases.shape[2])
        constant = None if always is None else (triangles[some] @ always[groups][:, :, None])[:, :, 0]
        yield HeadsTogether(read, write, constant)


def random_heads_of(view: LayerView, singular: Tensor, *, seed: int, block: int = BLOCK) -> Iterator[HeadsTogether]:
    """Random heads with these ``singular`` values (H, r), over the tokens of a view, in order.

    Each is A diag(s) B^T with A and B from all matrices with orthonormal columns alike. Heads take columns of one
    random rotation for A and of another for B (`describe.maps.chance`), so that hundreds cost two matrix products:
    d // r heads columns of their own, the next as many other choices of them.
    """
    d, width = view.x.vectors.shape[1], singular.shape[1]
    draw = torch.Generator().manual_seed(seed)
    into, out = (orthonormal(d, d, draw).to(view.x.norms) for _ in range(2))
    taken, writes = _times(view.x.vectors, into, block), _times(view.unembed, out, block)
    mean = None if view.mean is None else view.mean.to(into) @ into
    for place, spectra in enumerate(torch.split(singular.to(view.x.norms), d // width)):
        if place:  # all columns were taken: others go together from here on
            across, along = (torch.randperm(d, generator=draw).to(into.device) for _ in range(2))
            taken, writes = taken[:, across], writes[:, along]
            mean = None if mean is None else mean[across]
        for some in blocks(len(spectra), len(view.targets) * width, TOGETHER):
            columns, spectrum = slice(some.start * width, some.stop * width), spectra[some]
            read, write = (rows[:, columns].view(-1, *spectrum.shape) for rows in (taken, writes))
            constant = None if mean is None else mean[columns].view(spectrum.shape) * spectrum
            yield HeadsTogether(read * spectrum, write, constant)


def _reads(view: LayerView, value: Tensor, groups: Sequence[int], triangles: Tensor, block: int) -> Tensor:
    """``read`` of some heads, (n, H, r): each reads by its group of ``value`` (G, d, dh) and has its triangle, of
    (H, r, dh)."""
    found = value.new_empty(len(view.x.norms), *triangles.shape[:2])
    joined, factors = _beside(value[groups[0] : groups[-1] + 1]), _beside(triangles.mT)
    widths = [heads * triangles.shape[1] for heads in Counter(groups).values()]

    def fill(rows: slice) -> None:
        taken, written = view.x.of(rows) @ joined, found[rows].flatten(1)
        by_group = torch.split(taken, value.shape[2], dim=1)
        of_heads = (torch.split(of, widths, dim=1) for of in (factors, written))
        for of_group, factor, out in zip(by_group, *of_heads, strict=True):
            torch.mm(of_group, factor, out=out)

    in_blocks(len(found), max(*joined.shape, factors.shape[1]), fill, numbers=block)
    return found


def _times(rows: Rows, matrix: Tensor, block: int) -> Tensor:
    """Rows (n, d) times a matrix (d, r), where the matrix is and in its precision."""
    found = matrix.new_empty(rows.shape[0], matrix.shape[1])

    def fill(part: slice) -> None:
        torch.mm(rows[part].to(matrix), matrix, out=found[part])

    in_blocks(len(found), max(matrix.shape), fill, numbers=block)
    return found


def _beside(matrices: Tensor) -> Tensor:
    """Matrices (H, a, b) side by side, (a, H b)."""
    return matrices.transpose(0, 1).flatten(1)
