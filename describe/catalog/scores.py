"""The scores of a catalogue: how far each judge found each description true."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Engine, select

from describe.catalog import schema
from describe.catalog.database import begin_write
from describe.catalog.rows import iso, json_hash, now, storable
from describe.records import Score

__all__ = ["MEASURES", "ScoreStore", "headline"]

MEASURES = ("detection", "likelihood", "stability")
"""What there are scores of, the most telling first."""


class ScoreStore:
    """Part of `describe.catalog.Catalogue`: what judging commits, and everyone reads again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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
        with begin_write(self._engine, often=True) as connection:
            earlier = connection.execute(query).first()
            if earlier is None:
                connection.execute(table.insert(), fields | key)
            elif earlier.failure is not None:
                connection.execute(table.update().where(table.c.id == earlier.id).values(**fields))

    def of_layer(self, connection: Connection, extraction_id: int, layer: int) -> dict[int, dict[str, Any]]:
        """The newest score of each description of a layer by measure and judge, by the description's id."""
        head, description, judge, table = schema.head, schema.description, schema.labeller, schema.score
        query = (
            select(table, judge.c.llm, judge.c.prompt, judge.c.template_hash)
            .join(judge, table.c.judge_id == judge.c.id)
            .join(description, table.c.description_id == description.c.id)
            .join(head, description.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, head.c.layer == layer)
            .order_by(table.c.created, table.c.id)
        )
        found: dict[int, dict[str, Any]] = {}
        for row in connection.execute(query):
            found.setdefault(row.description_id, {}).setdefault(row.measure, {})[row.llm] = {
                **{name: getattr(row, name) for name in ("value", "low", "high", "placebo", "n", "failure", "detail")},
                "found": row.found,
                "provenance": {
                    "prompt": row.prompt,
                    "template_hash": row.template_hash,
                    "settings": row.settings,
                    "versions": row.versions,
                    "scored": iso(row.created),
                },
            }
        return found


def headline(description: dict[str, Any]) -> dict[str, Any] | None:
    """The one score of a description, in the JSON form, to show first: it has a value, ``measure`` and ``judge``."""
    for measure in MEASURES:
        judged = description["scores"].get(measure, {})
        valued = [{"measure": measure, "judge": judge, **s} for judge, s in judged.items() if s["value"] is not None]
        if valued:
            return max(valued, key=lambda score: str(score["provenance"]["scored"]))
    return None
