"""Rows: entered once under a key, hashed, safe for every database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, Engine, Table, select
from sqlalchemy.exc import IntegrityError

from describe.catalog.database import begin_write
from describe.secrets import redacted
from describe.text import keepable
from describe.values import moment_text

__all__ = ["aware", "bare", "get_or_create", "iso", "json_hash", "now", "storable"]


def get_or_create(
    engine: Engine,
    table: Table,
    key: dict[str, Any],
    rest: dict[str, Any],
    also: Callable[[Connection, int], None] | None = None,
) -> int:
    """The id of the row with this key; when two processes enter it at once, the first one's row serves both.

    ``also`` is given a new row's id, to enter in the same transaction what belongs to it.
    """
    query = select(table.c.id).where(*(table.c[name] == value for name, value in key.items()))
    try:
        with begin_write(engine) as connection:
            found = connection.execute(query).scalar()
            if found is None:
                row = table.insert().values(**key, **rest, created=now())
                found = connection.execute(row).inserted_primary_key[0]  # type: ignore[index]
                if also is not None:
                    also(connection, int(found))
    except IntegrityError:
        with engine.connect() as connection:
            found = connection.execute(query).scalar_one()
    return int(found)


def json_hash(value: Any) -> str:
    """SHA-256 of a value's JSON, the same whatever the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def storable(value: Any) -> Any:
    """A value whose texts every database can keep: without secrets; NUL and lone surrogates are written as escapes."""
    if isinstance(value, dict):
        return {key: storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return keepable(redacted(value)) if isinstance(value, str) else value


def bare(row: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """A row without the secrets that servers gave back into these columns: an older headscribe may have kept some."""
    return row | {name: _bare(row[name]) for name in names}


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_bare(item) for item in value]
    return redacted(value) if isinstance(value, str) else value


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(timezone.utc)


def aware(moment: datetime) -> datetime:
    """A stored moment in UTC, with its zone, which SQLite forgets."""
    return moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def iso(moment: datetime) -> str:
    """A stored moment as ISO 8601 in UTC."""
    return moment_text(aware(moment))
