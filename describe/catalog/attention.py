"""Where heads look, in a catalogue: runs over documents, committed one by one, and what they show of each head.

model ─< attention_run ─< attention_document, until all are there;  attention_run ─< attention_head
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    LargeBinary,
    RowMapping,
    String,
    Table,
    UniqueConstraint,
    select,
)

from describe.attention import HeadAttention
from describe.catalog import schema
from describe.catalog.database import begin_write
from describe.catalog.rows import get_or_create, json_hash, now
from describe.head_record import Json
from describe.head_record.attention import AttentionProvenance, AttentionRecord
from describe.records import HeadId
from describe.text import keepable

__all__ = [
    "AttentionStore",
    "HeadKinds",
    "attention_document",
    "attention_head",
    "attention_run",
    "head_row",
    "kinds_of_extraction",
    "newest_run",
    "unpacked",
]

attention_run = Table(
    "attention_run",
    schema.metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", ForeignKey("model.id"), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("standard", Boolean, nullable=False, comment="the default settings: what is shown of a head"),
    Column("versions", JSON, nullable=False),
    Column("found", JSON(none_as_null=True), comment="what is no single head's; null until all documents were run"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("model_id", "settings_hash"),
)

attention_document = Table(
    "attention_document",
    schema.metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("attention_run.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("found", LargeBinary, nullable=False, comment="`describe.inference.attention.DocumentReading`"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("run_id", "number"),
    comment="what was run of a run that is not complete",
)

attention_head = Table(
    "attention_head",
    schema.metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("attention_run.id"), nullable=False),
    Column("layer", Integer, nullable=False),
    Column("head", Integer, nullable=False),
    Column("kinds", JSON, nullable=False),
    Column("figures", JSON, nullable=False, comment="means on text, by name"),
    Column("found", LargeBinary, nullable=False, comment="`describe.head_record.AttentionRecord`: JSON, deflated"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("run_id", "layer", "head"),
)

LARGEST = 1 << 24
"""Bytes of a head's record, inflated, that are read."""


@dataclass(frozen=True, slots=True)
class HeadKinds:
    """Where a head looks, at a glance: its kinds, and the figures on text by name."""

    id: HeadId
    kinds: tuple[str, ...]
    figures: dict[str, float | None]


class AttentionStore:
    """Part of `describe.catalog.Catalogue`: what ``attend`` commits, and everyone reads again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin_run(self, model_id: int, settings: Json, standard: bool, versions: dict[str, str]) -> int:
        """The id of the run over a model with these settings, entered if it is new."""
        key = {"model_id": model_id, "settings_hash": json_hash(settings)}
        rest = {"settings": settings, "standard": standard, "versions": versions}
        return get_or_create(self._engine, attention_run, key, rest)

    def is_complete(self, run_id: int) -> bool:
        """Whether all documents were run, and every head has what they show of it."""
        with self._engine.connect() as connection:
            found = connection.execute(select(attention_run.c.found).where(attention_run.c.id == run_id)).scalar()
        return found is not None

    def save_documents(self, run_id: int, found: dict[int, bytes]) -> None:
        """Commit what documents show, by their numbers; what is there stays."""
        for number, data in found.items():
            get_or_create(self._engine, attention_document, {"run_id": run_id, "number": number}, {"found": data})

    def documents(self, run_id: int) -> dict[int, bytes]:
        """Whatever documents show, by their numbers, of a run that is not complete."""
        table = attention_document
        query = select(table.c.number, table.c.found).where(table.c.run_id == run_id).order_by(table.c.number)
        with self._engine.connect() as connection:
            return {row.number: bytes(row.found) for row in connection.execute(query)}

    def finish(self, run_id: int, heads: Iterable[HeadAttention], found: Json) -> None:
        """Commit where every head looks and what is no single head's, and let go of the documents: all or nothing."""
        with begin_write(self._engine) as connection:
            done = connection.execute(select(attention_run.c.found).where(attention_run.c.id == run_id)).scalar()
            if done is not None:  # by another process meanwhile
                return
            for head in heads:
                record = AttentionRecord.of_head(head)
                place = {"run_id": run_id, "layer": head.layer, "head": head.head}
                connection.execute(attention_head.insert().values(**place, **head_row(record), created=now()))
            connection.execute(attention_run.update().where(attention_run.c.id == run_id).values(found=found))
            connection.execute(attention_document.delete().where(attention_document.c.run_id == run_id))

    def find_run(self, model_id: int) -> int | None:
        """The complete standard run over a model, or else the newest complete one."""
        with self._engine.connect() as connection:
            row = newest_run(connection, model_id)
        return None if row is None else int(row["id"])

    def heads(self, run_id: int) -> list[HeadKinds]:
        """Every head of a complete run at a glance, in order."""
        with self._engine.connect() as connection:
            return _heads(connection, run_id)

    def records(self, run_id: int) -> dict[HeadId, AttentionRecord]:
        """Everything that a complete run shows of each head."""
        table = attention_head
        query = select(table.c.layer, table.c.head, table.c.found).where(table.c.run_id == run_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.layer, table.c.head))
            return {HeadId(row.layer, row.head): unpacked(row.found) for row in rows}

    def made(self, run_id: int) -> AttentionProvenance:
        """How a complete run was made, and what it shows that is no single head's."""
        with self._engine.connect() as connection:
            found = connection.execute(select(attention_run).where(attention_run.c.id == run_id)).mappings().one()
        return _provenance(found)

    def provenance(self, model_id: int) -> tuple[int, AttentionProvenance] | None:
        """The run whose findings stand in the records of a model's heads, and how it was made."""
        with self._engine.connect() as connection:
            row = newest_run(connection, model_id)
        return None if row is None else (row["id"], _provenance(row))

    def of_layer(
        self, connection: Connection, run_id: int, layer: int, head: int | None = None
    ) -> dict[int, AttentionRecord]:
        """The records of a layer's heads, by head; ``head``: of this one alone."""
        table = attention_head
        query = select(table.c.head, table.c.found).where(table.c.run_id == run_id, table.c.layer == layer)
        if head is not None:
            query = query.where(table.c.head == head)
        return {row.head: unpacked(row.found) for row in connection.execute(query)}


def head_row(record: AttentionRecord) -> Json:
    """The columns of a head that hold where it looks."""
    text = json.dumps(record.to_json(), ensure_ascii=False, separators=(",", ":"))
    means = {name: figure.mean for name, figure in record.figures.get("text", {}).items()}
    packed = zlib.compress(keepable(text).encode(), 9)
    return {"kinds": list(record.kinds), "figures": means, "found": packed}


def unpacked(found: bytes) -> AttentionRecord:
    """Where a head looks, of its column ``found``."""
    inflated = zlib.decompressobj().decompress(bytes(found), LARGEST)
    return AttentionRecord.of(**json.loads(inflated))


def kinds_of_extraction(connection: Connection, extraction_id: int) -> dict[HeadId, HeadKinds]:
    """Where the heads of an extraction's model look, at a glance; nothing where the model was not run."""
    model_id = connection.execute(
        select(schema.extraction.c.model_id).where(schema.extraction.c.id == extraction_id)
    ).scalar_one()
    run = newest_run(connection, model_id)
    return {} if run is None else {found.id: found for found in _heads(connection, run["id"])}


def _heads(connection: Connection, run_id: int) -> list[HeadKinds]:
    table = attention_head
    query = select(table.c.layer, table.c.head, table.c.kinds, table.c.figures).where(table.c.run_id == run_id)
    rows = connection.execute(query.order_by(table.c.layer, table.c.head)).all()
    return [HeadKinds(HeadId(row.layer, row.head), tuple(row.kinds), row.figures) for row in rows]


def _provenance(row: RowMapping) -> AttentionProvenance:
    return AttentionProvenance.of(**{name: row[name] for name in AttentionProvenance.model_fields})


def newest_run(connection: Connection, model_id: int) -> RowMapping | None:
    """The complete standard run over a model, or else the newest complete one."""
    run = attention_run
    query = select(run).where(run.c.model_id == model_id, run.c.found.is_not(None))
    return connection.execute(query.order_by(run.c.standard.desc(), run.c.id.desc())).mappings().first()
