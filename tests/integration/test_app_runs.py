"""Runs as the web app starts them: real processes of their own, killed, stopped, gone on with, and what they spend."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app import runs
from app.runs import command_line, go_on, plan, start
from describe import pipeline
from describe.catalog import Catalogue
from describe.catalog.runs import Run
from describe.errors import InputError
from tests.fake_llm import Action, Call, FakeLLM, right_reply
from tests.heads import head_records

PRICES = {"price-in": 1000.0, "price-out": 0.0}


@pytest.fixture
def place(tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, program: Path) -> str:
    """A catalogue with the heads of a tiny model; the environment names a server, and ``headscribe`` starts quickly."""
    monkeypatch.setattr(runs, "_PROGRAM", [str(program)])
    for name, value in fake_llm.environment.items():
        monkeypatch.setenv(name, value)
    where = str(tmp_path / "c.db")
    with Catalogue(where, create=True) as catalogue:
        pipeline.extract(catalogue, str(tiny_llama), device="cpu")
    return where


@pytest.fixture
def catalogue(place: str) -> Iterator[Catalogue]:
    with Catalogue(place) as opened:
        yield opened


def describing(model: Path, **options: Any) -> list[str]:
    return command_line("describe", str(model), {"llm": "openai:fake-1", "concurrency": 2, "placebos": 0} | options)


def until(catalogue: Catalogue, run_id: int, holds: Callable[[Run], bool]) -> Run:
    """The run, once this holds of it; looked at as the page does."""
    deadline = time.monotonic() + 120
    while True:
        catalogue.runs.bury(catalogue.runs.newest(20))
        run = catalogue.runs.find(run_id)
        if holds(run):
            return run
        assert run.active, run
        assert time.monotonic() < deadline, run
        time.sleep(0.05)


def ended(run: Run) -> bool:
    return not run.active


@contextmanager
def held(server: FakeLLM) -> Iterator[None]:
    """After two more answers the server keeps every call waiting."""
    hold, first = threading.Event(), len(server.calls)

    def wait(call: Call) -> None:
        if call.number >= first + 2:
            hold.wait(60)

    server.misbehave = wait
    yield
    hold.set()
    server.misbehave = lambda call: None


def described(catalogue: Catalogue, model: Path) -> int:
    return sum(
        bool(record["descriptions"]) for record in head_records(catalogue, *pipeline.find(catalogue, str(model)))
    )


def test_killed_and_stopped_it_goes_on_where_it_was(
    catalogue: Catalogue, place: str, tiny_llama: Path, fake_llm: FakeLLM
) -> None:
    arguments = describing(tiny_llama, budget=50.0, **PRICES)
    run_id = start(catalogue, place, arguments)
    with held(fake_llm):
        run = until(catalogue, run_id, lambda run: run.done == 2 and run.calls >= 2)
        assert run.state == "running"
        assert run.seconds_left() is not None
        assert run.pid != os.getpid()
        second = until(catalogue, start(catalogue, place, arguments), ended)
        assert (second.state, second.exit_code, second.calls) == ("failed", 2, 0)
        assert "another run is describing these heads by openai:fake-1" in (second.message or "")
        assert run.pid is not None
        os.kill(run.pid, signal.SIGKILL)
        run = until(catalogue, run_id, ended)
    assert run.state == "died"
    assert described(catalogue, tiny_llama) == 2
    go_on(catalogue, place, run)
    with pytest.raises(InputError, match="goes on already"):
        go_on(catalogue, place, run)
    with held(fake_llm):
        until(catalogue, run_id, lambda run: run.done == 2)
        catalogue.runs.ask_to_stop(run_id)
        run = until(catalogue, run_id, ended)
    assert (run.state, run.exit_code) == ("stopped", 130)
    assert "run the same command again to go on" in (run.message or "")
    assert described(catalogue, tiny_llama) == 4
    go_on(catalogue, place, run)
    run = until(catalogue, run_id, ended)
    assert (run.state, described(catalogue, tiny_llama)) == ("done", 12)
    calls = pipeline.report(catalogue, str(tiny_llama))["calls"]
    assert run.calls == len(calls) == len(fake_llm.calls) == 12 + 2 + 2, "only what was in the air is asked again"
    assert run.money == pytest.approx(sum(call["money"] or 0 for call in calls))


def test_a_plan_asks_nobody_and_a_run_keeps_to_its_budget(
    catalogue: Catalogue, place: str, tiny_llama: Path, fake_llm: FakeLLM
) -> None:
    usage = {"usage": {"prompt_tokens": 2000, "completion_tokens": 1, "total_tokens": 2001}}
    fake_llm.misbehave = lambda call: Action(body=right_reply(call) | usage)
    planned = plan(place, describing(tiny_llama, **PRICES))
    assert len(planned["heads"]) == 12
    assert planned["price"]["source"] == "as given"
    assert not fake_llm.calls, "a plan asks nobody"
    run_id = start(catalogue, place, describing(tiny_llama, budget=12.0, **PRICES))
    run = until(catalogue, run_id, ended)
    assert (run.state, run.exit_code) == ("failed", 1)
    assert "could pass the budget of $12" in (run.message or "")
    assert 0 < run.money <= 12.0
    assert run.money == pytest.approx(2.0 * len(fake_llm.calls))


def test_no_key_is_kept(catalogue: Catalogue, place: str, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    """Not in the row of the run, not even where the server sends the key back."""
    key = fake_llm.environment["OPENAI_API_KEY"]
    fake_llm.misbehave = lambda call: Action(401, {"error": {"message": f"the key {key} is wrong"}})
    run = until(catalogue, start(catalogue, place, describing(tiny_llama)), ended)
    assert (run.state, run.exit_code) == ("failed", 2)
    assert key not in str(run)
    assert all(key.encode() not in path.read_bytes() for path in Path(place).parent.glob("c.db*"))
