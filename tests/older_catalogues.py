"""Catalogues as older versions of headscribe left them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, insert, inspect, select

from describe.catalog import schema
from describe.catalog.revisions import upgrade

__all__ = ["at_revision"]


def at_revision(revision: str, now: Path, older: str, tables: tuple[str, ...]) -> None:
    """Make of a catalogue an older one, at a URL, with what its schema had room for of these tables' rows."""
    engine = create_engine(older)
    with create_engine(f"sqlite:///{now}").connect() as source, engine.begin() as connection:
        upgrade(connection, revision)
        known = inspect(connection)
        for table in (schema.metadata.tables[name] for name in tables):
            columns = [column["name"] for column in known.get_columns(table.name)]
            rows = source.execute(select(*(table.c[name] for name in columns))).all()
            connection.execute(insert(table), [row._asdict() for row in rows])
    engine.dispose()
