"""Commits that come hundreds of times a second: each at once, or those of one turn of the event loop together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from describe.catalog.database import begin_write

__all__ = ["Writes"]

Write = Callable[[Connection], object]
"""What writes the rows of one result."""


class Writes:
    """Results on their way into the database, in the order in which they come.

    Outside of `together` each is committed when it is added. Within, results that come in the same turn of the event
    loop share a transaction: a transaction costs more than what is written in it, and the busier a run, the more
    results a turn brings. Whoever may go on only when a result is safe awaits `committed`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._together = False
        self._waiting: list[Write] = []
        self._turn: asyncio.Event | None = None
        self._failure: Exception | None = None

    def add(self, write: Write) -> None:
        """Commit what ``write`` writes: now, or within `together` at the end of this turn of the event loop."""
        self._waiting.append(write)
        if not self._together:
            self._commit()
        elif self._turn is None:
            self._turn = asyncio.Event()
            asyncio.get_running_loop().call_soon(self._end_turn)

    async def committed(self) -> None:
        """Wait until all that was added is committed. Raises what has kept anything from being committed."""
        if self._turn is not None:
            await self._turn.wait()
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def together(self) -> Iterator[None]:
        """While the block runs in an event loop, share transactions. What still waits at its end is committed then."""
        self._together, self._failure = True, None
        try:
            yield
        finally:
            self._together = False
            self._commit()
            if self._failure is not None:
                raise self._failure

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, None
        try:
            self._commit()
        except Exception as error:
            self._failure = self._failure or error
        if turn is not None:
            turn.set()

    def _commit(self) -> None:
        """Commit what waits. A result that cannot be written is left out, and takes no other with it."""
        failure: Exception | None = None
        try:
            self._write(self._waiting)
        except OperationalError:  # not of one result's making: the disk is full, or the database gone
            raise
        except Exception as error:
            failure = error
            if len(self._waiting) > 1:
                failure = self._write_apart()
        self._waiting.clear()
        if failure is not None:
            raise failure

    def _write_apart(self) -> Exception | None:
        failure: Exception | None = None
        for write in self._waiting:
            try:
                self._write([write])
            except Exception as error:
                failure = failure or error
        return failure

    def _write(self, writes: list[Write]) -> None:
        if writes:
            with begin_write(self._engine, often=True) as connection:
                for write in writes:
                    write(connection)
