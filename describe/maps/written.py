"""Words that somebody wrote, put to heads: the exact answers by which descriptions are tested, no LLM asked.

For source words s with company c(s) (tokens as common as s), and outputs t that are expected of s,

    inputs  = mean over s of P(saliency(s) > saliency(c))      c of c(s)
    outputs = mean over s and t of P(z(s, t) > z(s', t))       s' of the others written

of which t is not expected, with z(s, t) = (M[s, t] - mean of row s) / (its spread), so that like is compared with like:
an output that comes whatever the input gives 0.5, and so do words that the head does not single out. Ties count half.
The mean and spread of a row over all targets are exact, from the mean and covariance of U: no row of M is computed.

The level is what random heads of the same singular values give for the very same words (`describe.maps.chance`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from describe.maps.blocks import BLOCK, Rows, blocks
from describe.maps.placebo import RandomAxes
from describe.maps.saliency import saliencies
from describe.maps.view import LayerView
from describe.weights.model import LayerWeights

__all__ = ["Answers", "RandomHeads", "TargetSpread", "Written", "answers", "target_spread"]


@dataclass(frozen=True)
class Written:
    """Words that a description led to, as places in a view.

    Attributes:
        inputs: places of the source words in the view's sources, (n,).
        company: places of tokens as common as each, (n, c).
        outputs: for each source word the places of the expected outputs in the view's targets.
        suppressed: the outputs are expected to be pushed down.
    """

    inputs: Tensor
    company: Tensor
    outputs: tuple[tuple[int, ...], ...]
    suppressed: bool = False

    @property
    def columns(self) -> list[int]:
        """The places of all outputs, each once."""
        return sorted({place for row in self.outputs for place in row})


@dataclass(frozen=True)
class Answers:
    """How well heads bear out what was written, word by word, 0.5 by chance.

    Attributes:
        inputs: (heads, n).
        outputs: (heads, n); NaN of words of which no output is expected, or the same as of all others.
    """

    inputs: Tensor
    outputs: Tensor

    @property
    def of_inputs(self) -> Tensor:
        """The mean over words, (heads,)."""
        return self.inputs.mean(dim=1)

    @property
    def of_outputs(self) -> Tensor:
        """The mean over words that expect an output, (heads,); 0.5 where none does: nothing is said of outputs."""
        return self.outputs.nanmean(dim=1).nan_to_num(0.5)

    @property
    def both(self) -> Tensor:
        """The mean of the two, (heads,): the value of the measure."""
        return (self.of_inputs + self.of_outputs) / 2


@dataclass(frozen=True)
class TargetSpread:
    """The mean (d,) and covariance (d, d) of the rows of U, over the targets of a view."""

    mean: Tensor
    covariance: Tensor


def target_spread(view: LayerView, numbers: int = BLOCK) -> TargetSpread:
    """The mean and covariance of a view's unembedding rows, in float64, block by block."""
    m, d = view.unembed.shape
    like = view.x.norms
    total = torch.zeros(d, device=like.device, dtype=torch.float64)
    squares = torch.zeros(d, d, device=like.device, dtype=torch.float64)
    for block in blocks(m, d, numbers):
        rows = view.unembed[block].to(like)
        total += rows.sum(0).double()
        squares += (rows.mT @ rows).double()
    mean = total / m
    return TargetSpread(mean, squares / m - torch.outer(mean, mean))


def answers(view: LayerView, layer: LayerWeights, spread: TargetSpread, written: Sequence[Written]) -> list[Answers]:
    """How well each head of a layer, (heads,), bears out each of what was written."""
    like = view.x.norms
    value, output = layer.value.to(like), layer.output.to(like)
    group = torch.arange(len(output), device=like.device) // (len(output) // len(value))
    saliency = saliencies(view.x, value, output)
    means = output.double() @ spread.mean
    covariances = output.double() @ spread.covariance @ output.mT.double()
    found = []
    for one in written:
        z = (view.x.of(one.inputs) @ value)[group]  # (H, n, dh)
        out = output @ _columns(view, one).mT  # (H, dh, columns)
        places = torch.cat([one.inputs, one.company.flatten()]).to(saliency.device)
        found.append(_answers(one, saliency[:, places], z, out, means, covariances))
    return found


class RandomHeads:
    """Heads that read and write along columns of two random rotations, as in `describe.maps.chance`.

    Args:
        like: a tensor on the device and in the precision to compute in.
        d, width, heads: the model's d, the heads' dh, and how many there are.
    """

    def __init__(self, spread: TargetSpread, like: Tensor, *, d: int, width: int, heads: int, seed: int) -> None:
        self._axes = RandomAxes.drawn(like, d=d, width=width, heads=heads, seed=seed)
        turned, out = self._axes.write.mT.double(), self._axes.out
        self._means = (turned @ spread.mean)[out]  # (heads, dh)
        self._covariances = (turned @ spread.covariance @ turned.mT)[out[:, :, None], out[:, None, :]]

    def answers(self, view: LayerView, singular: Tensor, one: Written) -> Answers:
        """How well such heads with these ``singular`` values (dh,) bear out what was written."""
        axes = self._axes
        singular = singular.to(axes.read)
        squares = axes.squares(singular.expand(axes.into.shape))
        places = torch.cat([one.inputs, one.company.flatten()])
        held = view.x.of(places) @ axes.read  # (n + n c, d)
        norms = view.x.norms[places.to(view.x.norms.device)]
        saliency = (squares @ held.square().mT).sqrt() / torch.where(norms > 0, norms, torch.ones_like(norms))
        z = held[: len(one.inputs)][:, axes.into].permute(1, 0, 2) * singular  # (heads, n, dh)
        out = (_columns(view, one) @ axes.write)[:, axes.out].permute(1, 2, 0)  # (heads, dh, columns)
        return _answers(one, saliency, z, out, self._means, self._covariances)


def _columns(view: LayerView, one: Written) -> Tensor:
    """The unembedding of the outputs, (columns, d), on the device."""
    rows: Rows = view.unembed
    return rows[torch.tensor(one.columns, dtype=torch.long)].to(view.x.norms)


def _answers(one: Written, saliency: Tensor, z: Tensor, out: Tensor, means: Tensor, covariances: Tensor) -> Answers:
    """Of heads' ``saliency`` (H, n + n c) of inputs and company, ``z`` (H, n, dh) and ``out`` (H, dh, columns)."""
    n = len(one.inputs)
    own, company = saliency[:, :n, None], saliency[:, n:].view(len(saliency), n, -1)
    inputs = _above(own, company).mean(dim=2)
    wide = z.double()
    spread = ((wide @ covariances) * wide).sum(-1).clamp_(min=0).sqrt()
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    scores = (wide @ out.double() - (wide @ means[:, :, None])) / spread[:, :, None]  # (H, n, columns)
    scores = (-scores if one.suppressed else scores).to(saliency)
    place = {column: i for i, column in enumerate(one.columns)}
    expected = torch.zeros(n, len(place), dtype=torch.bool, device=z.device)
    for row, places in enumerate(one.outputs):
        expected[row, [place[column] for column in places]] = True
    others = (~expected).sum(dim=0)  # of each column
    above = torch.stack([_above(scores[:, i, None], scores).masked_fill_(expected, 0).sum(1) for i in range(n)], dim=1)
    counted = expected & (others > 0)
    shares = (above / others.clamp(min=1)).masked_fill(~counted, 0).sum(2)
    outputs = shares / counted.sum(1)  # 0 / 0 where nothing is expected
    return Answers(inputs.double().cpu(), outputs.double().cpu())


def _above(one: Tensor, others: Tensor) -> Tensor:
    """1 where larger, one half where equal."""
    return ((one > others).to(others.dtype) + (one >= others).to(others.dtype)) / 2
