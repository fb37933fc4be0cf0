"""The placebos of a catalogue: extractions of a model whose heads are not its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, select

from describe.catalog import schema
from describe.catalog.rows import get_or_create, json_hash

__all__ = ["NULL", "PlaceboStore"]

NULL = "null"
"""The kind of the random heads that evidence is held against; of these nobody is asked for a description."""


class PlaceboStore:
    """Part of `describe.catalog.Catalogue`: which extractions are placebos of which."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, own: int, kind: str, settings: dict[str, Any], versions: dict[str, str]) -> int:
        """The id of the extraction of one kind of placebos of the extraction ``own``, entered if it is new.

        ``settings``: what the placebos depend on besides the settings of ``own``.
        """
        key, rest = self._entry(own, kind, settings)
        return get_or_create(self._engine, schema.extraction, key, rest | {"versions": versions, "placebo": kind})

    def find(self, own: int, kind: str, settings: dict[str, Any]) -> int | None:
        """The id of the same, if it is there."""
        table = schema.extraction
        key, _ = self._entry(own, kind, settings)
        query = select(table.c.id).where(*(table.c[name] == value for name, value in key.items()))
        with self._engine.connect() as connection:
            return connection.execute(query).scalar()

    def _entry(self, own: int, kind: str, settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        table = schema.extraction
        with self._engine.connect() as connection:
            of = connection.execute(select(table).where(table.c.id == own)).one()
        of_placebo = of.settings | {"placebo": {"kind": kind, **settings}}
        return {"model_id": of.model_id, "settings_hash": json_hash(of_placebo)}, {"settings": of_placebo}

    def of(self, own: int) -> dict[str, int]:
        """The newest extraction of each kind of placebos of the extraction ``own`` that are there to be described."""
        table = schema.extraction
        model = select(table.c.model_id).where(table.c.id == own).scalar_subquery()
        query = select(table).where(table.c.model_id == model).order_by(table.c.id)
        with self._engine.connect() as connection:
            rows = {row.id: row for row in connection.execute(query)}
        return {
            str(row.placebo): row.id
            for row in rows.values()
            if row.placebo not in (None, NULL)
            and {k: v for k, v in row.settings.items() if k != "placebo"} == rows[own].settings
        }
