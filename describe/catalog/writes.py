"""Commits that come hundreds of times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from describe.catalog.database import begin_write, note_write, write_often

__all__ = ["Writes"]

Write = Callable[[Connection], object]
"""What writes the rows of one result."""


class Writes:
    """Results on their way into the database, committed in the order in which they come.

    `now` commits at once. Of a run that is `often` at it, `soon` leaves a result to the commit that comes next in the
    same turn of the event loop, since a transaction costs more than what is written in it. Nothing is waited for in
    between: a call goes out in the same turn in which the one before came in, so that the calls of a run stay spread.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._waiting: list[Write] = []
        self._failure: Exception | None = None

    def now(self, write: Write) -> None:
        """Commit what ``write`` writes, and what waits."""
        self._waiting.append(write)
        self._commit()

    def soon(self, write: Write) -> None:
        """Commit what ``write`` writes with what comes next, at the end of this turn of the event loop at the latest.

        At once, outside of `often`.
        """
        if self._connection is None:
            self.now(write)
            return
        self._waiting.append(write)
        asyncio.get_running_loop().call_soon(self._end_turn)

    @contextmanager
    def often(self) -> Iterator[None]:
        """While the block runs, within an event loop, `soon` may wait, and one connection is kept for all commits.

        Raises at the end, if not before, what has kept a result from being committed.
        """
        with write_often(self._engine) as self._connection:
            try:
                yield
            finally:
                try:
                    self._commit()
                finally:
                    self._connection = None

    def _end_turn(self) -> None:
        try:
            self._commit()
        except Exception as error:  # to be raised where somebody hears of it
            self._failure = error

    def _commit(self) -> None:
        """Commit what waits. A result that cannot be written is left out, and takes no other with it."""
        failure, self._failure = self._failure, None
        try:
            if self._waiting:
                self._write(self._waiting)
        except OperationalError:  # of no result's making: the disk is full, or the database gone
            raise
        except Exception as error:
            failure = failure or (error if len(self._waiting) == 1 else self._write_apart())
        self._waiting.clear()
        if failure is not None:
            raise failure

    def _write_apart(self) -> Exception | None:
        """Commit each result that waits in a transaction of its own. Returns the first failure."""
        failure: Exception | None = None
        for write in self._waiting:
            try:
                self._write([write])
            except Exception as error:
                failure = failure or error
        return failure

    def _write(self, writes: list[Write]) -> None:
        with self._transaction() as connection:
            for write in writes:
                write(connection)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        if self._connection is None:
            with begin_write(self._engine, often=True) as connection:
                yield connection
        else:
            with self._connection.begin():
                yield self._connection
            note_write(self._engine)
