"""A layer's heads as the reading ``direct`` shows them: rows in two orders, targets with how far they stand out, and
the constant part, which a head writes whatever it reads.

A row stands for a word: where the order comes upon another variant of a word that has a row already (other case, other
spacing), it is named in that row and takes none of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.maps.blocks import BLOCK, blocks
from describe.maps.coordinates import HeadCoordinates, HeadsTogether
from describe.maps.distinct import Standing, distinct_sources, in_order, standing
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
    """The constant part of each head of a layer: ids and logits of k targets either way, (H, k), and its share of the
    variance of logits, (H,)."""

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
    heads: Iterable[HeadsTogether],
    counts: RowCounts,
    *,
    seeds: Sequence[int] | None = None,
    block: int = BLOCK,
) -> LayerReading:
    """The rows of some heads over the tokens of a view, and their constant parts.

    Args:
        heads: own ones or random ones, as many together as there are.
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
    numbers = iter(itertools.count() if seeds is None else seeds)
    for some in heads:
        saliency = _saliency(view, some)
        chosen = [
            _Head(view, head, of_head, words, counts, next(numbers), block)
            for head, of_head in zip(some, saliency, strict=True)
        ]
        written = torch.stack([head.written() for head in chosen])
        found = extreme_targets(written.flatten(0, 1), some.write, counts.targets, block)
        extremes_of = zip(*(column.view(*written.shape[:2], -1) for column in found), strict=True)
        for head, extremes in zip(chosen, extremes_of, strict=True):
            standing_of = standing(head.coordinates)
            rows, part = head.salient(standing_of, extremes)
            salient.append(rows)
            constant.append(part)
            distinct.append(head.distinct(standing_of, counts.distinct) if counts.distinct else ())
    promoting, suppressing = zip(*distinct, strict=True) if counts.distinct else (None, None)
    return LayerReading(
        _stacked(salient),
        None if promoting is None else _stacked(promoting),
        None if suppressing is None else _stacked(suppressing),
        _constants([each for each in constant if each is not None]),
    )


def _saliency(view: LayerView, heads: HeadsTogether) -> Tensor:
    """Of each head and source, (H, n). Raises `CheckpointError` when what a head writes is not finite."""
    norms = view.x.norms
    written = torch.linalg.vector_norm(heads.read, dim=2).mT
    found = torch.where(norms > 0, written / norms, 0).contiguous()
    if not bool(torch.isfinite(found.amax())):
        raise CheckpointError("what a head writes is not finite: its weights, or what it reads, are too large")
    return found


class _Head:
    """One head over the tokens of a view; what it gives has no dimension of heads.

    Attributes:
        coordinates: the head.
    """

    def __init__(
        self,
        view: LayerView,
        head: HeadCoordinates,
        saliency: Tensor,
        words: Tensor,
        counts: RowCounts,
        seed: int,
        block: int,
    ) -> None:
        """``saliency`` and ``words`` (n,); ``seed``: what the drawing of rows depends on."""
        self.coordinates, self._view, self._words = head, view, words
        self._k, self._block, self._saliency = counts.targets, block, saliency
        every = torch.arange(len(words), device=words.device)
        places, self._variants = self._merged(in_order(self._saliency, every, words, counts.salient))
        self._places = torch.cat([places, self._drawn(places, counts.sampled, seed)])

    def written(self) -> Tensor:
        """For the most salient rows and others drawn at random; and last what the head writes whatever it reads."""
        read, constant = self.coordinates.read[self._places], self.coordinates.constant
        return read if constant is None else torch.cat([read, constant[None]])

    def salient(self, found: Standing, extremes: Sequence[Tensor]) -> tuple[DirectOperations, ConstantParts | None]:
        """These rows and the constant part, by the ``extremes`` of what was written, as `extreme_targets` has them."""
        n, targets = len(self._places), self._view.targets
        highest = found.highest(self._places)
        rows = self._operations(found, self._places, self._variants, highest, *(column[:n] for column in extremes))
        if found.share is None:
            return rows, None
        high, logits, low, low_logits = (column[n] for column in extremes)
        return rows, ConstantParts(targets[high], logits, targets[low], low_logits, found.share)

    def distinct(self, found: Standing, n: int) -> tuple[DirectOperations, DirectOperations]:
        """The n rows that promote the most distinctly, and those that suppress so."""
        sides = []
        for side, order in zip((1, -1), distinct_sources(found, self._words, n, block=self._block), strict=True):
            places, variants = self._merged(order)
            z = found.rows(places)
            highest, lowest = largest(z, self._k)[1], largest(-z, self._k)[1]
            logits = (self._logits(places, highest), self._logits(places, lowest))
            strongest = (side * z).amax(dim=1)
            sides.append(self._operations(found, places, variants, strongest, highest, logits[0], lowest, logits[1]))
        return sides[0], sides[1]

    def _operations(
        self,
        found: Standing,
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
        ids = [tuple(names[torch.tensor(row)].tolist()) if row else () for row in variants]
        return DirectOperations(
            sources=names[places],
            saliency=self._saliency[places],
            targets=self._view.targets[high],
            logits=logits,
            suppressed=self._view.targets[low],
            suppressed_logits=low_logits,
            z=found.cells(places, high),
            suppressed_z=found.cells(places, low),
            distinctness=distinctness,
            variants=(tuple(ids) + ((),) * (len(places) - len(ids)),),
        )

    def _logits(self, places: Tensor, targets: Tensor) -> Tensor:
        return (self.coordinates.read[places, None] * self.coordinates.write[targets]).sum(dim=2)

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
