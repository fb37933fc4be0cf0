"""Which pairs of tokens heads' queries and keys connect, in a catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
    select,
)

from describe.catalog import schema
from describe.catalog.database import begin_write
from describe.catalog.rows import json_hash, now, storable
from describe.head_record import Json
from describe.head_record.query_key import QueryKeyRecord
from describe.records import HeadId

__all__ = ["FoundPairs", "QueryKeyStore", "head_query_key"]

head_query_key = Table(
    "head_query_key",
    schema.metadata,
    Column("id", Integer, primary_key=True),
    Column("head_id", ForeignKey("head.id"), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("found", JSON, nullable=False, comment="`describe.head_record.query_key.QueryKeyRecord`"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("head_id", "settings_hash"),
)


class FoundPairs(NamedTuple):
    """The pairs of a head, and the settings that they were found with."""

    record: QueryKeyRecord
    settings: Json


class QueryKeyStore:
    """Part of `describe.catalog.Catalogue`: pairs of tokens by queries and keys, a layer's heads committed together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, extraction_id: int, found: Mapping[HeadId, QueryKeyRecord], settings: Json) -> None:
        """Commit what was found of heads of an extraction; those under the same settings stay as they are."""
        head, digest, table = schema.head, json_hash(settings), head_query_key
        with begin_write(self._engine) as connection:
            of_extraction = head.c.extraction_id == extraction_id
            rows = connection.execute(select(head.c.id, head.c.layer, head.c.head).where(of_extraction))
            ids = {HeadId(row.layer, row.head): row.id for row in rows}
            same = select(table.c.head_id).join(head, table.c.head_id == head.c.id)
            there = set(connection.execute(same.where(of_extraction, table.c.settings_hash == digest)).scalars())
            about = {"settings": settings, "settings_hash": digest, "created": now()}
            new = [
                {"head_id": ids[place], "found": storable(record.to_json())} | about
                for place, record in found.items()
                if place in ids and ids[place] not in there
            ]
            if new:
                connection.execute(table.insert(), new)

    def of_extraction(self, extraction_id: int, settings: Json) -> dict[HeadId, QueryKeyRecord]:
        """The pairs of each head with these settings."""
        head, table = schema.head, head_query_key
        query = (
            select(head.c.layer, head.c.head, table.c.found)
            .join(head, table.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, table.c.settings_hash == json_hash(settings))
            .order_by(head.c.layer, head.c.head)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query)
            return {HeadId(row.layer, row.head): QueryKeyRecord.of(**row.found) for row in rows}

    def of_layer(self, connection: Connection, extraction_id: int, layer: int) -> dict[int, FoundPairs]:
        """The newest of each head of a layer, by the head's id."""
        head, table = schema.head, head_query_key
        query = (
            select(table.c.head_id, table.c.found, table.c.settings)
            .join(head, table.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, head.c.layer == layer)
            .order_by(table.c.id)
        )
        rows = connection.execute(query)
        return {row.head_id: FoundPairs(QueryKeyRecord.of(**row.found), row.settings) for row in rows}
