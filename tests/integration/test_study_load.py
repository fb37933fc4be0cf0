"""Many raters at once, and everything that can go wrong meanwhile: nothing lost, nothing double, no item over its N."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError

from annotations import schema
from annotations.design import new_study
from annotations.export import events
from annotations.frame import ratings
from annotations.rating import RatingDesk
from annotations.records import FIT, StageA, StageB, Study
from annotations.storage import invite
from describe.catalog import Catalogue
from tests.study_samples import described_catalogue, design, let_in, new, rate_all
from tests.warm import Process

ITEMS = 30
"""Different items that each rater is given."""


class RestlessRater:
    """A rater whose page reloads, sends twice, loses its connection, and now and then kills others' connections."""

    def __init__(self, rater: int) -> None:
        self.rater, self.random = rater, random.Random(rater)
        self.saved: set[str] = set()

    def work(self, catalogue: Catalogue) -> str:
        """Answer until nothing is left. ``saved`` keeps what the page showed as saved."""
        desk, pace = RatingDesk(catalogue), self.random
        patiently(lambda: let_in(desk, self.rater))
        while True:
            turn = patiently(lambda: desk.next_item(self.rater))
            if turn.state == "waiting":
                time.sleep(0.05)
                continue
            if turn.task is None:
                return str(turn.state)
            if pace.random() < 0.005:
                catalogue.engine.dispose()
            if pace.random() < 0.1:  # a reload
                assert patiently(lambda: desk.next_item(self.rater)) == turn
            shown, task = new(), turn.task
            patiently(lambda: desk.shown(self.rater, task.presentation, task.stage, shown))  # noqa: B023
            self.submit(desk, task.stage, task.presentation)

    def submit(self, desk: RatingDesk, stage: str, presentation: int) -> None:
        """Send an answer once, or at once twice: the same submission, or two."""
        uuid = new()
        said: Any = StageA("weak") if stage == "a" else StageB(self.random.choice(FIT), "most", comment=uuid)
        act = desk.answer_a if stage == "a" else desk.answer_b
        sent = [uuid] * (1 if self.random.random() < 0.8 else 2) + [new()] * (self.random.random() < 0.1)
        if len(sent) == 1:
            outcomes = [patiently(lambda: act(self.rater, presentation, uuid, said))]
        else:
            with ThreadPoolExecutor(len(sent)) as pool:
                outcomes = list(pool.map(lambda one: patiently(lambda: act(self.rater, presentation, one, said)), sent))
        for one, outcome in zip(sent, outcomes, strict=True):
            assert outcome.status in ("saved", "already")
            if outcome.saved:
                self.saved.add(one)


def patiently(call: Any) -> Any:
    """What a page does when the database is away: the same again."""
    for _ in range(20):
        try:
            return call()
        except DBAPIError:
            time.sleep(0.02)
    return call()


def check(catalogue: Catalogue, study: Study, saved: set[str]) -> None:
    """What was shown as saved is there, once; no item has more raters than wanted, nor a rater an item twice."""
    happened = list(events(catalogue, study))
    assert not any(event["type"] == "handed on" for event in happened), "no lease ran out: a place was taken twice"
    logged = [event for event in happened if event["type"] in ("answered_a", "answered_b")]
    uuids = Counter(event["uuid"] for event in logged)
    assert saved <= set(uuids), "an answer was lost that was shown as saved"
    assert set(uuids.values()) == {1}
    answered = Counter((e["rater"], e["item"], e["occasion"], e["type"]) for e in logged)
    assert set(answered.values()) == {1}, "double"
    frame = ratings(catalogue, study)
    assert not frame.duplicated(["rater", "item", "occasion"]).any()
    assert not frame.duplicated(["rater", "position"]).any()
    per_item = frame[frame.occasion == 1].groupby("item").size()
    assert per_item.max() <= study.raters_per_item
    assert len(frame) == sum(event["type"] == "answered_b" for event in logged)
    place = schema.study_place
    query = select(func.count()).where(place.c.rater_id.is_not(None), place.c.answered.is_(None))
    with catalogue.engine.connect() as connection:
        assert connection.execute(query).scalar_one() == 0, "held by nobody who works on"


def crowd(
    catalogue: Catalogue, raters: int, items: int, disturb: Any = None
) -> tuple[Study, dict[str, dict[str, Any]]]:
    """As many raters as places allow, at once."""
    wanted = {"heads": "sample:60", "raters_per_item": raters * items // 90 + 2}
    study = new_study(catalogue, design(**wanted, items_per_rater=items, distance=5))
    raters_ = [RestlessRater(one.rater.id) for one in invite(catalogue, study, raters)]
    over = threading.Event()
    background = threading.Thread(target=disturb, args=(over,)) if disturb else None
    if background:
        background.start()
    try:
        with ThreadPoolExecutor(raters) as pool:
            ends = list(pool.map(lambda one: one.work(catalogue), raters_))
    finally:
        over.set()
        if background:
            background.join()
    assert set(ends) == {"done"}
    found = patiently(lambda: ratings(catalogue, study))  # a connection that was killed may be left over
    assert found[found.occasion == 1].groupby("rater").size().tolist() == [items] * raters
    return study, set().union(*(one.saved for one in raters_))


def test_twenty_raters_on_sqlite(tmp_path: Path) -> None:
    with described_catalogue(tmp_path / "c.db") as catalogue:
        study, saved = crowd(catalogue, 20, ITEMS)
        assert len(saved) >= 20 * ITEMS * 2
        check(catalogue, study, saved)


def test_fifty_raters_on_postgres_with_connections_killed(postgres_of_its_own: str) -> None:
    killer = create_engine(postgres_of_its_own, isolation_level="AUTOCOMMIT")
    killed = []

    def kill(over: threading.Event) -> None:
        """Every now and then the server ends a connection in the middle of whatever it does."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'raters' LIMIT 1"
        while not over.wait(0.3):
            with killer.connect() as connection:
                killed.extend(connection.execute(text(query)).scalars())

    where = postgres_of_its_own + "&application_name=raters"
    with described_catalogue(where) as catalogue:
        study, saved = crowd(catalogue, 50, 15, kill)
        assert len(saved) >= 50 * 15 * 2
        assert killed
    killer.dispose()
    with Catalogue(postgres_of_its_own) as catalogue:  # over connections of which none is being killed
        check(catalogue, study, saved)


WORKER = """
import sys, threading
from describe.catalog import Catalogue
from tests.integration.test_study_load import RestlessRater
where, *raters = sys.argv[1:]
with Catalogue(where) as catalogue:
    def work(rater):
        one = RestlessRater(int(rater))
        submit = one.submit
        def told(*args):
            before = set(one.saved)
            submit(*args)
            for uuid in one.saved - before:
                sys.stdout.write(uuid + chr(10))
                sys.stdout.flush()
        one.submit = told
        one.work(catalogue)
    threads = [threading.Thread(target=work, args=(rater,)) for rater in raters]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_server_is_killed_and_another_goes_on(
    database: str, tmp_path: Path, request: pytest.FixtureRequest, start: Callable[..., Process]
) -> None:
    """`kill -9` of a process that serves six raters, twice; what it had printed as saved is there."""
    where = str(tmp_path / "c.db") if database == "sqlite" else request.getfixturevalue("postgres_of_its_own")
    with described_catalogue(where) as catalogue:
        study = new_study(catalogue, design(heads="sample:40", raters_per_item=4, items_per_rater=ITEMS, distance=5))
        who = [str(one.rater.id) for one in invite(catalogue, study, 6)]
        printed: list[str] = []
        for kill_after in (40, 60, None):
            server = start("-c", WORKER, where, *who, stdout=subprocess.PIPE)
            assert server.stdout is not None
            for number, line in enumerate(server.stdout):
                printed.append(line.strip())
                if number == kill_after:
                    server.send_signal(signal.SIGKILL)
            assert server.wait(timeout=60) == (0 if kill_after is None else -signal.SIGKILL)
        check(catalogue, study, {one for one in printed if len(one) == 36})


def test_page_work_does_not_grow_with_the_catalogue(tmp_path: Path) -> None:
    """With 200 and with 20,000 heads SQLite takes the same steps for the items of a rater, within a tenth."""
    steps: list[int] = []
    for layers, heads in ((10, 20), (100, 200)):
        with described_catalogue(tmp_path / f"{layers}.db", layers, heads, salient=2, labellers=1) as catalogue:
            study = new_study(catalogue, design(shuffled=0))
            (one,) = invite(catalogue, study)
            desk = RatingDesk(catalogue)
            let_in(desk, one.rater.id)
            steps.append(counted_steps(catalogue, lambda: rate_all(desk, one.rater.id, most=10)))  # noqa: B023
    assert steps[0] > 100
    assert steps[1] < 1.1 * steps[0], "the page's queries read what is not theirs"


def counted_steps(catalogue: Catalogue, work: Any) -> int:
    """How many hundreds of steps SQLite's machine took, which are what rows cost."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    catalogue.engine.dispose()
    listen = (catalogue.engine, "connect", lambda connection, _: connection.set_progress_handler(step, 100))
    event.listen(*listen)
    work()
    return count
