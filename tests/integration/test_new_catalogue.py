"""A new catalogue, whose tables are made at once, has all that the revisions make of an empty database, in order."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, inspect, text

from describe.catalog import Catalogue
from describe.catalog.revisions import upgrade
from describe.catalog.schema import metadata
from tests.conftest import empty_database

OF_SQLITE = ("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type <> 'table' OR sql LIKE 'CREATE VIRTUAL%'",)
OF_POSTGRESQL = (
    "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid <> 0",
    "SELECT tablename, indexname, indexdef FROM pg_indexes",
    "SELECT tgrelid::regclass, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    "SELECT sequencename, data_type, start_value FROM pg_sequences",
)
"""What each database tells in its own words: indices, triggers and functions as they are defined."""


@pytest.fixture(params=["sqlite", "postgresql"])
def two_databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URLs of two empty databases."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new.db'}", f"sqlite:///{tmp_path / 'old.db'}"
    else:
        server = request.getfixturevalue("postgres")
        yield empty_database(server), empty_database(server)


def told(connection: Connection) -> dict[str, Any]:
    """All that a database says of its tables. Columns may stand in another order."""
    known = inspect(connection)
    facts: dict[str, Any] = {}
    for table in known.get_table_names():
        facts[table] = {
            "primary key": known.get_pk_constraint(table),
            **{
                kind: sorted(map(str, rows(table)))
                for kind, rows in (
                    ("columns", known.get_columns),
                    ("foreign keys", known.get_foreign_keys),
                    ("unique", known.get_unique_constraints),
                    ("checks", known.get_check_constraints),
                )
            },
        }
    for query in OF_SQLITE if connection.dialect.name == "sqlite" else OF_POSTGRESQL:
        rows = connection.execute(text(query)).all()
        facts[query] = sorted(" ".join(str(value) for value in row).split() for row in rows)
    facts["revision"] = connection.execute(text("SELECT version_num FROM alembic_version")).all()
    return facts


def test_it_equals_one_that_was_upgraded_from_nothing(two_databases: tuple[str, str]) -> None:
    new, old = two_databases
    Catalogue(new, create=True).close()
    with create_engine(old).begin() as connection:
        upgrade(connection)
    facts = []
    for database in (new, old):
        with create_engine(database).connect() as connection:
            facts.append(told(connection))
    for name, fact in facts[1].items():
        assert facts[0][name] == fact, name
    assert facts[0].keys() == facts[1].keys()
    program = "import describe.catalog as loaded; print(*loaded.schema.metadata.tables)"
    alone = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert set(alone) == set(metadata.tables), "the package loads all modules with tables"
    assert set(alone) < set(facts[0])
