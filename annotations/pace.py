"""How long items take, as measured in the catalogue's own studies: what raters and owners are told beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from statistics import median

from sqlalchemy import func, select

from annotations import schema
from describe.catalog import Catalogue

__all__ = ["ASSUMED_SECONDS", "PREPARATION_MINUTES", "Pace", "pace"]

ASSUMED_SECONDS = 45.0
"""Seconds of an item, both stages, where too few were measured."""

ENOUGH = 20
"""Answered items from which a median is taken."""

NEWEST = 5000

PREPARATION_MINUTES = 5
"""For reading what it is about, and practising."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that an item takes, and of how many answered items that is the median; of none where it is assumed."""

    seconds: float
    answers: int

    def minutes(self, items: int) -> int:
        """Minutes for so many items with what comes before them, breaks not counted."""
        return ceil(items * self.seconds / 60) + PREPARATION_MINUTES


def pace(catalogue: Catalogue) -> Pace:
    """The median of the newest items' active seconds, over all studies; `ASSUMED_SECONDS` where there are too few."""
    event, shown = schema.study_event, schema.study_presentation
    spent = (
        select(func.sum(event.c.active_ms))
        .join(shown, event.c.presentation_id == shown.c.id)
        .where(shown.c.answered.is_not(None), event.c.type.in_(("answered_a", "answered_b")))
        .group_by(shown.c.id)
        .order_by(shown.c.id.desc())
        .limit(NEWEST)
    )
    with catalogue.engine.connect() as connection:
        found = [milliseconds / 1000 for milliseconds in connection.execute(spent).scalars() if milliseconds]
    return Pace(median(found), len(found)) if len(found) >= ENOUGH else Pace(ASSUMED_SECONDS, 0)
