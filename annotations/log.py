"""The log of a study: events, each added once and never changed."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select

from annotations import schema
from describe.catalog.rows import storable
from describe.errors import InputError
from describe.versions import headscribe_version

__all__ = ["EVENTS", "add", "found", "new_uuid", "valid_uuid"]

EVENTS = {
    "created": "the study was made",
    "invited": "a rater was entered",
    "revoked": "a rater was shut out",
    "stopped": "the study was stopped: no more items are given out",
    "extended": "more raters per item are wanted from here on",
    "consented": "the rater agreed to the consent text and guideline (their hash in shown_hash)",
    "recruited": "a rater entered by the study's one link",
    "recruiting": "the one link by which raters enter themselves was made, changed or closed",
    "about": "the rater answered the questions about raters",
    "practised": "the rater answered a practice item",
    "screened": "the rater answered an item of the check before the items",
    "archived": "the study was put away, or taken out again",
    "assigned": "an item became the next of the rater",
    "shown_a": "the table was sent to the rater's page",
    "answered_a": "the rater said whether there is a pattern",
    "shown_b": "the description was sent to the rater's page",
    "answered_b": "the rater judged the description",
    "undone": "the rater went back to the last judgement",
    "revised": "the rater judged the description anew; the newest counts",
    "handed on": "the rater was away, and the item went to others",
    "refused": "a submission that was not taken, with what was sent and why",
    "paused": "the rater left for a break",
    "resumed": "the rater came back",
}
"""Every type of event, and what it says."""

_ADD = insert(schema.study_event)
_FOUND = select(schema.study_event).where(schema.study_event.c.uuid == bindparam("submission"))


def add(
    connection: Connection,
    study: Row[Any],
    type_: str,
    at: datetime,
    *,
    submission: str | None = None,
    rater_id: int | None = None,
    presentation_id: int | None = None,
    payload: dict[str, Any] | None = None,
    active_ms: int | None = None,
    shown_hash: str | None = None,
) -> None:
    """Add one event, under the submission's UUID or a new one."""
    row = {
        "uuid": submission or new_uuid(),
        "study_id": study.id,
        "rater_id": rater_id,
        "presentation_id": presentation_id,
        "type": type_,
        "payload": {name: storable(value) for name, value in (payload or {}).items()},
        "active_ms": active_ms,
        "shown_hash": shown_hash,
        "study_version": study.version,
        "app_version": headscribe_version(),
        "created": at,
    }
    connection.execute(_ADD, row)


def found(connection: Connection, submission: str) -> Row[Any] | None:
    """The event of a submission that came before."""
    return connection.execute(_FOUND, {"submission": submission}).first()


def new_uuid() -> str:
    """A random UUID."""
    return str(uuid.uuid4())


def valid_uuid(text: str) -> str:
    """A UUID in its standard form. Raises `InputError` for anything else."""
    try:
        return str(uuid.UUID(text))
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError("a submission needs a UUID") from error
