"""Opening a catalogue: create it, upgrade an older one after a backup, refuse a newer or foreign one untouched."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from describe.catalog.schema import catalogue_info
from describe.errors import CatalogueError
from describe.versions import headscribe_version

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["begin_write", "connect", "write_often"]

MAGIC = b"SQLite format 3\0"

MIGRATIONS = Path(__file__).parent / "migrations"

SYNC_EVERY = 1.0
"""Seconds between two waits for the disk of transactions that come often."""


def connect(where: str, *, create: bool) -> Engine:
    """Open the catalogue at a SQLite path or any SQLAlchemy URL, at this version's schema.

    A database that is not there or empty becomes a catalogue when ``create`` is set. An older catalogue is upgraded
    in one transaction, after a copy of a SQLite file was written beside it. Raises `CatalogueError`, with nothing
    changed, for a database of something else, of a newer headscribe, or that cannot be opened.
    """
    url = _url(where)
    path = Path(url.database) if url.get_backend_name() == "sqlite" and url.database not in (None, ":memory:") else None
    if path is not None:
        _check_file(path, where, create)
    try:
        engine = create_engine(url)
    except NoSuchModuleError as error:
        raise CatalogueError(f"'{_shown(url)}' names a database headscribe has no driver for: {error}") from error
    except ImportError as error:
        raise CatalogueError(f"the driver for '{_shown(url)}' is not installed ({error})") from error
    if url.get_backend_name() == "sqlite":
        _prepare_sqlite(engine)
    try:
        _bring_up_to_date(engine, path, where, create)
    except DBAPIError as error:
        engine.dispose()
        raise CatalogueError(
            f"cannot open the catalogue '{_shown(url)}': {' '.join(str(error.orig).split())}"
        ) from error
    except CatalogueError:
        engine.dispose()
        raise
    return engine


@contextmanager
def begin_write(engine: Engine, *, often: bool = False) -> Iterator[Connection]:
    """A transaction that writes: on SQLite it takes the write lock at once, so that it cannot fail half-way.

    What is committed outlives the process, however that ends. For transactions that come hundreds of times a second,
    ``often`` waits for the disk only once in `SYNC_EVERY` seconds, so that a power failure may take that much of them.
    """
    with _writing(engine, often).begin() as connection:
        yield connection


def write_often(engine: Engine) -> Connection:
    """A connection of which every transaction writes, as often as `begin_write` says."""
    return _writing(engine, True).connect()


@lru_cache(maxsize=16)
def _writing(engine: Engine, often: bool) -> Engine:
    return engine.execution_options(headscribe_write="often" if often else "safely")


def _url(where: str) -> URL:
    if "://" not in where:
        return URL.create("sqlite", database=str(Path(where).expanduser()))
    try:
        return make_url(where)
    except (ArgumentError, ValueError) as error:
        raise CatalogueError(
            "the catalogue's URL cannot be read: write a file path or dialect://user@host/database"
        ) from error


def _shown(url: URL) -> str:
    """The URL without its password."""
    return url.database or "" if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def _check_file(path: Path, where: str, create: bool) -> None:
    """Refuse what is no SQLite file before SQLite touches it."""
    if path.is_dir():
        raise CatalogueError(f"'{where}' is a directory: name a file for the catalogue")
    if not path.exists():
        if not create:
            raise CatalogueError(f"there is no catalogue '{where}' yet: headscribe extract MODEL makes one")
        if not path.parent.is_dir():
            raise CatalogueError(f"cannot make the catalogue '{where}': there is no directory '{path.parent}'")
        return
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
    if start and start != MAGIC:
        raise CatalogueError(f"'{where}' is not a catalogue but some other file: it was left as it is")


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where `begin` below says, DDL included
        for pragma in ("busy_timeout = 60000", "foreign_keys = ON", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    synced = 0.0

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        nonlocal synced
        how = connection.get_execution_options().get("headscribe_write")
        if how is not None:
            wait = how == "safely" or time.monotonic() - synced >= SYNC_EVERY
            synchronous = "FULL" if wait else "NORMAL"
            if connection.info.get("synchronous") != synchronous:
                sqlite: Any = connection.connection.driver_connection
                sqlite.execute(f"PRAGMA synchronous = {synchronous}")
                connection.info["synchronous"] = synchronous
            synced = time.monotonic() if wait else synced
        connection.exec_driver_sql("BEGIN" if how is None else "BEGIN IMMEDIATE")


def _bring_up_to_date(engine: Engine, path: Path | None, where: str, create: bool) -> None:
    found = _revision(engine, where)
    if found == _newest():  # nothing of Alembic is loaded
        return
    revisions = _revisions()
    if found is None and not create:
        raise CatalogueError(f"'{where}' is empty: headscribe extract MODEL fills a catalogue")
    if found is not None and found not in revisions:
        raise CatalogueError(
            f"the catalogue '{where}' was written by a newer headscribe (schema {found}, this one knows"
            f" {revisions[0]}): upgrade headscribe; the catalogue was left as it is"
        )
    if found is not None and path is not None:
        _back_up(engine, path, found)
    if found is None and path is not None:
        _outside_transaction(engine, "PRAGMA journal_mode = WAL")  # kept in the file
    with begin_write(engine) as connection:
        if _revision_of(connection) == revisions[0]:
            return  # another process was quicker
        from alembic import command

        config = _alembic()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if found is None:
            connection.execute(
                catalogue_info.insert().values(key="made_by", value=f"headscribe {headscribe_version()}")
            )


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


def _back_up(engine: Engine, path: Path, revision: str) -> Path:
    """A consistent copy of a SQLite catalogue beside it, complete before it gets its name."""
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    backup = path.with_name(f"{path.name}.schema-{revision}.{stamp}.backup")
    partial = backup.with_name(backup.name + ".partial")
    partial.unlink(missing_ok=True)
    _outside_transaction(engine, "VACUUM INTO ?", str(partial))
    partial.replace(backup)
    return backup


def _outside_transaction(engine: Engine, statement: str, *parameters: str) -> None:
    """Run what SQLite refuses to run inside a transaction."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute(statement, parameters)
    finally:
        connection.close()


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
