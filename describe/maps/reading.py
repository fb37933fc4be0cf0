"""A layer's heads as the reading ``direct`` shows them: rows in two orders, targets with how far they stand out, and
the constant part, which a head writes whatever it reads.

A row stands for a word: where the order comes upon another variant of a word that has a row already (other case, other
spacing), it is named in that row and takes none of its own.

The share of the constant part c is that of the variance of logits over targets which it makes, as a mean over sources:

    share = variance of c W^T / (variance of c W^T + mean of the variance of r W^T over the rows r of ``read``)

W being ``write``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.maps.blocks import BLOCK, blocks
from describe.maps.coordinates import HeadCoordinates
from describe.maps.distinct import distinct_sources, in_order, standing
from describe.maps.salient import SalientOperations
from describe.maps.screening import extreme_targets, largest
from describe.maps.view import LayerView

__all__ = ["ConstantParts", "DirectOperations", "LayerReading", "RowCounts", "read_layer"]

DRAWN = 256
"""Places drawn at random that are looked at together: nearly always enough."""

Variants = tuple[tuple[tuple[int, ...], ...], ...]


@dataclass(frozen=True)
class RowCounts:
    """How many rows to show of a head, and targets of a row either way.

    Attributes:
        salient: the most salient words, those held out among them; ``sampled``: others, drawn at random.
        distinct: the most distinct, of either side; with 0 this order is not computed.
        targets: k, either way.
    """

    salient: int
    sampled: int
    distinct: int
    targets: int


@dataclass(frozen=True)
class DirectOperations(SalientOperations):
    """Rows of each head of a layer, in the order named where they are; n sources a head and k targets each way.

    Attributes:
        z: how far the targets stand out, (H, n, k), and ``suppressed_z``, which are negative.
        distinctness: the largest z of the row over all targets, or where rows are those that suppress the most
            distinctly, its negative of the lowest; (H, n).
        variants: of each row the ids of other tokens of the same word, for which it stands too.
    """

    z: Tensor
    suppressed_z: Tensor
    distinctness: Tensor
    variants: Variants


@dataclass(frozen=True)
class ConstantParts:
    """The constant part of each head of a layer: ids and logits of k targets either way, (H, k), its share (H,)."""

    targets: Tensor
    logits: Tensor
    suppressed: Tensor
    suppressed_logits: Tensor
    share: Tensor


@dataclass(frozen=True)
class LayerReading:
    """The heads of a layer, on the CPU.

    Attributes:
        salient: the most salient rows, strongest first, then those drawn at random; their targets by logit.
        promoting: the rows whose largest cell stands out most, and ``suppressing``, those whose lowest does; their
            targets by z. None where they are not asked for.
        constant: None where the mean source is not apart.
    """

    salient: DirectOperations
    promoting: DirectOperations | None
    suppressing: DirectOperations | None
    constant: ConstantParts | None


def read_layer(
    view: LayerView,
    heads: Iterable[HeadCoordinates],
    counts: RowCounts,
    *,
    seeds: Sequence[int] | None = None,
    block: int = BLOCK,
) -> LayerReading:
    """The rows of some heads over the tokens of a view, and their constant parts.

    Args:
        heads: own ones or random ones, one after another.
        seeds: what the drawing of rows depends on, a head; by default on its place.
        block: numbers in the largest temporary.

    Where there are fewer words than rows, all are shown; equal scores are ordered by token id.
    """
    words = torch.arange(len(view.sources)) if view.words is None else view.words
    words = words.to(view.sources.device)
    n_words = len(set(words.tolist()))
    shown = min(counts.salient, n_words)
    counts = RowCounts(
        salient=shown,
        sampled=min(counts.sampled, n_words - shown),
        distinct=min(counts.distinct, n_words),
        targets=min(counts.targets, len(view.targets)),
    )
    salient, distinct, constant = [], [], []
    for place, each in enumerate(heads):
        head = _Head(view, each, words, counts.targets, block)
        rows, part = head.salient(counts, place if seeds is None else seeds[place])
        salient.append(rows)
        constant.append(part)
        distinct.append(head.distinct(counts.distinct) if counts.distinct else ())
    promoting, suppressing = zip(*distinct, strict=True) if counts.distinct else (None, None)
    return LayerReading(
        _stacked(salient),
        None if promoting is None else _stacked(promoting),
        None if suppressing is None else _stacked(suppressing),
        _constants([each for each in constant if each is not None]),
    )


class _Head:
    """One head over the tokens of a view; what it gives has no dimension of heads. ``words`` (n,), k targets."""

    def __init__(self, view: LayerView, head: HeadCoordinates, words: Tensor, k: int, block: int) -> None:
        self._view, self._head, self._words, self._k, self._block = view, head, words, k, block
        self._standing = standing(head)
        norms = view.x.norms
        written = torch.linalg.vector_norm(head.read, dim=1)
        self._saliency = torch.where(norms > 0, written / norms, 0)
        if not bool(torch.isfinite(self._saliency).all()):
            raise CheckpointError("what a head writes is not finite: its weights, or what it reads, are too large")

    def salient(self, counts: RowCounts, seed: int) -> tuple[DirectOperations, ConstantParts | None]:
        """The most salient rows, and others drawn at random; and the part that the head writes whatever it reads."""
        every = torch.arange(len(self._words), device=self._words.device)
        order = in_order(self._saliency, every, self._words, counts.salient)
        places, variants = self._merged(order)
        places = torch.cat([places, self._drawn(places, counts.sampled, seed)])
        written, constant, targets = self._head.read[places], self._head.constant, self._view.targets
        if constant is not None:
            written = torch.cat([written, constant[None]])
        found = extreme_targets(written, self._head.write, self._k, self._block)
        of_rows = (column[: len(places)] for column in found)
        rows = self._operations(places, variants, self._standing.highest(places), *of_rows)
        if constant is None:
            return rows, None
        high, logits, low, low_logits = (column[-1] for column in found)
        return rows, ConstantParts(targets[high], logits, targets[low], low_logits, self._share(constant))

    def distinct(self, n: int) -> tuple[DirectOperations, DirectOperations]:
        """The n rows that promote the most distinctly, and those that suppress so."""
        sides = []
        for side, order in zip(
            (1, -1), distinct_sources(self._standing, self._words, n, block=self._block), strict=True
        ):
            places, variants = self._merged(order)
            z = self._standing.rows(places)
            highest, lowest = largest(z, self._k)[1], largest(-z, self._k)[1]
            logits = (self._logits(places, highest), self._logits(places, lowest))
            found = self._operations(places, variants, (side * z).amax(dim=1), highest, logits[0], lowest, logits[1])
            sides.append(found)
        return sides[0], sides[1]

    def _share(self, constant: Tensor) -> Tensor:
        own = (self._head.write @ constant).double().var(unbiased=False)
        whole = own + self._standing.variance
        return torch.where(whole > 0, own / whole, 0).to(constant)

    def _operations(
        self,
        places: Tensor,
        variants: list[list[int]],
        distinctness: Tensor,
        high: Tensor,
        logits: Tensor,
        low: Tensor,
        low_logits: Tensor,
    ) -> DirectOperations:
        """Rows by their places, with the places of their highest and lowest targets and these's logits."""
        names = self._view.sources
        ids = [tuple(names[torch.tensor(row, dtype=torch.long)].tolist()) for row in variants]
        return DirectOperations(
            sources=names[places],
            saliency=self._saliency[places],
            targets=self._view.targets[high],
            logits=logits,
            suppressed=self._view.targets[low],
            suppressed_logits=low_logits,
            z=self._standing.cells(places, high),
            suppressed_z=self._standing.cells(places, low),
            distinctness=distinctness,
            variants=(tuple(ids) + ((),) * (len(places) - len(ids)),),
        )

    def _logits(self, places: Tensor, targets: Tensor) -> Tensor:
        return (self._head.read[places, None] * self._head.write[targets]).sum(dim=2)

    def _merged(self, order: Tensor) -> tuple[Tensor, list[list[int]]]:
        """The first place of each word in this order, and the places of its variants further on."""
        rows: dict[int, list[int]] = {}
        for place, word in zip(order.tolist(), self._words[order].tolist(), strict=True):
            rows.setdefault(word, []).append(place)
        first = torch.tensor([row[0] for row in rows.values()], device=order.device)
        return first, [row[1:] for row in rows.values()]

    def _drawn(self, taken: Tensor, sample: int, seed: int) -> Tensor:
        """The places of ``sample`` other words, one variant of each, drawn at random."""
        seen, drawn = set(self._words[taken].tolist()), list[int]()
        shuffled = torch.randperm(len(self._words), generator=torch.Generator().manual_seed(seed))
        for part in blocks(len(shuffled), 1, DRAWN):
            places = shuffled[part].to(self._words.device)
            for place, word in zip(places.tolist(), self._words[places].tolist(), strict=True):
                if word not in seen and len(drawn) < sample:
                    seen.add(word)
                    drawn.append(place)
            if len(drawn) == sample:
                break
        return torch.tensor(drawn, dtype=torch.long, device=taken.device)


def _stacked(found: Sequence[DirectOperations]) -> DirectOperations:
    """The rows of several heads, head by head, on the CPU."""
    tensors = {name: torch.stack([getattr(each, name) for each in found]).cpu() for name in _tensors(found[0])}
    return DirectOperations(**tensors, variants=tuple(each.variants[0] for each in found))


def _constants(found: Sequence[ConstantParts]) -> ConstantParts | None:
    """The constant parts of several heads likewise; None where there are none."""
    if not found:
        return None
    return ConstantParts(*(torch.stack([getattr(each, name) for each in found]).cpu() for name in _tensors(found[0])))


def _tensors(record: DirectOperations | ConstantParts) -> list[str]:
    return [each.name for each in fields(record) if each.name != "variants"]
