"""A layer's heads as the reading ``direct`` shows them: rows in two orders, targets with how far they stand out, and
the constant part, which a head writes whatever it reads.

A row stands for a word: where the order comes upon another variant of a word that has a row already (other case, other
spacing), it is named in that row and takes none of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.maps.blocks import BLOCK, blocks
from describe.maps.coordinates import HeadCoordinates, HeadsTogether
from describe.maps.distinct import Standing, distinct_sources, in_order, standing
from describe.maps.salient import SalientOperations
from describe.maps.screening import extreme_targets, largest
from describe.maps.view import LayerView

__all__ = ["ConstantParts", "DirectOperations", "LayerReading", "RowCounts", "WordOperations", "read_layer"]

DRAWN = 256
"""Places drawn at random that are looked at together: nearly always enough."""

Variants = tuple[tuple[tuple[int, ...], ...], ...]
"""Of each head and row the ids of other tokens of the same word."""

Operations = TypeVar("Operations", "WordOperations", "DirectOperations")


@dataclass(frozen=True)
class RowCounts:
    """How many rows to show of a head, and targets of a row either way.

    Attributes:
        salient: the most salient words.
        held_out: the next, and ``sampled`` others, drawn at random: of these it is not asked how far targets stand out.
        distinct: the most distinct, of either side; with 0 this order is not computed.
        targets: k, either way.
    """

    salient: int
    held_out: int
    sampled: int
    distinct: int
    targets: int


@dataclass(frozen=True)
class WordOperations(SalientOperations):
    """Rows of each head of a layer that stand for words, in the order named where they are; n sources a head and k
    targets each way.

    Attributes:
        variants: of each row the ids of other tokens of the same word, for which it stands too.
    """

    variants: Variants


@dataclass(frozen=True)
class DirectOperations(WordOperations):
    """Such rows, with how far their targets stand out.

    Attributes:
        z: how far the targets stand out, (H, n, k), and ``suppressed_z``, which are negative.
        distinctness: the largest z of the row over all targets, or where rows are those that suppress the most
            distinctly, its negative of the lowest; (H, n).
    """

    z: Tensor
    suppressed_z: Tensor
    distinctness: Tensor


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
        salient: the most salient rows, strongest first; their targets by logit.
        held_out: the next, likewise, then those drawn at random.
        promoting: the rows whose largest cell stands out most, and ``suppressing``, those whose lowest does; their
            targets by z. None where they are not asked for.
        constant: None where the mean source is not apart.
    """

    salient: DirectOperations
    held_out: WordOperations
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
    salient = min(counts.salient, n_words)
    held_out = min(counts.held_out, n_words - salient)
    counts = RowCounts(
        salient=salient,
        held_out=held_out,
        sampled=min(counts.sampled, n_words - salient - held_out),
        distinct=min(counts.distinct, n_words),
        targets=min(counts.targets, len(view.targets)),
    )
    readings: list[LayerReading] = []
    numbers = iter(itertools.count() if seeds is None else seeds)
    for some in heads:
        chosen = [
            _Head(view, head, saliency, words, counts, next(numbers), block)
            for head, saliency in zip(some, _saliency(view, some), strict=True)
        ]
        written = torch.stack([head.written() for head in chosen])
        found = extreme_targets(written.flatten(0, 1), some.write, counts.targets, block)
        if not bool(torch.isfinite(found[1].sum() + found[3].sum())):
            raise CheckpointError("the unembedding, or what a head writes, is not finite, or too large")
        extremes_of = zip(*(column.view(*written.shape[:2], -1) for column in found), strict=True)
        readings += [head.reading(extremes) for head, extremes in zip(chosen, extremes_of, strict=True)]
    constants = [one.constant for one in readings if one.constant is not None]
    promoting = [one.promoting for one in readings if one.promoting is not None]
    suppressing = [one.suppressing for one in readings if one.suppressing is not None]
    return LayerReading(
        _stacked([one.salient for one in readings]),
        _stacked([one.held_out for one in readings]),
        _stacked(promoting) if promoting else None,
        _stacked(suppressing) if suppressing else None,
        ConstantParts(**_tensors(constants)) if constants else None,
    )


def _saliency(view: LayerView, heads: HeadsTogether) -> Tensor:
    """Of each head and source, (H, n). Raises `CheckpointError` when what a head writes is not finite."""
    norms = view.x.norms
    written = torch.linalg.vector_norm(heads.read, dim=2).mT
    found = torch.where(norms > 0, written / norms, 0).contiguous()
    if not bool(torch.isfinite(found.amax())):
        raise CheckpointError("what a head writes is not finite: its weights, or what it reads, are too large")
    return found


class _Rows(NamedTuple):
    """Rows of a head by their places and those of their words' other variants, with the places of their highest and
    lowest targets and these's logits."""

    places: Tensor
    variants: Sequence[Sequence[int]]
    high: Tensor
    logits: Tensor
    low: Tensor
    low_logits: Tensor


class _Head:
    """One head over the tokens of a view; what it gives has no dimension of heads."""

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
        self._head, self._view, self._words = head, view, words
        self._counts, self._block, self._saliency = counts, block, saliency
        every = torch.arange(len(words), device=words.device)
        first = in_order(saliency, every, words, counts.salient + counts.held_out)
        places, self._variants = self._merged(first)
        self._places = torch.cat([places, self._drawn(places, counts.sampled, seed)])

    def written(self) -> Tensor:
        """For the most salient rows and others drawn at random; and last what the head writes whatever it reads."""
        read, constant = self._head.read[self._places], self._head.constant
        return read if constant is None else torch.cat([read, constant[None]])

    def reading(self, extremes: Sequence[Tensor]) -> LayerReading:
        """All rows, by the ``extremes`` of what was written, as `extreme_targets` has them."""
        n_salient, n = self._counts.salient, len(self._places)
        first, rest = (
            _Rows(self._places[part], self._variants[part], *(column[part] for column in extremes))
            for part in (slice(0, n_salient), slice(n_salient, n))
        )
        found = standing(self._head)
        salient = self._direct(first, found.rows(first.places))
        promoting, suppressing = self._distinct(found) if self._counts.distinct else (None, None)
        constant = None
        if found.share is not None:
            high, logits, low, low_logits = (column[n] for column in extremes)
            names = self._view.targets
            constant = ConstantParts(names[high], logits, names[low], low_logits, found.share)
        return LayerReading(salient, self._words_of(rest), promoting, suppressing, constant)

    def _distinct(self, found: Standing) -> tuple[DirectOperations, DirectOperations]:
        """The rows that promote the most distinctly, and those that suppress so."""
        sides = []
        orders = distinct_sources(found, self._words, self._counts.distinct, block=self._block)
        for side, order in zip((1, -1), orders, strict=True):
            places, variants = self._merged(order)
            z = found.rows(places)
            high, low = (largest(way * z, self._counts.targets)[1] for way in (1, -1))
            rows = _Rows(places, variants, high, self._logits(places, high), low, self._logits(places, low))
            sides.append(self._direct(rows, z, side))
        return sides[0], sides[1]

    def _direct(self, rows: _Rows, z: Tensor, side: int = 1) -> DirectOperations:
        """Rows with their ``z``, (n, m), distinct by what they promote, or with ``side`` -1 by what they suppress."""
        high, low = (z.gather(1, targets) for targets in (rows.high, rows.low))
        strongest = z.amax(dim=1) if side == 1 else -z.amin(dim=1)
        return DirectOperations(**vars(self._words_of(rows)), z=high, suppressed_z=low, distinctness=strongest)

    def _words_of(self, rows: _Rows) -> WordOperations:
        names, targets = self._view.sources, self._view.targets
        others = iter(names[[place for row in rows.variants for place in row]].tolist())
        ids = [tuple(itertools.islice(others, len(row))) for row in rows.variants]
        return WordOperations(
            sources=names[rows.places],
            saliency=self._saliency[rows.places],
            targets=targets[rows.high],
            logits=rows.logits,
            suppressed=targets[rows.low],
            suppressed_logits=rows.low_logits,
            variants=(tuple(ids) + ((),) * (len(rows.places) - len(ids)),),
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


def _stacked(found: Sequence[Operations]) -> Operations:
    """The rows of several heads, head by head, on the CPU."""
    return type(found[0])(**_tensors(found), variants=tuple(each.variants[0] for each in found))


def _tensors(found: Sequence[WordOperations | ConstantParts]) -> dict[str, Tensor]:
    """Their tensors likewise."""
    names = [each.name for each in fields(found[0]) if each.name != "variants"]
    return {name: torch.stack([getattr(each, name) for each in found]).cpu() for name in names}
