"""Commits that come often: what shares a transaction, and what is kept when one of several results cannot be."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import IntegrityError, OperationalError

from describe.catalog import Catalogue
from describe.catalog.database import found
from describe.catalog.schema import catalogue_info
from describe.errors import RunEndedError

Write = Callable[[Connection], object]


def enter(key: str) -> Write:
    return lambda connection: connection.execute(catalogue_info.insert().values(key=key, value=key))


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue(str(tmp_path / "c.db"), create=True) as opened:
        yield opened


@pytest.fixture
def commits(catalogue: Catalogue) -> list[int]:
    """Grows by one with each transaction that is committed."""
    counted: list[int] = []
    event.listen(catalogue.engine, "commit", lambda _: counted.append(1))
    return counted


def entered(catalogue: Catalogue) -> list[str]:
    """What another connection finds, in the order in which it came."""
    with catalogue.engine.connect() as connection:
        found = connection.execute(select(catalogue_info.c.key).order_by(catalogue_info.c.key)).scalars()
        return [key for key in found if key != "made_by"]


def run(catalogue: Catalogue, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def often() -> None:
        with catalogue.writes.often():
            await work()

    asyncio.run(often())


def test_outside_of_a_run_each_result_is_committed_at_once(catalogue: Catalogue, commits: list[int]) -> None:
    catalogue.writes.soon(enter("a"))
    assert (entered(catalogue), len(commits)) == (["a"], 1)
    catalogue.writes.now(enter("b"))
    assert (entered(catalogue), len(commits)) == (["a", "b"], 2)


def test_an_outcome_is_committed_with_the_next_call_of_its_turn(catalogue: Catalogue, commits: list[int]) -> None:
    seen = []

    async def work() -> None:
        catalogue.writes.soon(enter("a"))
        catalogue.writes.soon(enter("b"))
        seen.append(entered(catalogue))
        catalogue.writes.now(enter("c"))
        seen.append(entered(catalogue))

    run(catalogue, work)
    assert seen == [[], ["a", "b", "c"]]
    assert len(commits) == 1


def test_no_outcome_waits_longer_than_its_turn(catalogue: Catalogue, commits: list[int]) -> None:
    seen = []

    async def work() -> None:
        catalogue.writes.soon(enter("a"))
        await asyncio.sleep(0)
        seen.append(entered(catalogue))
        catalogue.writes.soon(enter("b"))  # and the run ends in this turn

    run(catalogue, work)
    assert seen == [["a"]]
    assert (entered(catalogue), len(commits)) == (["a", "b"], 2)


def test_a_result_that_cannot_be_written_takes_no_other_with_it(catalogue: Catalogue) -> None:
    async def work() -> None:
        catalogue.writes.now(enter("a"))
        for key in ("b", "a", "c"):
            catalogue.writes.soon(enter(key))
        await asyncio.sleep(0)
        assert entered(catalogue) == ["a", "b", "c"]

    with pytest.raises(IntegrityError):
        run(catalogue, work)
    assert entered(catalogue) == ["a", "b", "c"]


def test_when_the_database_fails_nothing_is_dropped(catalogue: Catalogue) -> None:
    """Every result waits until the database takes it again; the run hears of it where it is not to wait."""
    full = [True, False]
    catalogue.writes.patience = 0

    def fails_once(connection: Connection) -> None:
        enter("b")(connection)
        if full.pop(0):
            raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    async def work() -> None:
        catalogue.writes.soon(enter("a"))
        catalogue.writes.now(fails_once)

    with pytest.raises(RunEndedError, match=r"disk is full.*2 entries"):
        run(catalogue, work)
    assert entered(catalogue) == ["a", "b"]
    catalogue.writes.patience, full[:] = 60, [True, False]

    async def more() -> None:
        catalogue.writes.now(fails_once_again)
        await catalogue.writes.settled()

    def fails_once_again(connection: Connection) -> None:
        enter("c")(connection)
        if full.pop(0):
            raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    run(catalogue, more)
    assert entered(catalogue) == ["a", "b", "c"]


def locked_for(catalogue: Catalogue, seconds: float) -> threading.Thread:
    """Another connection holds the write lock, from now on, for so long."""
    found(catalogue.engine)
    taken = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(str(catalogue.engine.url.database), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            taken.set()
            time.sleep(seconds)
            other.execute("ROLLBACK")

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    return thread


def test_what_comes_in_while_the_database_is_locked_is_kept_and_told_once(
    catalogue: Catalogue, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("describe.catalog.writes.TOLD_AFTER", 0.0)
    seen: list[list[str]] = []

    async def work() -> None:
        thread = locked_for(catalogue, 2)
        for key in ("a", "b"):
            catalogue.writes.now(enter(key))
            catalogue.writes.soon(enter(key + key))
            await asyncio.sleep(0.3)  # the run goes on meanwhile
        seen.append(entered(catalogue))
        await catalogue.writes.settled()
        seen.append(entered(catalogue))
        thread.join()

    run(catalogue, work)
    assert seen == [[], ["a", "aa", "b", "bb"]]
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert "is locked by another process" in told


@pytest.mark.parametrize("ends", ["patience", "interrupt"])
def test_a_lock_that_does_not_go_ends_the_run_with_what_is_lost(catalogue: Catalogue, ends: str) -> None:
    async def work() -> None:
        catalogue.writes.patience = 1.0
        catalogue.writes.now(enter("a"))
        if ends == "patience":
            await catalogue.writes.settled()

    thread = locked_for(catalogue, 4)
    with pytest.raises(RunEndedError, match="is locked by another process: 1 entries could not be saved"):
        run(catalogue, work)
    assert thread.is_alive(), "an interrupted run waits for nothing"
    thread.join()
    assert entered(catalogue) == []


def test_an_interrupted_run_commits_what_waits(catalogue: Catalogue) -> None:
    async def work() -> None:
        catalogue.writes.soon(enter("a"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(catalogue, work)
    assert entered(catalogue) == ["a"]
