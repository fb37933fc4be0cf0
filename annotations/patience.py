"""How long raters' calls wait for the database, and in what order: nobody is turned away because others write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from itertools import count
from math import ceil
from threading import BoundedSemaphore
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError

from describe.catalog.database import begin_write

__all__ = ["AWAY", "LONGEST_WAIT", "Patience", "patient"]

LONGEST_WAIT = 60.0
"""Seconds after which a call gives up."""

AWAY = (DBAPIError, TimeoutError)
"""The exception of a call then: nothing was saved, as far as one can know, and it may be made again."""

TRIES = 4
"""How often a call is made that failed for another reason than a database locked or away, such as a deadlock."""

WRITERS = {"sqlite": 1}
"""How many threads of a process write at a time. SQLite has one place; elsewhere `MOST_WRITERS`."""

MOST_WRITERS = 8
"""Fewer than the engine has connections, so that those who only read find one while the writers wait for a lock."""

F = TypeVar("F", bound=Callable[..., Any])


class Patience:
    """The queue of a process's threads that write. Without it each would hold a connection while it waits.

    Args:
        engine: of the catalogue.
        longest: seconds that a transaction waits for its turn and for locks of other processes.
    """

    def __init__(self, engine: Engine, longest: float = LONGEST_WAIT) -> None:
        self.longest = longest
        self._engine = engine
        self._places = BoundedSemaphore(WRITERS.get(engine.dialect.name, MOST_WRITERS))

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes, when it is its turn. Raises one of `AWAY` when that takes too long."""
        wait, until = self.longest, time.monotonic() + self.longest
        if not self._places.acquire(blocking=False):
            if not self._places.acquire(timeout=wait):
                raise TimeoutError("others were waiting for the database before")
            wait = ceil(until - time.monotonic())  # few different values, for each of which an engine is kept
        try:
            with begin_write(self._engine, wait=wait) as connection:
                if connection.dialect.name == "postgresql":
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, round(1000 * wait))}")
                yield connection
        finally:
            self._places.release()


def patient(method: F) -> F:
    """Make a call again while the database is locked or away, for as long as its object's `Patience` lasts.

    Every call is one transaction that can be repeated.
    """

    @wraps(method)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        until = time.monotonic() + self.patience.longest
        for tried in count(1):
            try:
                return method(self, *args, **kwargs)
            except AWAY as error:
                if time.monotonic() >= until or (tried >= TRIES and not _passes(error)):
                    raise
            time.sleep(min(0.01 * 2**tried, 1.0) if tried > 1 else 0.0)

    return called  # type: ignore[return-value]


def _passes(error: Exception) -> bool:
    """Whether this is of the kind that ends by itself: a lock, a server that starts again, connections in use."""
    if isinstance(error, DBAPIError) and error.orig.__class__.__module__.startswith("sqlite3"):
        return "locked" in str(error.orig)
    return isinstance(error, (OperationalError, InterfaceError, TimeoutError))
