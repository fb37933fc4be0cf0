"""Findings of heads, one a head and settings: the part that their tables share.

Such a table has the columns head_id, settings, settings_hash, found and created.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, select

from describe.catalog import schema
from describe.catalog.database import begin_write
from describe.catalog.heads import heads_of
from describe.catalog.rows import json_hash, now
from describe.head_record import Json
from describe.records import HeadId

__all__ = ["Finding", "FindingStore"]

T = TypeVar("T")


class Finding(NamedTuple, Generic[T]):
    """A finding of a head, and the settings that it was found with."""

    found: T
    settings: Json


class FindingStore(Generic[T]):
    """The findings of a table, those of several heads committed together.

    Args:
        pack: a finding as the column ``found`` has it; ``unpack``: it again.
    """

    def __init__(self, engine: Engine, table: Table, pack: Callable[[T], Json], unpack: Callable[[Json], T]) -> None:
        self._engine, self._table, self._pack, self._unpack = engine, table, pack, unpack

    def save(self, extraction_id: int, found: Mapping[HeadId, T], settings: Json) -> None:
        """Commit what was found of heads that an extraction has; those under the same settings stay as they are."""
        head, table, digest = schema.head, self._table, json_hash(settings)
        of_extraction = head.c.extraction_id == extraction_id
        with begin_write(self._engine) as connection:
            heads = connection.execute(select(head.c.id, head.c.layer, head.c.head).where(of_extraction))
            ids = {HeadId(row.layer, row.head): row.id for row in heads}
            same = select(table.c.head_id).join(head, table.c.head_id == head.c.id)
            there = set(connection.execute(same.where(of_extraction, table.c.settings_hash == digest)).scalars())
            about = {"settings": settings, "settings_hash": digest, "created": now()}
            rows = [
                {"head_id": ids[place], "found": self._pack(one)} | about
                for place, one in found.items()
                if ids[place] not in there
            ]
            if rows:
                connection.execute(table.insert(), rows)

    def of_extraction(self, extraction_id: int, settings: Json | None = None) -> dict[HeadId, T]:
        """The newest finding of each head, or that under these settings; none of heads that have none."""
        query = self._query(heads_of(extraction_id))
        if settings is not None:
            query = query.where(self._table.c.settings_hash == json_hash(settings))
        with self._engine.connect() as connection:
            return {HeadId(row.layer, row.head): self._unpack(row.found) for row in connection.execute(query)}

    def of_heads(self, connection: Connection, wanted: ColumnElement[bool]) -> dict[int, Finding[T]]:
        """The newest finding of each of some heads, by the head's id."""
        query = self._query(wanted)
        return {row.head_id: Finding(self._unpack(row.found), row.settings) for row in connection.execute(query)}

    def _query(self, wanted: ColumnElement[bool]) -> Select[tuple[int, int, int, Json, Json]]:
        head, table = schema.head, self._table
        return (
            select(head.c.layer, head.c.head, table.c.head_id, table.c.found, table.c.settings)
            .join(head, table.c.head_id == head.c.id)
            .where(wanted)
            .order_by(head.c.layer, head.c.head, table.c.id)
        )
