"""Which pairs of tokens heads' queries and keys connect, in a catalogue."""

from __future__ import annotations

from sqlalchemy import JSON, Column, DateTime, Engine, ForeignKey, Integer, String, Table, UniqueConstraint

from describe.catalog import schema
from describe.catalog.findings import FindingStore
from describe.catalog.rows import storable
from describe.head_record import Json
from describe.head_record.query_key import QueryKeyRecord

__all__ = ["QueryKeyStore", "head_query_key"]

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


class QueryKeyStore(FindingStore[QueryKeyRecord]):
    """Part of `describe.catalog.Catalogue`: pairs of tokens by queries and keys, a layer's heads committed together."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, head_query_key, _pack, lambda found: QueryKeyRecord.of(**found))


def _pack(record: QueryKeyRecord) -> Json:
    packed: Json = storable(record.to_json())
    return packed
