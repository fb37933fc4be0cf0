"""The evidence of a catalogue: what is significant of each head's mappings, under the settings it was tested with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, select

from describe.catalog import schema
from describe.catalog.heads import head_id
from describe.catalog.rows import get_or_create, json_hash
from describe.records import Evidence, HeadId

__all__ = ["EvidenceStore", "evidence_of"]


class EvidenceStore:
    """Part of `describe.catalog.Catalogue`: what the statistics commit, and everyone reads again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, extraction_id: int, head: HeadId, settings: dict[str, Any], evidence: Iterable[Evidence]) -> None:
        """Commit one head's evidence; what is there under the same settings stays as it is."""
        key = {"head_id": head_id(self._engine, extraction_id, head), "settings_hash": json_hash(settings)}
        rest = {"settings": settings, "found": [asdict(found) for found in evidence]}
        get_or_create(self._engine, schema.evidence, key, rest)

    def of_extraction(self, extraction_id: int, settings: dict[str, Any]) -> dict[HeadId, list[Evidence]]:
        """Evidence found under these settings, of each head that was tested."""
        head, table = schema.head, schema.evidence
        query = (
            select(head.c.layer, head.c.head, table.c.found)
            .join(head, table.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, table.c.settings_hash == json_hash(settings))
        )
        with self._engine.connect() as connection:
            return {
                HeadId(row.layer, row.head): [evidence_of(e) for e in row.found] for row in connection.execute(query)
            }

    def heads_with(self, extraction_id: int) -> set[HeadId]:
        """The heads of which anything significant was found, by their newest tests."""
        head, table = schema.head, schema.evidence
        query = (
            select(head.c.layer, head.c.head, table.c.found)
            .join(head, table.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id)
            .order_by(table.c.id)
        )
        with self._engine.connect() as connection:
            newest = {HeadId(row.layer, row.head): row.found for row in connection.execute(query)}
        return {found for found, evidence in newest.items() if evidence}

    def of_heads(self, connection: Connection, wanted: ColumnElement[bool]) -> dict[int, Any]:
        """The newest evidence of each of some heads, ``found`` under ``settings``, by the head's id."""
        head, table = schema.head, schema.evidence
        query = (
            select(table.c.head_id, table.c.found, table.c.settings)
            .join(head, table.c.head_id == head.c.id)
            .where(wanted)
            .order_by(table.c.id)
        )
        return {row.head_id: row for row in connection.execute(query)}


def evidence_of(found: dict[str, Any]) -> Evidence:
    """Evidence as it is stored; of older one the lines are not known."""
    return Evidence(**found | {"examples": tuple(found["examples"]), "lines": tuple(found.get("lines", ()))})
