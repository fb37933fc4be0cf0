"""A model at a glance, from the cards of its heads: how many do what, in which layers, and what is unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from describe.head_record.summary import HeadSummary
from describe.kinds import CARD_KINDS, CONTRADICTIONS, CardKind
from describe.records import ModelInfo

__all__ = ["Glance", "KindShare", "Strongest", "glance"]

MOST = 5
"""Heads of a kind that are named."""


@dataclass(frozen=True, slots=True)
class Strongest:
    """A head that is named for its kind."""

    head: str
    headline: str
    basis: str


@dataclass(frozen=True, slots=True)
class KindShare:
    """The heads whose headline is of one kind.

    Attributes:
        layers: how many of them each layer has; ``strongest``: those of the largest figures, that first.
    """

    kind: CardKind
    words: str
    layers: tuple[int, ...]
    strongest: tuple[Strongest, ...]

    @property
    def count(self) -> int:
        """How many heads are of the kind."""
        return sum(self.layers)


@dataclass(frozen=True, slots=True)
class Glance:
    """A model at a glance.

    Attributes:
        heads: how many are in the catalogue; ``kinds``: those that some head is of, in the order of `CARD_KINDS`.
        levels: what random or uniform heads get by the same evidence, in sentences.
        contradictions: how many of each sort, in words.
        unknown: heads of which nothing was found, and such that were not looked into.
    """

    model: ModelInfo
    reading: str
    heads: int
    kinds: tuple[KindShare, ...]
    levels: tuple[str, ...]
    contradictions: dict[str, int]
    unknown: int
    not_looked_at: int


def glance(
    model: ModelInfo, reading: str, summaries: Sequence[HeadSummary], score_levels: Sequence[str] = ()
) -> Glance:
    """A model at a glance, of all its heads.

    Args:
        reading: by which they were read, in words.
        score_levels: what placebos get in the way that the heads were described and judged, in sentences.
    """
    by_kind: dict[str, list[HeadSummary]] = {kind: [] for kind in CARD_KINDS}
    sorts: Counter[str] = Counter()
    for summary in summaries:
        if summary.card is not None:
            by_kind[summary.card.kind].append(summary)
            sorts.update(found.sort for found in summary.card.contradictions)
    return Glance(
        model,
        reading,
        len(summaries),
        tuple(_share(kind, by_kind[kind], model.n_layers) for kind in CARD_KINDS if by_kind[kind]),
        (*_levels(summaries), *score_levels),
        {words: sorts[sort] for sort, words in CONTRADICTIONS.items()},
        len(by_kind["unclear"]),
        len(by_kind["not looked at"]),
    )


def _share(kind: CardKind, heads: Sequence[HeadSummary], n_layers: int) -> KindShare:
    of_layer = Counter(head.layer for head in heads)

    def order(head: HeadSummary) -> tuple[int, float, int, int]:
        card = head.card
        figure = card.strength if card is not None and card.strength is not None else 0.0
        return card.rank if card else 0, figure if kind == "content" else -figure, head.layer, head.head

    named = [
        Strongest(head.name, head.card.headline, head.card.basis)
        for head in sorted(heads, key=order)[:MOST]
        if head.card is not None and head.card.rests_on
    ]
    return KindShare(kind, CARD_KINDS[kind], tuple(of_layer[layer] for layer in range(n_layers)), tuple(named))


def _levels(summaries: Sequence[HeadSummary]) -> list[str]:
    """Placebo levels, a sentence each."""
    found = []
    figures = [summary.figure for summary in summaries if summary.figure is not None]
    if figures:
        above = sum(bool(figure.above) for figure in figures)
        one = figures[0]
        found.append(
            f"By their mappings {above} of {len(figures)} heads relate, copy or suppress words above every one of"
            f" {one.random} random heads; of these {one.random_above} would be above all the others."
        )
    if any(summary.kinds is not None for summary in summaries):
        found.append(
            "Kinds of attention hold where a head gets at least twice what one gets that attends to all tokens alike."
        )
    told = [summary for summary in summaries if summary.state == "described"]
    borne_out = sum(summary.verdict == "supported" for summary in told)
    if told:
        judged = sum(summary.verdict != "not judged" for summary in told)
        found.append(f"{len(told)} heads are described; {judged} were judged, and a test bears out {borne_out}.")
    return found
