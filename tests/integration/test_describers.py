"""``describe`` with several ``--llm``: each a describer, one budget, one plan, the worst exit code."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.main import main
from tests.fake_llm import Action, Call, FakeLLM, completion, right_answer

PRICES = ("--price-in", "1", "--price-out", "10", "--max-tokens", "100")
KILLED_AT_THE_6TH = """
import itertools, os, signal, sys
from describe.catalog import Catalogue
save, number = Catalogue.save_description, itertools.count(1)
def once(*given):
    return os.kill(os.getpid(), signal.SIGKILL) if next(number) == 6 else save(*given)
Catalogue.save_description = once
from app.main import main
main(sys.argv[1:])
"""
NO_MODEL = Action(404, {"error": {"message": "no such model"}})


@pytest.fixture
def by(tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs ``describe`` by some LLMs of the fake server; returns the exit code."""
    for name, value in (fake_llm.environment | {"HEADSCRIBE_CATALOG": str(tmp_path / "c.db")}).items():
        monkeypatch.setenv(name, value)

    def run(*llms: str, more: tuple[str, ...] = ()) -> int:
        named = [word for llm in llms for word in ("--llm", llm)]
        return main(["describe", str(tiny_llama), *named, "--reading", "paper", "--placebos", "0", *more])

    return run


def asked(fake_llm: FakeLLM) -> Counter[str]:
    return Counter(call.request["model"] for call in fake_llm.calls)


def test_each_is_a_describer_and_the_worst_exit_code_counts(
    by: Any, fake_llm: FakeLLM, tiny_llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_llm.misbehave = lambda call: NO_MODEL if call.request["model"] == "gone" else None
    assert by("openai:a", "openai:gone", "statistics", more=("--json",)) == 2
    out, said = capsys.readouterr()
    assert "headscribe: openai:gone: " in said
    heads = json.loads(out)
    assert len(heads) == 12
    assert all({one["llm"] for one in head["descriptions"]} == {"openai:a", "statistics"} for head in heads)
    assert by("openai:a", "openai:b", "openai:a") == 0, "each once, and what is there is not asked for"
    assert asked(fake_llm)["a"] == asked(fake_llm)["b"] == 12
    assert by("openai:c", "nobody") == 2
    assert asked(fake_llm)["c"] == 0, "refused before anybody is asked"
    capsys.readouterr()
    assert by("openai:a", "openai:b", more=("--report", "--json")) == 0
    assert {row["llm"] for row in json.loads(capsys.readouterr().out)["summary"]} == {"openai:a", "openai:b"}


def test_one_budget_and_one_plan(by: Any, fake_llm: FakeLLM, capsys: pytest.CaptureFixture[str]) -> None:
    usage = {"prompt_tokens": 8000, "completion_tokens": 20}
    cost, budget = 8000 * 1.0 / 1e6 + 20 * 10.0 / 1e6, 0.125

    def answer(call: Call) -> Action:
        return Action(body=completion(json.dumps(right_answer(call))) | {"usage": usage})

    fake_llm.misbehave = answer
    limited = (*PRICES, "--budget", str(budget), "--concurrency", "1")
    assert by("openai:a", "openai:b", more=limited) == 1
    assert asked(fake_llm)["a"] == 12
    assert 1 <= asked(fake_llm)["b"] <= (budget - 12 * cost) / cost < 12
    assert "stopped: the next call could pass the budget" in capsys.readouterr().err
    left = 12 - asked(fake_llm)["b"]
    assert by("openai:a", "openai:b", "openai:d", "statistics", more=(*PRICES, "--dry-run", "--json")) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [(one["llm"], one["calls"]) for one in plan["llms"]] == [
        ("openai:a", 0),
        ("openai:b", left),
        ("openai:d", 12),
    ]
    assert plan["calls"] == left + 12
    assert plan["money"] == pytest.approx(sum(one["money"] for one in plan["llms"]))
    assert by("openai:a", "openai:b", more=(*PRICES, "--dry-run")) == 0
    assert f"all      {left} calls" in capsys.readouterr().out
    assert by("openai:a", "openai:b", more=PRICES) == 0, "goes on where it was"
    assert asked(fake_llm) == {"a": 12, "b": 12}


def test_killed_during_the_second_nothing_is_paid_twice(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, start: Callable[..., Any]
) -> None:
    """`kill -9` as the second reply of the second is in the ledger and its description is not in the catalogue."""
    words = ["describe", str(tiny_llama), "--llm", "openai:a", "--llm", "openai:b", "--heads", "0"]
    words += ["--reading", "paper", "--placebos", "0", "--concurrency", "1", "--catalog", str(tmp_path / "c.db"), "-q"]
    environment = {**os.environ, **fake_llm.environment}
    assert start("-c", KILLED_AT_THE_6TH, *words, env=environment).wait(60) == -signal.SIGKILL
    assert asked(fake_llm) == {"a": 4, "b": 2}
    assert start(*words, env=environment).wait(60) == 0
    assert asked(fake_llm) == {"a": 4, "b": 4}
