"""Commits that come often: what shares a transaction, and what is kept when one of several results cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import IntegrityError, OperationalError

from describe.catalog import Catalogue
from describe.catalog.schema import catalogue_info

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
    """Every result waits until the database takes it again, and the run hears of it."""
    full = [True, False]

    def fails_once(connection: Connection) -> None:
        enter("b")(connection)
        if full.pop(0):
            raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    async def work() -> None:
        catalogue.writes.soon(enter("a"))
        catalogue.writes.now(fails_once)

    with pytest.raises(OperationalError, match="disk is full"):
        run(catalogue, work)
    assert entered(catalogue) == ["a", "b"]


def test_an_interrupted_run_commits_what_waits(catalogue: Catalogue) -> None:
    async def work() -> None:
        catalogue.writes.soon(enter("a"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(catalogue, work)
    assert entered(catalogue) == ["a"]
