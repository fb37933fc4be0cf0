"""Opening a catalogue: create it, upgrade an older one after a backup, refuse a newer or foreign one untouched."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, NoSuchModuleError

from describe.catalog.revisions import CannotBeUpgradedError, bring_up_to_date, copy_of_an_empty_catalogue
from describe.catalog.sqlite_file import CatalogueMadeError, SqliteFile, forget_after_fork, path_of
from describe.catalog.transactions import LOCK_WAIT, keep_connected, prepare_sqlite, writing
from describe.errors import CatalogueError
from describe.secrets import keep_secrets_of, shown_url

__all__ = ["begin_founding", "begin_write", "connect", "found", "let_go", "note_write", "write_often"]


@dataclass
class _Opened:
    """A file that this process has open, through one engine, and by how many it is used."""

    file: SqliteFile
    engine: Engine
    query: str
    copy: ExitStack
    users: int = 0


_opened: list[_Opened] = []
_opening = threading.RLock()
_of_parent: list[Any] = []
"""In a forked process: connections of the one that it was forked from, which must not even be closed."""


def connect(where: str, *, create: bool) -> Engine:
    """Open the catalogue at a SQLite path or any SQLAlchemy URL, at this version's schema.

    A database that is not there or empty becomes a catalogue when ``create`` is set: a SQLite file with the first thing
    that is committed. An older catalogue is upgraded in one transaction, after a copy of a SQLite file was written
    beside it; of one that may not be written to a copy elsewhere is upgraded and read, and likewise of one whose log
    cannot be read where it is. One file has one engine in a
    process, however often it is opened; `let_go` of it as often. Raises `CatalogueError`, with nothing changed, for a
    database of something else, of a newer headscribe, or that cannot be opened.
    """
    keep_secrets_of(where)
    url, where = _url(where), shown_url(where)
    path = path_of(url)
    if path is None:
        return _open(url, where, None, create)
    with _opening:
        to_be_made = any(one.file.path == path and one.file.missing for one in _opened)  # it is empty, but there
        file, query = SqliteFile(where, path, create or to_be_made), repr(sorted(url.query.items()))
        known = next((one for one in _opened if one.query == query and one.file.is_same(file)), None)
        if known is None:
            copy = ExitStack()  # of an older catalogue that may not be written to, and so not be upgraded
            engine = _open_upgraded(url, where, file, create, copy)
            known = _Opened(file, engine, query, copy)
            _opened.append(known)
        known.users += 1
        return known.engine


def let_go(engine: Engine) -> None:
    """Close an engine's connections, unless others use it still."""
    with _opening:
        known = next((one for one in _opened if one.engine is engine), None)
        if known is not None:
            known.users -= 1
            if known.users:
                return
            _opened.remove(known)
        engine.dispose()
        if known is not None:
            known.copy.close()


@contextmanager
def begin_write(engine: Engine, *, often: bool = False, wait: float = LOCK_WAIT) -> Iterator[Connection]:
    """A transaction that writes: on SQLite it takes the write lock at once, so that it cannot fail half-way.

    What is committed outlives the process, however that ends. For transactions that come hundreds of times a second,
    ``often`` waits for the disk only once in a second, so that a power failure may take that much of them. ``wait``:
    the seconds for which others may hold the lock. Raises `CatalogueError`, with nothing written, when the catalogue's
    file is not the one that was opened.
    """
    found(engine)
    with writing(engine, often=often, wait=wait).begin() as connection:
        yield connection
    note_write(engine)


@contextmanager
def begin_founding(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes. A catalogue that is not there yet comes into being with what it commits, or not.

    Raises `CatalogueMadeError` when another process made it meanwhile: the same is to be done again.
    """
    file = _file(engine)
    if file is not None and file.missing:
        with _founded(file) as connection:
            yield connection
    else:
        with begin_write(engine) as connection:
            yield connection


def note_write(engine: Engine) -> None:
    """Say that a transaction was committed: the catalogue's file may be another than before, by our own doing."""
    file = _file(engine)
    if file is not None:
        file.wrote()


def write_often(engine: Engine, *, wait: float = LOCK_WAIT) -> Connection:
    """A connection of which every transaction writes, as often as `begin_write` says; each is to be noted."""
    found(engine)
    return writing(engine, often=True, wait=wait).connect()


def _open_upgraded(url: URL, where: str, file: SqliteFile, create: bool, copy: ExitStack) -> Engine:
    """Open a SQLite file; one that may not be written to and is older, or has a log out of reach, is read from a copy,
    which is upgraded."""
    if not file.log_out_of_reach:
        with suppress(CannotBeUpgradedError):
            return _open(url, where, file, create)
    path = copy.enter_context(file.copied())
    copied = SqliteFile(where, path, False)
    engine = _open(URL.create("sqlite", database=str(path)), where, copied, False)
    engine.dispose()
    copied.read_only = True
    return engine


def _open(url: URL, where: str, file: SqliteFile | None, create: bool) -> Engine:
    try:
        engine = create_engine(url, json_deserializer=_json, pool_pre_ping=url.get_backend_name() != "sqlite")
    except NoSuchModuleError as error:
        raise CatalogueError(f"'{where}' names a database headscribe has no driver for: {error}") from error
    except ImportError as error:
        extra = ": pip install 'headscribe[postgres]'" if url.get_backend_name() == "postgresql" else ""
        raise CatalogueError(f"the driver for '{where}' is not installed ({error}){extra}") from error
    except ArgumentError as error:
        raise CatalogueError(f"'{where}' names no database that can be opened") from error
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine)
    else:
        keep_connected(engine)
    if file is not None:
        _watch(engine, file)
    try:
        bring_up_to_date(engine, file, where, create)
    except DBAPIError as error:
        engine.dispose()
        said = " ".join(str(error.orig).split())
        if said == "file is not a database":
            said = f"'{where}' is not a catalogue but some other file: it was left as it is"
            raise CatalogueError(said) from error
        raise CatalogueError(f"cannot open the catalogue '{where}': {said}") from error
    except CatalogueError:
        engine.dispose()
        raise
    return engine


def _json(stored: str) -> Any:
    """A value of a JSON column. Raises `CatalogueError` where the file was damaged."""
    try:
        return json.loads(stored)
    except (ValueError, RecursionError) as error:
        raise CatalogueError(
            f"the catalogue is damaged, it holds a value that is no JSON ({error}): put a backup in its place"
        ) from error


def _watch(engine: Engine, file: SqliteFile) -> None:
    """Have an engine's connections opened by `SqliteFile`, and nothing written where it would be lost."""
    engine.update_execution_options(headscribe_file=file)

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> sqlite3.Connection:
        if not file.missing:
            return file.connect(dialect, arguments, options)
        record.info["stands_in"] = True
        connection: sqlite3.Connection = dialect.connect(":memory:", **options | {"uri": False})
        copy_of_an_empty_catalogue(connection)
        return connection

    @event.listens_for(engine, "checkout")
    def checkout(_connection: Any, record: Any, _proxy: Any) -> None:
        if record.info.get("stands_in") and not file.missing:
            raise DisconnectionError  # the pool opens another

    @event.listens_for(engine, "begin", insert=True)
    def begin(connection: Connection) -> None:
        if "headscribe_write" in connection.get_execution_options():
            file.check(connection.connection.driver_connection)

    @event.listens_for(engine, "commit")
    def commit(connection: Connection) -> None:
        if "headscribe_write" in connection.get_execution_options():
            file.check()


@contextmanager
def _founded(file: SqliteFile) -> Iterator[Connection]:
    """The first transaction of a catalogue that is not there yet."""
    with file.founding() as partial:
        engine = create_engine(URL.create("sqlite", database=str(partial)), poolclass=NullPool)
        prepare_sqlite(engine)
        try:
            with engine.connect() as connection:
                copy_of_an_empty_catalogue(connection.connection.driver_connection)  # type: ignore[arg-type]
            with writing(engine).begin() as connection:
                yield connection
        finally:
            engine.dispose()


def found(engine: Engine) -> None:
    """Make the catalogue's file if there is none yet."""
    file = _file(engine)
    if file is not None and file.missing:
        with suppress(CatalogueMadeError), _founded(file):
            pass


def _file(engine: Engine) -> SqliteFile | None:
    file: SqliteFile | None = engine.get_execution_options().get("headscribe_file")
    return file


def _url(where: str) -> URL:
    if "://" not in where:
        return URL.create("sqlite", database=os.path.expanduser(where))
    try:
        return make_url(where)
    except (ArgumentError, ValueError) as error:
        raise CatalogueError(
            "the catalogue's URL cannot be read: write a file path or dialect://user@host/database"
        ) from error


def _forked() -> None:
    """In a forked process nothing of what was open may be used: SQLite's locks are not inherited."""
    global _opening
    _opening = threading.RLock()
    for known in _opened:
        _of_parent.append(known.engine.pool)
        known.engine.dispose(close=False)
    forget_after_fork([known.file for known in _opened])
    _opened.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
