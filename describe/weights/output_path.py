"""The way of a head's output to the logits, past the layers in between: what the reading ``direct`` folds into U.

A head's output w (d,) is added to the residual stream, which the final norm and U turn into logits. A norm divides by a
number that depends on all that is in the stream, its *scale*; with the scale left out, a norm is linear: RMSNorm
multiplies by its gain, LayerNorm takes the mean off before (centring). So the logits of w are

    w -> gain of the norm behind attention -> what the stream goes through -> centring, gain of the final norm -> U

up to one factor a token, and the same is had by taking U's rows through the steps in reverse, once a layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Lens", "OutputPath", "Step"]


@dataclass(frozen=True)
class Step:
    """A norm without its scale and bias, or a factor: ``gain`` (d,) is None where it has none, ``centred`` where the
    mean is taken off before."""

    gain: Tensor | None
    centred: bool = False

    def equals(self, other: Step | Lens) -> bool:
        """Whether it is the same step."""
        if isinstance(other, Lens):
            return False
        if self.gain is None or other.gain is None:
            return self.gain is other.gain and self.centred == other.centred
        return self.centred == other.centred and torch.equal(self.gain, other.gain)

    def back(self, rows: Tensor) -> Tensor:
        """Rows (m, d) of U before this step, of those behind it: w step U^T = w back(U)^T for every w."""
        rows = rows if self.gain is None else rows * self.gain.to(rows)
        return rows - rows.mean(dim=-1, keepdim=True) if self.centred else rows


@dataclass(frozen=True)
class Lens:
    """A linear map of the residual stream, (d, d): w stands at w @ ``matrix`` behind it."""

    matrix: Tensor

    def equals(self, other: Step | Lens) -> bool:
        """Whether it is the same map."""
        return isinstance(other, Lens) and torch.equal(self.matrix, other.matrix)

    def back(self, rows: Tensor) -> Tensor:
        """Rows (m, d) of U before the map, of those behind it."""
        return rows @ self.matrix.to(rows).mT


@dataclass(frozen=True)
class OutputPath:
    """The steps of a head's output on its way to U, scales left out, in the order in which it goes through them."""

    steps: tuple[Step | Lens, ...]

    def equals(self, other: OutputPath) -> bool:
        """Whether the steps are the same."""
        mine, others = self.steps, other.steps
        return len(mine) == len(others) and all(one.equals(two) for one, two in zip(mine, others, strict=True))

    def folded(self, unembed: Tensor) -> Tensor:
        """Rows (m, d) of U transposed with the steps folded in, in their precision or float32."""
        rows = unembed.to(torch.promote_types(unembed.dtype, torch.float32))
        for step in reversed(self.steps):
            rows = step.back(rows)
        return rows
