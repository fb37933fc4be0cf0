"""Catalogues as older versions of headscribe left them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, MetaData, Table, create_engine, insert, inspect, select

from describe.catalog import schema
from describe.catalog.revisions import upgrade

__all__ = ["at_revision"]

RENAMED = {("score", "placebo"): "wrong"}
"""Columns of before, by table, and what they are called now."""


def at_revision(revision: str, now: Path, older: str, tables: tuple[str, ...]) -> None:
    """Make of a catalogue an older one, at a URL, with what its schema had room for of these tables' rows."""
    engine = create_engine(older)
    with create_engine(f"sqlite:///{now}").connect() as source, engine.begin() as connection:
        upgrade(connection, revision)
        known = inspect(connection)
        for table in (schema.metadata.tables[name] for name in tables):
            columns = [column["name"] for column in known.get_columns(table.name)]
            now_called = [table.c[RENAMED.get((table.name, name), name)] for name in columns]
            rows = [dict(zip(columns, row, strict=True)) for row in source.execute(select(*now_called))]
            as_it_was = Table(
                table.name, MetaData(), *(Column(n, c.type) for n, c in zip(columns, now_called, strict=True))
            )
            if rows:
                connection.execute(insert(as_it_was), rows)
    engine.dispose()
