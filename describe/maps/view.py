"""One layer as a reading sees it: what its heads read for which tokens, and how what they write becomes logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from describe.maps.blocks import Rows
from describe.maps.vectors import SourceVectors

__all__ = ["LayerView", "whole_vocabulary"]


@dataclass(frozen=True)
class LayerView:
    """A layer as a reading sees it. Tokens are in ascending order of their ids, so places order ties as ids do.

    Attributes:
        x: the source vectors of n source tokens, (n, d), with their norms; their mean already off where it is apart.
        sources: the ids of these tokens, (n,), ascending, on the device of the norms.
        unembed: U transposed, of m target tokens, (m, d), with gains and lens folded in.
        targets: the ids of these, (m,), ascending, likewise.
        mean: the mean source vector, (d,), which was taken off and gives the constant part; None where none was.
        words: for each source token the place of the first that is the same word, (n,); None where each is its own.
    """

    x: SourceVectors
    sources: Tensor
    unembed: Rows
    targets: Tensor
    mean: Tensor | None = None
    words: Tensor | None = None


def whole_vocabulary(x: SourceVectors, unembed: Rows) -> LayerView:
    """The paper's view: every row of E and U counts, nothing is folded in and nothing taken off."""
    device = x.norms.device
    sources, targets = (torch.arange(rows, device=device) for rows in (len(x.norms), unembed.shape[0]))
    return LayerView(x, sources, unembed, targets)
