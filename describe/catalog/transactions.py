"""How transactions begin: what writes takes SQLite's write lock at once, or waits for it so that Ctrl-C works."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

__all__ = ["LOCK_WAIT", "RECONNECT_WAIT", "keep_connected", "prepare_sqlite", "reconnecting_for", "writing"]

SYNC_EVERY = 1.0
"""Seconds between two waits for the disk of transactions that come often."""

LOCK_WAIT = 60.0
"""Seconds that a transaction waits for one of another process to end."""

RECONNECT_WAIT = 20.0
"""Seconds that a new connection to a server is tried for, once there was one: as long as a restart takes."""

AT_ONCE = 0.5
"""Seconds that SQLite itself waits in one go, during which no signal is heard."""

_reconnecting: ContextVar[float] = ContextVar("reconnecting", default=RECONNECT_WAIT)


@lru_cache(maxsize=16)
def writing(engine: Engine, *, often: bool = False, wait: float = LOCK_WAIT) -> Engine:
    """The engine for transactions that write. They wait up to so many seconds for the lock.

    Of those that come ``often`` only one in `SYNC_EVERY` seconds waits for the disk.
    """
    return engine.execution_options(headscribe_write="often" if often else "safely", headscribe_wait=wait)


def prepare_sqlite(engine: Engine) -> None:
    """Have each connection of an engine set up for catalogues, and each transaction begin as it should."""

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where `begin` below says, DDL included
        for pragma in (f"busy_timeout = {LOCK_WAIT * 1000:.0f}", "foreign_keys = ON", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    synced = 0.0

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        nonlocal synced
        options = connection.get_execution_options()
        how = options.get("headscribe_write")
        if how is None:
            connection.exec_driver_sql("BEGIN")
            return
        wait = how == "safely" or time.monotonic() - synced >= SYNC_EVERY
        synchronous = "FULL" if wait else "NORMAL"
        sqlite: Any = connection.connection.driver_connection
        if connection.info.get("synchronous") != synchronous:
            sqlite.execute(f"PRAGMA synchronous = {synchronous}")
            connection.info["synchronous"] = synchronous
        _begin_immediate(connection, sqlite, options["headscribe_wait"])
        synced = time.monotonic() if wait else synced


@contextmanager
def reconnecting_for(seconds: float) -> Iterator[None]:
    """Within the block, have lost connections to a server tried anew for so long."""
    before = _reconnecting.set(seconds)
    try:
        yield
    finally:
        _reconnecting.reset(before)


def keep_connected(engine: Engine) -> None:
    """Have an engine connect again when its server was away for a moment; a server that never was there is told."""
    reached = False

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        nonlocal reached
        until = time.monotonic() + (_reconnecting.get() if reached else 0)
        while True:
            try:
                connection = dialect.connect(*arguments, **options)
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() >= until:
                    raise
                time.sleep(AT_ONCE)
            else:
                reached = True
                return connection


def _begin_immediate(connection: Connection, sqlite: sqlite3.Connection, wait: float) -> None:
    """Take the write lock. Raises SQLAlchemy's ``OperationalError`` when others held it for all of ``wait`` seconds."""
    until = time.monotonic() + wait
    sqlite.execute(f"PRAGMA busy_timeout = {min(wait, AT_ONCE) * 1000:.0f}")
    try:
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return
            except OperationalError as error:
                if "locked" not in str(error.orig) or time.monotonic() >= until:
                    raise
    finally:
        sqlite.execute(f"PRAGMA busy_timeout = {LOCK_WAIT * 1000:.0f}")
