"""The revisions of the schema: which one a database has, and how it gets to this version's, after a backup."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Engine, StaticPool, create_engine, inspect, text

from describe.catalog.creation import create_tables
from describe.catalog.sqlite_file import SqliteFile
from describe.catalog.transactions import prepare_sqlite, writing
from describe.errors import CatalogueError

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["CannotBeUpgradedError", "bring_up_to_date", "copy_of_an_empty_catalogue", "upgrade"]

MIGRATIONS = Path(__file__).parent / "migrations"

LONGEST_UPGRADE = 600.0
"""Seconds that a process waits for another to upgrade the catalogue."""

_copying = threading.Lock()


class CannotBeUpgradedError(CatalogueError):
    """An older catalogue may not be written to."""


def bring_up_to_date(engine: Engine, file: SqliteFile | None, where: str, create: bool) -> None:
    """Make the tables of an empty database when ``create`` is set; upgrade an older one after a backup of its file.

    Of several processes at once one does it, and the others wait. Raises `CatalogueError` for a database of something
    else or of a newer headscribe, with nothing changed; `CannotBeUpgradedError` for an older file that may not be
    written to.
    """
    path = None if file is None else file.path
    found = _revision(engine, where)
    if found == _newest():  # nothing of Alembic is loaded
        return
    if found is None and not create:
        raise CatalogueError(f"'{where}' is empty: headscribe extract MODEL fills a catalogue")
    if found is not None and found not in _revisions():
        raise CatalogueError(
            f"the catalogue '{where}' was written by a newer headscribe (schema {found}, this one knows"
            f" {_newest()}): upgrade headscribe; the catalogue was left as it is"
        )
    if found is not None and file is not None and not file.can_be_written:
        raise CannotBeUpgradedError(f"the catalogue '{where}' is of an older headscribe, and may not be written to")
    if found is None and path is not None:
        _outside_transaction(engine, "PRAGMA journal_mode = WAL")  # kept in the file
    with writing(engine, wait=LONGEST_UPGRADE).begin() as connection:  # whoever is second waits here
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('headscribe upgrade'))"))
        before = _revision_of(connection)
        if before is None:
            create_tables(connection, _newest())
        elif before != _newest():
            if path is not None:
                _back_up(engine, path, before)  # through another connection, which sees what is committed
            upgrade(connection)


def copy_of_an_empty_catalogue(into: sqlite3.Connection) -> None:
    """Make an empty SQLite database a catalogue that holds nothing."""
    with _copying:
        _empty_catalogue().backup(into)


@lru_cache(maxsize=1)
def _empty_catalogue() -> sqlite3.Connection:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    prepare_sqlite(engine)
    with writing(engine).begin() as connection:
        create_tables(connection, _newest())
    made: Any = engine.raw_connection().driver_connection  # kept open by its pool of one
    return cast(sqlite3.Connection, made)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring a database, which may be empty, up to a revision: one after the other, of which none is ever changed."""
    from alembic import command

    config = _alembic()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _revision(engine: Engine, where: str) -> str | None:
    """The schema revision found; None for an empty database. Raises `CatalogueError` for somebody else's."""
    with engine.connect() as connection:
        tables = set(inspect(connection).get_table_names())
        if not tables:
            return None
        revision = _revision_of(connection) if {"alembic_version", "catalogue_info"} <= tables else None
    if revision is None:
        raise CatalogueError(f"'{where}' is the database of something else: it was left as it is")
    return revision


def _revision_of(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)


def _back_up(engine: Engine, path: Path, revision: str) -> None:
    """A consistent copy of a SQLite catalogue beside it, complete before it gets its name.

    To be called by whoever holds the write lock: what an upgrade that was killed left is then nobody's, and removed.
    """
    start = f"{path.name}.schema-{revision}."
    for left in path.parent.glob("*.backup.partial*"):
        if left.name.startswith(start):
            left.unlink(missing_ok=True)
    backup = path.with_name(f"{start}{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.backup")
    partial = backup.with_name(backup.name + ".partial")
    _outside_transaction(engine, "VACUUM INTO ?", str(partial))
    partial.replace(backup)


def _outside_transaction(engine: Engine, statement: str, *parameters: str) -> None:
    """Run what SQLite refuses to run inside a transaction."""
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        try:
            cursor.execute(statement, parameters)
        except sqlite3.Error as error:
            raise CatalogueError(f"the catalogue '{engine.url.database}' cannot be upgraded: {error}") from error


def _newest() -> str:
    """The revision of this version's schema, as the files of revisions are named: ``r0010_scores.py``."""
    return max(path.name[1:5] for path in (MIGRATIONS / "versions").glob("r*.py"))


def _alembic() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _revisions() -> list[str]:
    """All revisions, the newest first."""
    from alembic.script import ScriptDirectory

    return [script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()]
