"""Placebos: heads that do nothing in particular, with the numbers of a real head.

    shuffled   the head's own rows, each with the targets of another row
    random     W_VO = A diag(s) B^T in the place of W_V W_O, with its singular values s and A, B (d, dh) drawn from
               all matrices with orthonormal columns alike (Haar measure)

What a describer says of a shuffled head about the pairing of sources and targets is false, and what it says of a random
head is chance in the geometry of the embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from describe.records import HeadMapping, MappingRow
from describe.weights.model import LayerWeights

__all__ = ["RandomAxes", "orthonormal", "random_heads", "shuffled"]


def random_heads(layer: LayerWeights, heads: Sequence[int], seed: int) -> LayerWeights:
    """For each of these heads of a layer a random one with the singular values of its W_V W_O; none share W_V.

    Returns W_V = A diag(s) (h, d, dh) and W_O = B^T (h, dh, d), in float64; what is drawn depends on ``seed`` plus the
    head's place in the layer.
    """
    per_group = layer.output.shape[0] // layer.value.shape[0]
    value, output = [], []
    for head in heads:
        spectrum = _singular_values(layer.value[head // per_group], layer.output[head])
        draw = torch.Generator().manual_seed(seed + head)
        value.append(orthonormal(layer.value.shape[1], len(spectrum), draw) * spectrum)
        output.append(orthonormal(layer.output.shape[2], len(spectrum), draw).mT)
    return LayerWeights(torch.stack(value), torch.stack(output))


def shuffled(mapping: HeadMapping, seed: int) -> HeadMapping:
    """A head's sources with the targets of other rows; rows of each order, held-out and random ones among themselves.

    No row keeps its own targets (a random cyclic permutation), unless it is the only one. The constant part stays.
    """
    draw = torch.Generator().manual_seed(seed)
    return replace(
        mapping,
        evidence=(),
        salient=_moved(mapping.salient, draw),
        held_out=_moved(mapping.held_out, draw),
        sampled=_moved(mapping.sampled, draw),
        distinct=_moved(mapping.distinct, draw),
        suppressing=_moved(mapping.suppressing, draw),
    )


def _moved(rows: tuple[MappingRow, ...], draw: torch.Generator) -> tuple[MappingRow, ...]:
    order = torch.randperm(len(rows), generator=draw).tolist()
    moved = {to: rows[given] for to, given in zip(order, [*order[1:], *order[:1]], strict=True)}
    return tuple(replace(row, targets=moved[i].targets, suppressed=moved[i].suppressed) for i, row in enumerate(rows))


def _singular_values(value: Tensor, output: Tensor) -> Tensor:
    """Those of W_V W_O, of W_V (d, dh) and W_O (dh, d), from the largest down, (dh,); by QR, without forming it."""
    read = torch.linalg.qr(value.to("cpu", torch.float64), mode="r").R
    written = torch.linalg.qr(output.to("cpu", torch.float64).mT, mode="r").R
    found: Tensor = torch.linalg.svdvals(read @ written.mT)
    return found


def orthonormal(d: int, n: int, draw: torch.Generator) -> Tensor:
    """A (d, n) matrix with orthonormal columns, all alike (QR of Gaussian numbers, signs as Mezzadri 2007 has them)."""
    q, r = torch.linalg.qr(torch.randn(d, n, generator=draw, dtype=torch.float64))
    signed: Tensor = q * r.diagonal().sign()
    return signed


@dataclass(frozen=True)
class RandomAxes:
    """Two random rotations (d, d) that heads share, and the columns (heads, width) of either that each takes.

    Attributes:
        read, write: the rotations; ``into``, ``out``: the columns that a head reads and writes along.
    """

    read: Tensor
    write: Tensor
    into: Tensor
    out: Tensor

    @classmethod
    def drawn(cls, like: Tensor, *, d: int, width: int, heads: int, seed: int) -> RandomAxes:
        """On the device and, the rotations, in the precision of ``like``."""
        draw = torch.Generator().manual_seed(seed)
        read, write = (orthonormal(d, d, draw).to(like) for _ in range(2))
        into, out = (
            torch.stack([torch.randperm(d, generator=draw)[:width] for _ in range(heads)]).to(like.device)
            for _ in range(2)
        )
        return cls(read, write, into, out)

    def squares(self, singular: Tensor) -> Tensor:
        """The squared ``singular`` values (heads, width) in the places of the columns read along, (heads, d)."""
        return torch.zeros(len(self.into), len(self.read)).to(self.read).scatter_(1, self.into, singular**2)
