"""Which item comes next for a rater, and who holds its places. Called in a transaction that holds the rater's row.

An item has as many places as raters are wanted. To be given an item is to hold one of its places, on a lease; an
answer makes it one's own for good. A place whose lease has run out unanswered is handed on. On PostgreSQL a place is
taken with ``FOR UPDATE SKIP LOCKED``, on SQLite under ``BEGIN IMMEDIATE``; that no item has more answers than places,
and no rater two places at one item, is also what the tables' unique constraints say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, insert, or_, select, update

from annotations import log
from annotations.schema import study_item as item
from annotations.schema import study_place as place
from annotations.schema import study_presentation as presentation
from annotations.seeded import chance

__all__ = ["Assigned", "assign", "close", "hold", "left", "repeats_due"]

# Queries of every item, put together once: SQLAlchemy takes longer to build them than SQLite to answer.
_WHOSE = bindparam("of_rater", type_=place.c.rater_id.type)
_IN_STUDY = item.c.study_id == bindparam("of_study", type_=item.c.study_id.type)
_OF_ITEM = place.c.item_id == bindparam("of_item", type_=place.c.item_id.type)
_AT = bindparam("at", type_=place.c.leased_until.type)
_FREE = or_(place.c.rater_id.is_(None), and_(place.c.answered.is_(None), place.c.leased_until < _AT))
_GIVEN = select(presentation.c.id).where(presentation.c.item_id == item.c.id, presentation.c.rater_id == _WHOSE)
_UNSEEN = ~_GIVEN.exists()

_MINE = select(place.c.id).where(_OF_ITEM, place.c.rater_id == _WHOSE).with_for_update()
_LEFT = (
    select(func.count(item.c.id.distinct()))
    .join(place, place.c.item_id == item.c.id)
    .where(_IN_STUDY, place.c.answered.is_(None), _UNSEEN)
)
_HISTORY = (
    select(presentation.c.item_id, presentation.c.occasion, presentation.c.closed, presentation.c.answered)
    .add_columns(item.c.number, item.c.kind, item.c.block, item.c.touches)
    .join(item, presentation.c.item_id == item.c.id)
    .where(presentation.c.rater_id == _WHOSE)
    .order_by(presentation.c.position)
)
_AVAILABLE = (
    select(item.c.id, item.c.number, item.c.block, item.c.touches, func.count(place.c.id).label("free"))
    .join(place, place.c.item_id == item.c.id)
    .where(_IN_STUDY, _FREE, _UNSEEN)
    .group_by(item.c.id)  # by the key, on which all other columns depend
)
_FREE_PLACE = (
    select(place.c.id)
    .where(_OF_ITEM, _FREE)
    .order_by(place.c.rater_id.is_not(None), place.c.number)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_CHANGED_PLACE = update(place).where(place.c.id == bindparam("which"))
_LEASED = _CHANGED_PLACE.values(leased_until=bindparam("until"))
_TAKEN = _CHANGED_PLACE.values(rater_id=bindparam("by_rater"), leased_until=bindparam("until"))


@dataclass(frozen=True, slots=True)
class Assigned:
    """The presentation that was made; or None and whether to come back later (``waiting``)."""

    presentation_id: int | None
    waiting: bool = False


def assign(connection: Connection, study: Row[Any], rater: Row[Any], at: datetime) -> Assigned:
    """Make the next presentation of a rater: a repeat where one is due, else an item of which a place is free.

    Items come block by block, the least covered block first, in an order of the rater's own. An item is left for later
    while one that shows the same head's table or description is among the rater's last ``distance`` presentations.
    """
    seen = _history(connection, rater.id)
    distance, most = study.settings["distance"], study.settings["items_per_rater"]
    near = {head for past in seen[-distance:] for head in past.touches} if distance else set()
    first = [past for past in seen if past.occasion == 1]
    full = most is not None and sum(past.closed is None for past in first) >= most
    available = [] if full else _available(connection, study.id, rater.id, at)
    coming = {head for row in available for head in row.touches} if _ending(available, distance) else set()
    repeat = _repeat(study, rater, seen, near | coming)
    if repeat is not None:
        return Assigned(_present(connection, study, rater, repeat, 2, len(seen) + 1, at))
    for candidate in _in_order(available, first, study, rater):
        if near.isdisjoint(candidate.touches) and _take(connection, study, candidate.id, rater.id, at):
            return Assigned(_present(connection, study, rater, candidate.id, 1, len(seen) + 1, at))
    return Assigned(None, waiting=not full and left(connection, study.id, rater.id) > len(available))


def hold(connection: Connection, study: Row[Any], item_id: int, rater_id: int, at: datetime) -> int | None:
    """The rater's place at an item, its lease renewed: the one they hold, else a free one; None if all are taken."""
    found = connection.execute(_MINE, {"of_item": item_id, "of_rater": rater_id}).scalar()
    if found is None:
        return _take(connection, study, item_id, rater_id, at)
    connection.execute(_LEASED, {"which": found, "until": at + _lease(study)})
    return int(found)


def close(connection: Connection, study: Row[Any], shown: Row[Any], at: datetime) -> None:
    """End a presentation whose item went to others before it was answered."""
    connection.execute(update(presentation).where(presentation.c.id == shown.id).values(closed=at))
    log.add(connection, study, "handed on", at, rater_id=shown.rater_id, presentation_id=shown.id)


def left(connection: Connection, study_id: int, rater_id: int) -> int:
    """Items that this rater has not been given and that are not answered by all raters wanted."""
    return int(connection.execute(_LEFT, {"of_study": study_id, "of_rater": rater_id}).scalar_one())


def repeats_due(study: Row[Any], pseudonym: str, answered: int) -> int:
    """How many repeats a rater should have had after so many different items: the share asked for, at random intervals.

    The j-th comes at a random point of the j-th stretch of 1 / share items.
    """
    share, due = study.settings["repeats"], 0
    while share and answered >= (due + chance(study.seed, "repeat at", pseudonym, due)) / share:
        due += 1
    return due


def _history(connection: Connection, rater_id: int) -> Sequence[Row[Any]]:
    return list(connection.execute(_HISTORY, {"of_rater": rater_id}))


def _repeat(study: Row[Any], rater: Row[Any], seen: Sequence[Row[Any]], not_now: set[str]) -> int | None:
    """The item to show again, if one is due: an answered one, no catch item, that shows no head that is not for now."""
    again = {past.item_id for past in seen if past.occasion == 2}
    answered = [past for past in seen if past.occasion == 1 and past.answered is not None]
    if len(again) >= repeats_due(study, rater.pseudonym, len(answered)):
        return None
    fit = [p for p in answered if p.kind != "catch" and p.item_id not in again and not_now.isdisjoint(p.touches)]
    key = (study.seed, "repeat of", rater.pseudonym)
    return min(fit, key=lambda past: chance(*key, past.number)).item_id if fit else None


def _available(connection: Connection, study_id: int, rater_id: int, at: datetime) -> Sequence[Row[Any]]:
    """Items with a free place that this rater has not been given, each with how many are free."""
    return list(connection.execute(_AVAILABLE, {"of_study": study_id, "of_rater": rater_id, "at": at}))


def _in_order(
    available: Sequence[Row[Any]], first: Sequence[Row[Any]], study: Row[Any], rater: Row[Any]
) -> Sequence[Row[Any]]:
    """Blocks begun before others, then by free places; within a block at random.

    Towards the end, those that share heads with most of the others go first: else nothing could be put between them.
    """
    key = (study.seed, "order", rater.pseudonym)
    random = {row.id: chance(*key, row.number) for row in available}
    if _ending(available, study.settings["distance"]):
        heads = Counter(head for row in available for head in row.touches)
        return sorted(available, key=lambda row: (-sum(heads[head] - 1 for head in row.touches), random[row.id]))
    free = Counter[int]()
    for row in available:
        free[row.block] += row.free
    earliest = {block: rank for rank, block in enumerate(dict.fromkeys(past.block for past in first))}
    rank = {b: (earliest.get(b, len(earliest)), -free[b], chance(*key, "block", b)) for b in free}
    return sorted(available, key=lambda row: (rank[row.block], random[row.id]))


def _ending(available: Sequence[Row[Any]], distance: int) -> bool:
    """Whether so few items are left that those with the commonest head have to be spread: half as many again as would
    just do (found by simulation: random order up to there never left an item over).
    """
    commonest = max(Counter(head for row in available for head in row.touches).values(), default=0)
    return len(available) <= 1.5 * (commonest - 1) * (distance + 1) + 1


def _take(connection: Connection, study: Row[Any], item_id: int, rater_id: int, at: datetime) -> int | None:
    """Take a free place of an item, never used ones before others' run-out ones; None if there is none."""
    found = connection.execute(_FREE_PLACE, {"of_item": item_id, "at": at}).scalar()
    if found is None:
        return None
    connection.execute(_TAKEN, {"which": found, "by_rater": rater_id, "until": at + _lease(study)})
    return int(found)


def _present(
    connection: Connection, study: Row[Any], rater: Row[Any], item_id: int, occasion: int, position: int, at: datetime
) -> int:
    row = {"rater_id": rater.id, "item_id": item_id, "occasion": occasion, "position": position, "created": at}
    made = connection.execute(insert(presentation).values(**row).returning(presentation.c.id)).scalar_one()
    payload = {"occasion": occasion, "position": position}
    log.add(connection, study, "assigned", at, rater_id=rater.id, presentation_id=made, payload=payload)
    return int(made)


def _lease(study: Row[Any]) -> timedelta:
    return timedelta(minutes=study.settings["lease_minutes"])
