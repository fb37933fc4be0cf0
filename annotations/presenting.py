"""One presentation: finding it, whose it is, what its page shows, how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from sqlalchemy import BindParameter, Connection, Row, bindparam, select

from annotations import schema
from annotations.material import practice_items
from annotations.records import Row as TableRow
from annotations.records import StageA, StageB, Task, Turn
from annotations.seeded import hashed
from describe.catalog.rows import aware
from describe.errors import InputError

__all__ = [
    "Screening",
    "current",
    "elapsed_ms",
    "own",
    "reopened",
    "screening",
    "shown_hash",
    "state",
    "surely_held",
    "task",
    "who",
]

AWAY = timedelta(minutes=5)
"""The longest time without a sign of the rater that counts as activity, where the page measured none of its own."""

_TABLE, _ITEM = schema.study_presentation, schema.study_item

# Queries of every page, put together once: SQLAlchemy takes longer to build them than SQLite to answer.
_WHOSE: BindParameter[int] = bindparam("rater_id")
_RATER = select(schema.study_rater).where(schema.study_rater.c.id == _WHOSE)
_LOCKED_RATER = _RATER.with_for_update(key_share=True)
_STUDY = select(schema.study).where(schema.study.c.id == bindparam("study_id"))
_PRESENTED = (
    select(_TABLE, _ITEM.c.content).join(_ITEM, _TABLE.c.item_id == _ITEM.c.id).where(_TABLE.c.rater_id == _WHOSE)
)
_OWN = _PRESENTED.where(_TABLE.c.id == bindparam("presentation_id"))
_UNANSWERED = _TABLE.c.answered.is_(None) & _TABLE.c.closed.is_(None)
_CURRENT = _PRESENTED.where(_TABLE.c.reopened.is_not(None) | _UNANSWERED).order_by(_TABLE.c.reopened.is_(None)).limit(1)
_REOPENED = select(_TABLE.c.id).where(_TABLE.c.rater_id == _WHOSE, _TABLE.c.reopened.is_not(None))
_LEASED_UNTIL = select(schema.study_place.c.leased_until).where(
    schema.study_place.c.item_id == bindparam("item_id"), schema.study_place.c.rater_id == _WHOSE
)
_SIGNS = (
    select(schema.study_event.c.type, schema.study_event.c.created)
    .where(schema.study_event.c.presentation_id == bindparam("presentation_id"))
    .order_by(schema.study_event.c.id)
)


class Screening(TypedDict):
    """How far a rater is with the check before the items: the try, and which of its answers were right."""

    attempt: int
    right: list[bool]


def screening(found: Screening | None) -> Screening:
    """How far a rater is, by what their row says: nothing before the first answer."""
    return {"attempt": 1, "right": []} if found is None else found


def who(connection: Connection, rater_id: int, *, lock: bool = False) -> tuple[Row[Any], Row[Any]]:
    """A rater's row, locked against their other pages if asked, and the study's. Raises `InputError` for no rater."""
    rater = connection.execute(_LOCKED_RATER if lock else _RATER, {"rater_id": rater_id}).first()
    if rater is None:
        raise InputError("there is no such rater")
    study = connection.execute(_STUDY, {"study_id": rater.study_id}).one()
    return rater, study


def state(rater: Row[Any], study: Row[Any]) -> Turn | None:
    """Steps before any item: shut out, consent, questions, practice, the check; None where items may come."""
    if rater.revoked is not None:
        return Turn("revoked")
    if rater.consented is None:
        return Turn("stopped" if study.stopped else "consent")
    if rater.screened_out is not None:
        return Turn("screened out")
    if study.stopped is not None:
        return None
    if study.settings.get("about_raters") and rater.about is None:
        return Turn("about")
    if rater.practised < len(practice_items()):
        return Turn("practice", practice=rater.practised)
    if study.settings.get("screening") and rater.screened is None:
        so_far = screening(rater.screening)
        return Turn("screening", practice=len(so_far["right"]), attempt=so_far["attempt"])
    return None


def own(connection: Connection, rater_id: int, presentation_id: int) -> Row[Any]:
    """A presentation of this rater with its item's content. Raises `InputError` for anybody else's, or none."""
    row = connection.execute(_OWN, {"rater_id": rater_id, "presentation_id": presentation_id}).first()
    if row is None:
        raise InputError("there is no such item for this rater")
    return row


def current(connection: Connection, rater_id: int) -> Row[Any] | None:
    """The presentation to be answered now: one that was reopened, else the one not answered yet."""
    return connection.execute(_CURRENT, {"rater_id": rater_id}).first()


def reopened(connection: Connection, rater_id: int) -> int | None:
    """The presentation that the rater went back to, if any."""
    return connection.execute(_REOPENED, {"rater_id": rater_id}).scalar()


def surely_held(connection: Connection, study: Row[Any], shown: Row[Any], at: datetime) -> bool:
    """Whether nothing need be written: no place is needed, or the rater's has over half of its lease to come."""
    if shown.occasion == 2 or shown.answered is not None:
        return True
    until = connection.execute(_LEASED_UNTIL, {"item_id": shown.item_id, "rater_id": shown.rater_id}).scalar()
    return until is not None and aware(until) > at + timedelta(minutes=study.settings["lease_minutes"]) / 2


def task(row: Row[Any]) -> Task:
    """The page's view of a presentation: the description only once stage A is answered."""
    content = row.content
    rows = tuple(TableRow(source, tuple(targets)) for source, targets in content["rows"])
    if row.stage_a is None:
        return Task(row.id, "a", row.position, rows)
    return Task(
        row.id,
        "b",
        row.position,
        rows,
        inputs=content["inputs"],
        pattern=content["pattern"],
        unclear=content["unclear"],
        said=StageA(**row.stage_a),
        before=StageB(**row.stage_b) if row.stage_b is not None else None,
        reopened=None if row.reopened is None else aware(row.reopened),
    )


def shown_hash(row: Row[Any], stage: str) -> str:
    """SHA-256 of what a stage shows: of the table; of the table and the description, which is the item's hash."""
    return hashed(row.content["rows"] if stage == "a" else row.content)


def elapsed_ms(connection: Connection, presentation_id: int, stage: str, at: datetime) -> tuple[int, int]:
    """Milliseconds since a stage was shown first, by the clock, and those with the rater there.

    For the latter, no gap between two signs of the rater (showings, going back, the answer) counts for more than
    `AWAY`.
    """
    events: list[Row[Any]] = list(connection.execute(_SIGNS, {"presentation_id": presentation_id}))
    signs = [aware(moment) for moment in _signs(events, stage)]
    gaps = [later - earlier for earlier, later in zip(signs, [*signs[1:], at], strict=True)]
    wall, active = sum(gaps, timedelta()), sum((min(gap, AWAY) for gap in gaps), timedelta())
    return max(0, round(wall.total_seconds() * 1000)), max(0, round(active.total_seconds() * 1000))


def _signs(events: Sequence[Row[Any]], stage: str) -> list[datetime]:
    """When a stage was shown since it was last answered; if no page said so, when it could be shown first."""
    able, seen = ("assigned", ("shown_a",)) if stage == "a" else ("answered_a", ("shown_b", "undone"))
    signs: list[datetime] = []
    for event in events:
        if event.type in ("answered_b", "revised"):
            signs = []
        elif event.type in seen:
            signs.append(event.created)
    return signs or [event.created for event in events if event.type == able]
