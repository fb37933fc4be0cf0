"""Commits that come hundreds of times a second, of results that were paid for."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from describe.catalog.database import begin_write, note_write, write_often
from describe.catalog.failures import may_pass, reason
from describe.catalog.transactions import RECONNECT_WAIT, reconnecting_for
from describe.errors import RunEndedError

__all__ = ["Writes"]

Write = Callable[[Connection], object]
"""A function that writes the rows of one result."""

PATIENCE = 600.0
"""Seconds that results are kept in memory while the database does not take them; then the run ends."""

EVERY = 0.5
"""Seconds between two tries."""

TOLD_AFTER = 1.0
"""Seconds after which a run says that it waits."""

AT_ONCE = 0.25
"""Seconds that a try waits for a lock: meanwhile nothing else of the run goes on, Ctrl-C included."""


class Writes:
    """Results on their way into the database, committed in the order in which they come.

    `now` commits at once. Of a run that is `often` at it, `soon` leaves a result to the commit that comes next in the
    same turn of the event loop, since a transaction costs more than what is written in it. Nothing is waited for in
    between: a call goes out in the same turn in which the one before came in, so that the calls of a run stay spread.

    When the database is locked, full or away, a run keeps its results in memory, says so once on standard error, and
    tries again for `patience` seconds; whoever is about to pay for more awaits `settled` first.
    """

    def __init__(self, engine: Engine) -> None:
        self.patience = PATIENCE
        self._engine = engine
        self._connection: Connection | None = None
        self._waiting: list[Write] = []
        self._failure: Exception | None = None
        self._given_up: RunEndedError | None = None
        self._held_since: float | None = None
        self._told = False

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

    async def settled(self) -> None:
        """Wait until the database has taken all results. Raises `RunEndedError` when it does not for too long."""
        while self._held_since is not None:
            if self._given_up is not None:
                raise self._given_up
            await asyncio.sleep(EVERY)

    @contextmanager
    def often(self) -> Iterator[None]:
        """While the block runs, within an event loop, `soon` may wait, and one connection is kept for all commits.

        Raises at the end, if not before, what has kept a result from being committed.
        """
        with write_often(self._engine, wait=AT_ONCE) as self._connection:
            try:
                yield
            finally:
                try:
                    self._commit(last=True)
                finally:
                    self._connection = None

    def _end_turn(self) -> None:
        try:
            self._commit()
        except Exception as error:  # to be raised where somebody hears of it
            self._failure = error

    def _try_again(self) -> None:
        if self._connection is not None and self._held_since is not None:
            self._held_since, since = None, self._held_since
            try:
                self._commit(since=since)
            except RunEndedError as error:
                self._given_up = error
            except Exception as error:
                self._failure = self._failure or error

    def _commit(self, *, last: bool = False, since: float | None = None) -> None:
        """Commit what waits. A result that cannot be written is left out, and takes no other with it.

        What the database does not take now is held, since a moment that may be long past; the ``last`` time not.
        """
        if self._held_since is not None and not last:
            return
        failure, self._failure = self._failure, None
        try:
            if self._waiting:
                self._write(self._waiting)
        except DBAPIError as error:
            if may_pass(error):
                self._failure = failure
                self._hold(error, last or self._connection is None, since)
                return
            failure = failure or (error if len(self._waiting) == 1 else self._write_apart())
        except Exception as error:
            failure = failure or (error if len(self._waiting) == 1 else self._write_apart())
        self._waiting.clear()
        self._held_since, self._given_up, self._told = None, None, False
        if failure is not None:
            raise failure

    def _hold(self, error: DBAPIError, last: bool, since: float | None) -> None:
        """Keep what waits, and try again in a moment. Raises `RunEndedError` when that was done for long enough."""
        number, moment = len(self._waiting), time.monotonic()
        self._held_since = since if since is not None else moment
        if last or moment - self._held_since >= self.patience:
            raise RunEndedError(f"the catalogue {reason(error)}: {number} entries could not be saved") from error
        if not self._told and moment - self._held_since >= TOLD_AFTER:
            self._told = True
            told = f"headscribe: the catalogue {reason(error)}: what came in is kept in memory, and no more is asked,"
            print(f"{told} for up to {self.patience / 60:.0f} minutes", file=sys.stderr, flush=True)
        asyncio.get_running_loop().call_later(EVERY, self._try_again)

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
        with reconnecting_for(0.0 if self._connection else RECONNECT_WAIT), self._transaction() as connection:
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
