"""The scores of a catalogue: how far each judge found each description true."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, select

from describe.catalog import schema
from describe.catalog.heads import heads_of
from describe.catalog.rows import aware, iso, json_hash, now, storable
from describe.catalog.writes import Writes
from describe.head_record import ScoreProvenance, ScoreRecord
from describe.records import Claim, HeadId, Score

__all__ = ["ScoreStore", "Told"]

Scores = dict[str, dict[str, ScoreRecord]]
"""By measure and judge."""


@dataclass(frozen=True, slots=True)
class Told:
    """A description as judges need it: whose, of which head or role, in which words; ``failure`` where there are none.

    Attributes:
        settings: of its author; ``shows`` there says ``suppressed`` where it is about what heads push down.
    """

    id: int
    head: HeadId
    labeller_id: int
    llm: str
    prompt: str
    settings: dict[str, Any]
    inputs: str | None
    pattern: str | None
    unclear: bool
    claims: tuple[Claim, ...]
    failure: str | None

    @property
    def answers(self) -> bool:
        """It says what the head does."""
        return self.failure is None and not self.unclear


class ScoreStore:
    """Part of `describe.catalog.Catalogue`: what judging commits, and everyone reads again."""

    def __init__(self, engine: Engine, writes: Writes) -> None:
        self._engine = engine
        self._writes = writes

    def save(
        self, description_id: int, judge_id: int, score: Score, settings: dict[str, Any], versions: dict[str, str]
    ) -> None:
        """Commit one description's score. An earlier failure under the same settings gives way; a value stays."""
        table = schema.score
        key = {
            "description_id": description_id,
            "judge_id": judge_id,
            "measure": score.measure,
            "settings_hash": json_hash(settings),
        }
        fields = {name: storable(value) for name, value in asdict(score).items()}
        fields |= {"settings": settings, "versions": versions, "created": now()}
        query = select(table.c.id, table.c.failure).where(*(table.c[name] == value for name, value in key.items()))

        def write(connection: Connection) -> None:
            earlier = connection.execute(query).first()
            if earlier is None:
                connection.execute(table.insert(), fields | key)
            elif earlier.failure is not None:
                connection.execute(table.update().where(table.c.id == earlier.id).values(**fields))

        self._writes.soon(write)

    def descriptions(self, extraction_id: int) -> list[Told]:
        """All descriptions of an extraction's heads and of their roles, in order of authors and heads."""
        head, description, labeller = schema.head, schema.description, schema.labeller
        names = ("id", "labeller_id", "inputs", "pattern", "unclear", "claims", "failure")
        query = (
            select(head.c.layer, head.c.head, description.c.role, *(description.c[name] for name in names))
            .add_columns(labeller.c.llm, labeller.c.prompt, labeller.c.settings)
            .join_from(description, head, description.c.head_id == head.c.id)
            .join(labeller, description.c.labeller_id == labeller.c.id)
            .where(head.c.extraction_id == extraction_id)
            .order_by(labeller.c.id, head.c.layer, head.c.head, description.c.role)
        )
        with self._engine.connect() as connection:
            rows = [row._asdict() for row in connection.execute(query)]
        return [_told(row) for row in rows]

    def outcomes(
        self, extraction_id: int, judge_id: int, measure: str, settings: dict[str, Any]
    ) -> dict[int, tuple[str | None, datetime]]:
        """The descriptions of an extraction that this judge scored so: each the cause of failure or None, and when."""
        head, description, table = schema.head, schema.description, schema.score
        query = (
            select(table.c.description_id, table.c.failure, table.c.created)
            .join(description, table.c.description_id == description.c.id)
            .join(head, description.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, table.c.judge_id == judge_id, table.c.measure == measure)
            .where(table.c.settings_hash == json_hash(settings))
        )
        with self._engine.connect() as connection:
            return {row.description_id: (row.failure, aware(row.created)) for row in connection.execute(query)}

    def by_judge(self, extraction_id: int, judge_id: int, measure: str) -> dict[tuple[int, str], Row[Any]]:
        """All of a judge's scores of an extraction, by the description's id and the hash of their settings."""
        head, description, table = schema.head, schema.description, schema.score
        query = (
            select(table)
            .join(description, table.c.description_id == description.c.id)
            .join(head, description.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, table.c.judge_id == judge_id, table.c.measure == measure)
        )
        with self._engine.connect() as connection:
            return {(row.description_id, row.settings_hash): row for row in connection.execute(query)}

    def newest(self, extraction_id: int) -> dict[int, Scores]:
        """The newest score of each description of an extraction by measure and judge, by the description's id."""
        with self._engine.connect() as connection:
            return self.of_heads(connection, heads_of(extraction_id))

    def of_heads(self, connection: Connection, wanted: ColumnElement[bool]) -> dict[int, Scores]:
        """The newest scores of the descriptions of some heads, as `newest`."""
        head, description, judge, table = schema.head, schema.description, schema.labeller, schema.score
        query = (
            select(
                table,
                judge.c.llm,
                judge.c.prompt,
                judge.c.template,
                judge.c.template_hash,
                judge.c.settings.label("judge_settings"),
            )
            .join(judge, table.c.judge_id == judge.c.id)
            .join(description, table.c.description_id == description.c.id)
            .join(head, description.c.head_id == head.c.id)
            .where(wanted)
            .order_by(table.c.created, table.c.id)
        )
        found: dict[int, Scores] = {}
        for row in connection.execute(query):
            found.setdefault(row.description_id, {}).setdefault(row.measure, {})[row.llm] = _record(row)
        return found


def _told(row: dict[str, Any]) -> Told:
    head = HeadId(row.pop("layer"), row.pop("head"), row.pop("role"))
    return Told(
        **row
        | {
            "head": head,
            "claims": tuple(Claim(**claim | {"lines": tuple(claim.get("lines", ()))}) for claim in row["claims"]),
        }
    )


def _record(row: Row[Any]) -> ScoreRecord:
    made: dict[str, Any] = row._asdict() | {"judge": row.judge_settings, "scored": iso(row.created)}
    provenance = ScoreProvenance.of(**{name: made[name] for name in ScoreProvenance.model_fields})
    known = {name: made[name] for name in ScoreRecord.model_fields if name in made}
    return ScoreRecord.of(**known, provenance=provenance)
