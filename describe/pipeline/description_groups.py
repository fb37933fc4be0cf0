"""All that was said of each head and role side by side, and how far it agrees: what `stability` compares and keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from describe.catalog import Catalogue, schema
from describe.labelling.looks import ATTENTION
from describe.records import HeadId, Score

__all__ = ["Group", "Said", "Stable", "all_said", "grouped", "save_stable", "stable"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Said:
    """A description or abstention: its id, what it is of, and whether of what is ``suppressed``."""

    id: int
    unit: HeadId
    suppressed: bool
    inputs: str
    pattern: str
    unclear: bool

    @property
    def sentence(self) -> str:
        """In one line; empty for an abstention."""
        return "" if self.unclear else f"{self.inputs}: {self.pattern}"


@dataclass(frozen=True)
class Group:
    """The descriptions of one head or role, ``own``, and those of ``others``, by their places in a list."""

    unit: HeadId
    suppressed: bool
    own: list[int]
    others: list[int]


@dataclass(frozen=True)
class Stable:
    """How far the descriptions of a head or role agree.

    Attributes:
        value: the mean over pairs of its descriptions.
        wrong: the mean over pairs of one of its descriptions and one of another head; None without other heads.
        representative: which description agrees most with the others, by its id.
        descriptions: their ids, and ``own`` the mean agreement of each with the others.
    """

    value: float
    wrong: float | None
    representative: int
    descriptions: tuple[int, ...]
    own: tuple[float, ...]


def all_said(catalogue: Catalogue, extraction_id: int) -> list[Said]:
    """All descriptions and abstentions of an extraction's heads and roles, in order, failures and words on where heads
    look aside."""
    head, description, labeller = schema.head, schema.description, schema.labeller
    query = (
        select(description, head.c.layer, head.c.head, labeller.c.settings)
        .join(head, description.c.head_id == head.c.id)
        .join(labeller, description.c.labeller_id == labeller.c.id)
        .where(head.c.extraction_id == extraction_id, description.c.failure.is_(None))
        .order_by(head.c.layer, head.c.head, description.c.role, description.c.id)
    )
    roles = catalogue.roles.of_extraction(extraction_id, None)
    pushed = {unit for of_head in roles.values() for unit, role in of_head.items() if role.sign == "suppresses"}
    with catalogue.engine.connect() as connection:
        return [
            Said(
                row.id,
                HeadId(row.layer, row.head, row.role),
                row.settings.get("shows") == "suppressed" or HeadId(row.layer, row.head, row.role) in pushed,
                row.inputs or "",
                row.pattern or "",
                row.unclear,
            )
            for row in connection.execute(query)
            if row.settings.get("shows") != ATTENTION
        ]


def grouped(said: list[Said]) -> list[Group]:
    """Descriptions of each head and role, of promoted and suppressed targets apart."""
    groups: dict[tuple[HeadId, bool], list[int]] = {}
    for place, one in enumerate(said):
        groups.setdefault((one.unit, one.suppressed), []).append(place)
    alike = {way: [(i, one.unit) for i, one in enumerate(said) if one.suppressed == way] for way in (False, True)}
    return [
        Group(unit, way, own, [i for i, other in alike[way] if other[:2] != unit[:2]])
        for (unit, way), own in groups.items()
    ]


def stable(inside: Floats, outside: float | None, ids: list[int]) -> Stable:
    """How far descriptions agree: ``inside`` (k, k) of every two of them, ``outside`` with those of other heads."""
    own = (inside.sum(1) - inside.diagonal()) / (len(ids) - 1)
    return Stable(float(own.mean()), outside, ids[int(own.argmax())], tuple(ids), tuple(map(float, own)))


def save_stable(
    catalogue: Catalogue, judge: int, found: Stable, settings: dict[str, Any], versions: dict[str, str]
) -> None:
    """Commit a head's agreement with each of its descriptions."""
    for number, own in zip(found.descriptions, found.own, strict=True):
        told = {"own": own, "representative": number == found.representative}
        score = Score("stability", found.value, wrong=found.wrong, n=len(found.own), found=told)
        catalogue.scores.save(number, judge, score, settings, versions)
