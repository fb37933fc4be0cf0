"""The cards of heads as LLMs word them: one for each state of the evidence, so that none that was paid for is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    select,
)

from describe.catalog import schema
from describe.catalog.heads import HEAD_ID, place
from describe.catalog.rows import aware, bare, iso, json_hash, now, storable
from describe.catalog.writes import Writes
from describe.head_record import DescriptionProvenance, Json
from describe.head_record.worded import WordedRecord
from describe.records import HeadId, WordedCard

__all__ = ["WordedOutcome", "WordedStore", "head_worded"]

head_worded = Table(
    "head_worded",
    schema.metadata,
    Column("id", Integer, primary_key=True),
    Column("head_id", ForeignKey("head.id"), nullable=False),
    Column("labeller_id", ForeignKey("labeller.id"), nullable=False, index=True),
    Column("evidence", JSON, nullable=False, comment="lines, in the order in which they were numbered from 1"),
    Column("evidence_hash", String(64), nullable=False),
    Column("statements", JSON, nullable=False, comment="[{text, evidence: numbers}]: headline, two sentences"),
    Column("others", Integer, nullable=False, comment="heads under whose evidence the check was tried too"),
    Column("passed", Integer, nullable=False, comment="those of which it did not object"),
    Column("failure", String(32), comment="why there is no usable answer"),
    Column("detail", Text, comment="the failure in a sentence"),
    Column("reply", Text),
    Column("prompt_hash", String(64)),
    Column("usage", JSON, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("head_id", "labeller_id", "evidence_hash"),
)

_KEPT = ("statements", "evidence", "detail", "reply", "usage")
_MADE_BY = [schema.labeller.c[name] for name in ("llm", "prompt", "template", "template_hash", "settings")]


class WordedOutcome(NamedTuple):
    """The outcome of having a card worded: why it failed, the level of the check, and when."""

    failure: str | None
    others: int
    passed: int
    created: datetime


class WordedStore:
    """Part of `describe.catalog.Catalogue`: the wordings of heads' cards."""

    def __init__(self, engine: Engine, writes: Writes) -> None:
        self._engine = engine
        self._writes = writes

    def save(
        self,
        extraction_id: int,
        head: HeadId,
        labeller_id: int,
        outcome: WordedCard,
        evidence: Sequence[str],
        level: tuple[int, int],
        versions: dict[str, str],
    ) -> None:
        """Commit a wording by this evidence. An earlier failure gives way to it; an earlier answer stays.

        ``level``: other heads under whose evidence the check was tried, and of how many it passed.
        """
        table, lines = head_worded, storable(list(evidence))
        fields = {name: storable(value) for name, value in asdict(outcome).items()}
        fields |= {"evidence": lines, "others": level[0], "passed": level[1], "versions": versions, "created": now()}

        def write(connection: Connection) -> None:
            head_id = connection.execute(HEAD_ID, place(extraction_id, head)).scalar_one()
            key = {"head_id": head_id, "labeller_id": labeller_id, "evidence_hash": json_hash(lines)}
            same = (table.c[name] == value for name, value in key.items())
            earlier = connection.execute(select(table.c.id, table.c.failure).where(*same)).first()
            if earlier is None:
                connection.execute(table.insert(), fields | key)
            elif earlier.failure is not None:
                connection.execute(table.update().where(table.c.id == earlier.id).values(**fields))

        self._writes.soon(write)

    def outcomes(
        self, extraction_id: int, labeller_id: int, known: Mapping[HeadId, Sequence[str]]
    ) -> dict[HeadId, WordedOutcome]:
        """The outcome of each head that this one worded by the evidence ``known`` of it now."""
        head, table = schema.head, head_worded
        columns = (table.c[name] for name in ("evidence_hash", "failure", "others", "passed", "created"))
        query = (
            select(head.c.layer, head.c.head, *columns)
            .join(head, table.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, table.c.labeller_id == labeller_id)
        )
        now_known = {unit: json_hash(storable(list(lines))) for unit, lines in known.items()}
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return {
            unit: WordedOutcome(row.failure, row.others, row.passed, aware(row.created))
            for row in rows
            if now_known.get(unit := HeadId(row.layer, row.head)) == row.evidence_hash
        }

    def of_heads(self, connection: Connection, wanted: ColumnElement[bool]) -> dict[int, list[WordedRecord]]:
        """The wordings of each of some heads, by the head's id, in order of entry."""
        head, table, labeller = schema.head, head_worded, schema.labeller
        query = (
            select(table, *_MADE_BY)
            .join(head, table.c.head_id == head.c.id)
            .join(labeller, table.c.labeller_id == labeller.c.id)
            .where(wanted)
            .order_by(table.c.id)
        )
        found: dict[int, list[WordedRecord]] = {}
        for row in connection.execute(query):
            found.setdefault(row.head_id, []).append(_record(row._asdict() | {"described": iso(row.created)}))
        return found


def _record(row: Json) -> WordedRecord:
    made = bare(row, _KEPT)
    provenance = DescriptionProvenance.of(**{name: made[name] for name in DescriptionProvenance.model_fields})
    fields = {name: made[name] for name in WordedRecord.model_fields if name in made}
    return WordedRecord.of(**fields, provenance=provenance)
