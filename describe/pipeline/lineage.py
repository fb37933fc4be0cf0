"""``headscribe lineage``: heads of two models of one shape, such as base and instruct, each with its counterpart."""

from __future__ import annotations

from dataclasses import dataclass

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.head_record import HeadRecord
from describe.pipeline.common import find
from describe.records import ModelInfo

__all__ = ["HeadLineage", "Lineage", "lineage"]

MOVED = 0.1
"""A relation or suppression score that changed by less counts as the same."""


@dataclass(frozen=True, slots=True)
class HeadLineage:
    """A head in both models.

    Attributes:
        mapping: the Jaccard index of the tokens of its rows in both, sources and targets.
        unrelated: the largest such index with another head of its layer in the second model; None where it is alone.
        headlines, kinds: in the first and the second, of the headline and its kind.
        operations: by name, relation score less suppression score in both, of those that changed by `MOVED` or more.
        descriptions: the pattern of the best description in both, empty where there is none.
    """

    head: str
    mapping: float
    unrelated: float | None
    headlines: tuple[str, str]
    kinds: tuple[str, str]
    operations: dict[str, tuple[float, float]]
    descriptions: tuple[str, str]

    @property
    def kept(self) -> bool:
        """Its mapping is more like its counterpart's than like that of any other head of the layer."""
        return self.unrelated is None or self.mapping > self.unrelated


@dataclass(frozen=True, slots=True)
class Lineage:
    """The heads that two models have in common.

    Attributes:
        mapping, unrelated: means over heads, as in `HeadLineage`; the latter None where every layer has one head.
        heads: in order.
    """

    models: tuple[str, str]
    mapping: float
    unrelated: float | None
    heads: tuple[HeadLineage, ...]


def lineage(catalogue: Catalogue, one: str, other: str, reading: str | None = None) -> Lineage:
    """Each head of a model beside that of another of as many layers and heads, by a reading as `find` takes it.

    Raises `InputError` for models of other shapes, and such that were not read in the same way.
    """
    found = [find(catalogue, name, reading) for name in (one, other)]
    (first, first_id), (second, second_id) = found
    if first_id == second_id:
        raise InputError("a model's lineage is to another model: both are the same")
    if (first.n_layers, first.n_heads) != (second.n_layers, second.n_heads):
        raise InputError(f"{_shape(first)}, {_shape(second)}: heads have no counterparts")
    readings = [catalogue.reading(id_) for _, id_ in found]
    if readings[0] != readings[1]:
        raise InputError(f"{one} was read by {readings[0].words}, {other} by {readings[1].words}: name a --reading")
    before, after = ({head.id: head for head in catalogue.head_records(*each, held_out=False)} for each in found)
    tokens = {head: _tokens(record) for head, record in after.items()}
    heads = []
    for head, record in before.items():
        if head not in after:
            continue
        mine = _tokens(record)
        others = [_alike(mine, tokens[place]) for place in after if place.layer == head.layer and place != head]
        heads.append(_of_head(record, after[head], _alike(mine, tokens[head]), max(others, default=None)))
    if not heads:
        raise InputError("the two have no extracted head in common")
    levels = [head.unrelated for head in heads if head.unrelated is not None]
    return Lineage(
        (first.name, second.name),
        sum(head.mapping for head in heads) / len(heads),
        sum(levels) / len(levels) if levels else None,
        tuple(heads),
    )


def _of_head(before: HeadRecord, after: HeadRecord, mapping: float, unrelated: float | None) -> HeadLineage:
    both = before, after
    names = sorted({name for record in both for name in record.relations})
    moved = {name: (_net(before, name), _net(after, name)) for name in names}
    cards = [record.card for record in both]
    best = [record.best_description() for record in both]
    return HeadLineage(
        str(before.id),
        mapping,
        unrelated,
        (cards[0].headline if cards[0] else "", cards[1].headline if cards[1] else ""),
        (cards[0].kind if cards[0] else "", cards[1].kind if cards[1] else ""),
        {name: pair for name, pair in moved.items() if abs(pair[0] - pair[1]) >= MOVED},
        ((best[0] and best[0].pattern) or "", (best[1] and best[1].pattern) or ""),
    )


def _net(record: HeadRecord, operation: str) -> float:
    found = record.relations.get(operation)
    return 0.0 if found is None else found.score - found.suppression


def _tokens(record: HeadRecord) -> frozenset[str]:
    """The tokens of a head's rows, as texts: two models may number them differently."""
    return frozenset(text for row in record.salient for text in (row.token, *(target.token for target in row.targets)))


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def _shape(model: ModelInfo) -> str:
    return f"{model.name} has {model.n_layers} layers of {model.n_heads} heads"
