"""Others hold the database's lock while raters are at work: they wait, are told so, and lose nothing."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from annotations.access import find_rater
from annotations.design import new_study
from annotations.export import events
from annotations.patience import AWAY
from annotations.rating import RatingDesk
from annotations.records import Invitation, StageA, Study
from annotations.storage import invite
from app.web.waiting import SAVING
from describe.catalog import Catalogue
from tests.study_samples import described_catalogue, design, let_in, new
from tests.visitors import Visitor, serving, visiting

RATERS = 20


@contextmanager
def crowd(where: str | Path) -> Iterator[tuple[Catalogue, Study, list[Invitation]]]:
    """Raters who have practised, each with the first item before them."""
    with described_catalogue(where) as catalogue:
        study = new_study(catalogue, design(raters_per_item=RATERS))
        invited = invite(catalogue, study, RATERS)
        for one in invited:
            let_in(RatingDesk(catalogue), one.rater.id)
        yield catalogue, study, invited


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Nobody else can write until the block ends, or the connection's transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_raters_see_that_they_wait_and_nothing_is_lost(tmp_path: Path) -> None:
    """All save at once while another process writes; half of them press a second time."""

    async def save(port: int, codes: list[str]) -> list[Visitor]:
        async with AsyncExitStack() as stack:
            tabs = [await stack.enter_async_context(visiting(port, f"code={code}")) for code in codes]
            await asyncio.gather(*(tab.press("presence-weak") for tab in tabs))
            with locked(tmp_path / "c.db"):
                await asyncio.gather(*(tab.press("-save", wait=False) for tab in tabs))
                await asyncio.gather(*(tab.until(lambda tab: SAVING in tab.waits()) for tab in tabs))
                await asyncio.gather(*(tab.press("-save", wait=False) for tab in tabs[::2]))
                assert not any("Saved." in tab.html() for tab in tabs)
            await asyncio.gather(*(tab.until(lambda tab: 'class="hs-description"' in tab.html()) for tab in tabs))
            return tabs

    with crowd(tmp_path / "c.db") as (catalogue, study, invited):
        with serving(tmp_path / "c.db", log=tmp_path / "log") as app:
            tabs = asyncio.run(save(app.port, [one.code for one in invited]))
        assert not [tab.notices() for tab in tabs if tab.notices()]
        assert "Traceback" not in (tmp_path / "log").read_text()
        answered = Counter(event["rater"] for event in events(catalogue, study) if event["type"] == "answered_a")
        assert answered == dict.fromkeys((one.rater.pseudonym for one in invited), 1)
        assert not any(event["type"] == "refused" for event in events(catalogue, study))


def test_those_who_wait_leave_the_connections_to_others(tmp_path: Path) -> None:
    with crowd(tmp_path / "c.db") as (catalogue, _, invited), ThreadPoolExecutor(RATERS) as pool:
        desk = RatingDesk(catalogue)
        with locked(tmp_path / "c.db"):
            waiting = [pool.submit(desk.note, one.rater.id, new(), "paused") for one in invited]
            for one in invited:
                assert find_rater(catalogue, one.code) == one.rater
                assert desk.next_item(one.rater.id).task is not None
            assert not any(one.done() for one in waiting)
        assert all(one.result(timeout=60).saved for one in waiting)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_who_waited_too_long_can_send_the_same_again(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = str(tmp_path / "c.db") if database == "sqlite" else request.getfixturevalue("postgres_of_its_own")
    with crowd(where) as (catalogue, study, invited):
        desk, uuid, rater = RatingDesk(catalogue, longest_wait=0.2), new(), invited[0].rater.id
        task = desk.next_item(rater).task
        assert task is not None
        with catalogue.engine.connect() as other:
            if database == "sqlite":
                other.connection.driver_connection.execute("BEGIN IMMEDIATE")  # type: ignore[union-attr]
            else:
                other.execute(text("LOCK TABLE study_rater"))
            with pytest.raises(AWAY):
                desk.answer_a(rater, task.presentation, uuid, StageA("weak"))
            other.connection.driver_connection.rollback()  # type: ignore[union-attr]
        for _ in range(2):
            assert desk.answer_a(rater, task.presentation, uuid, StageA("weak")).saved
        assert sum(event["type"] == "answered_a" for event in events(catalogue, study)) == 1


def test_a_turn_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    """The one before in the queue has got the lock, and keeps it."""
    with crowd(tmp_path / "c.db") as (catalogue, _, invited):
        desk, over, holds = RatingDesk(catalogue, longest_wait=0.2), threading.Event(), threading.Event()

        def hold() -> None:
            with desk.patience.write():
                holds.set()
                over.wait(60)

        holder = threading.Thread(target=hold)
        holder.start()
        assert holds.wait(60)
        with pytest.raises(AWAY):
            desk.note(invited[0].rater.id, new(), "paused")
        over.set()
        holder.join()
        assert desk.note(invited[0].rater.id, new(), "paused").saved
