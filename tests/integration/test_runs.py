"""Runs that lose neither work nor money: ledger, budget, pace, and a server that goes down, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
import traceback
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from describe import pipeline
from describe.catalog import Catalogue, schema
from describe.catalog.database import begin_write
from describe.errors import InputError, LLMError
from describe.llm import Pacer, Request, parse_llm
from describe.pipeline import Limits
from describe.records import HeadId
from tests.fake_llm import Action, Call, FakeLLM, completion, right_answer
from tests.heads import head_records
from tests.warm import Process

QUICK = Request(timeout=30.0, attempts=3, longest_wait=0.05, max_tokens=64)
KEY = "sk-test-very-secret"
Run = Callable[..., "subprocess.CompletedProcess[str]"]
COST = 100 * 1.0 / 1e6 + 20 * 10.0 / 1e6
"""US dollars of one answer of the fake server at the prices below."""
PRICES = {"price_in": 1.0, "price_out": 10.0}


@pytest.fixture
def catalogue(tmp_path: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in fake_llm.environment.items():
        monkeypatch.setenv(name, value)
    with Catalogue(str(tmp_path / "c.db"), create=True) as opened:
        yield opened


def describe(catalogue: Catalogue, model: Path, **options: Any) -> Any:
    options = {"request": QUICK, "device": "cpu"} | options
    return pipeline.describe(catalogue, str(model), parse_llm("openai:fake-1"), **options)


def calls(catalogue: Catalogue, model: Path) -> list[dict[str, Any]]:
    return pipeline.report(catalogue, str(model))["calls"]


def test_the_ledger_equals_the_servers_own_count(catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    def misbehave(call: Call) -> Action | None:
        kinds = [Action(500, {"error": {"message": "oops"}}), Action(429, {"error": {"message": "slow"}})]
        kinds += [Action(reset=True), Action(200, completion(None)), Action(200, b"no JSON")]
        return kinds[call.number] if call.number < len(kinds) else None

    fake_llm.misbehave = misbehave
    describe(catalogue, tiny_llama, concurrency=3, limits=Limits(**PRICES))
    found = calls(catalogue, tiny_llama)
    assert len(found) == len(fake_llm.calls)
    outcomes = [call["outcome"] for call in found]
    assert {c: outcomes.count(c) for c in set(outcomes) - {"ok"}} == {
        "server_error": 2,
        "rate_limit": 1,
        "connection": 1,
        "empty": 1,
    }
    good = next(call for call in found if call["outcome"] == "ok")
    assert (good["tokens_in"], good["tokens_out"], good["model"]) == (100, 20, "fake-1")
    assert (good["llm"], good["endpoint"]) == ("openai:fake-1", fake_llm.url)
    assert good["money"] == pytest.approx(COST)
    assert "pattern" in good["reply"]
    summary = pipeline.report(catalogue, str(tiny_llama))["summary"]
    assert sum(row["calls"] for row in summary) == len(found)
    (ok,) = (row for row in summary if row["outcome"] == "ok")
    assert (ok["calls"], ok["tokens_in"], ok["tokens_out"]) == (11, 1100, 220)
    assert ok["money"] == pytest.approx(11 * COST)
    assert 0 < ok["mean_seconds"] < 1


def test_a_call_costs_two_transactions(catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    """The reply is committed as it comes; its description with the next call of the run."""
    commits: list[int] = []
    pipeline.extract(catalogue, str(tiny_llama), device="cpu")
    describe(catalogue, tiny_llama, heads="0.0")
    event.listen(catalogue.engine, "commit", lambda _: commits.append(1))
    counted = []
    for heads in ("0.1", "0-2"):
        before = len(commits)
        result = describe(catalogue, tiny_llama, heads=heads, concurrency=1)
        counted.append((result.new, len(commits) - before))
    (few, cost), (many, more) = counted
    assert (few, many) == (1, 10)
    assert more - cost == 2 * (many - few)


def test_killed_between_reply_and_description_nothing_is_paid_twice(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, start: Callable[..., Process]
) -> None:
    """`kill -9` as the first reply is in the ledger and its description is not in the catalogue."""
    place = str(tmp_path / "c.db")
    code = (
        "import os, signal, sys\n"
        "from describe.catalog import Catalogue\n"
        "Catalogue.save_description = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from app.main import main\n"
        "main(sys.argv[1:])"
    )
    arguments = [
        "describe",
        str(tiny_llama),
        "--llm",
        "openai:fake-1",
        "--placebos",
        "0",
        "--concurrency",
        "1",
        "--catalog",
        place,
        "-q",
    ]
    environment = {**os.environ, **fake_llm.environment}
    assert start("-c", code, *arguments, env=environment).wait(60) == -signal.SIGKILL
    assert len(fake_llm.answered) == 1
    assert start(*arguments, env=environment).wait(60) == 0
    assert len(fake_llm.calls) == 12
    with Catalogue(place) as catalogue:
        assert len(calls(catalogue, tiny_llama)) == 12
        first = next(head_records(catalogue, *pipeline.find(catalogue, str(tiny_llama))))
    assert first["descriptions"][0]["provenance"]["usage"]["from_ledger"]


def test_fresh_and_retried_failures_ask_again(catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    fake_llm.misbehave = lambda call: Action(200, completion("no JSON"))
    assert describe(catalogue, tiny_llama, heads="0.0").failures == {HeadId(0, 0): "invalid"}
    fake_llm.misbehave = lambda call: None
    assert describe(catalogue, tiny_llama, heads="0.0", retry_failed=True).failures == {}
    assert len(fake_llm.calls) == 3
    short = replace(QUICK, timeout=2.0)  # bears on no answer: the same labeller
    assert describe(catalogue, tiny_llama, heads="0.0", request=short, fresh=True).new == 0
    assert describe(catalogue, tiny_llama, heads="0.0", dtype="float64").new == 1, "another extraction, same prompt"
    assert len(fake_llm.calls) == 3


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_budget_is_never_passed(concurrency: int, catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    usage = {"prompt_tokens": 2000, "completion_tokens": 60, "total_tokens": 2060}
    cost, budget = (2000 * 1.0 + 60 * 10.0) / 1e6, 0.02
    fake_llm.misbehave = lambda call: Action(
        delay=0.05, body=completion(json.dumps(right_answer(call))) | {"usage": usage}
    )
    limits = Limits(budget=budget, **PRICES)
    result = describe(catalogue, tiny_llama, concurrency=concurrency, limits=limits)
    assert "budget" in result.stopped
    assert 3 <= result.new <= budget / cost < 12
    assert (len(result.missing), result.failures) == (12 - result.new, {})
    assert result.spent == pytest.approx(len(fake_llm.answered) * cost)
    assert result.spent <= budget
    assert describe(catalogue, tiny_llama, limits=Limits(budget=1.0, **PRICES)).missing == []
    assert len(fake_llm.calls) == 12
    with pytest.raises(InputError, match="--price-in"):
        describe(catalogue, tiny_llama, limits=Limits(budget=1.0))


def test_a_budget_on_the_command_line(tiny_llama: Path, fake_llm: FakeLLM, headscribe: Run) -> None:
    named = ("describe", tiny_llama, "--llm", "openai:fake-1", "--placebos", "0", "-q")
    done = headscribe(*named, "--budget", "0", "--price-in", "1", "--price-out", "1", **fake_llm.environment)
    assert done.returncode == 1
    assert "12 heads are missing: 0.0, 0.1" in done.stderr
    assert "$0.0000 spent" in done.stderr
    assert headscribe(*named, "--budget", "1", **fake_llm.environment).returncode == 2
    assert fake_llm.calls == []


def test_a_dry_run_asks_nobody_and_changes_nothing(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, headscribe: Run
) -> None:
    named = ("describe", tiny_llama, "--llm", "openai:fake-1", "--placebos", "0", "--dry-run")
    none = headscribe(*named, **fake_llm.environment)
    assert none.returncode == 2
    assert not (tmp_path / "catalogue.db").exists()
    assert headscribe("extract", tiny_llama, "--heads", "0-1", "-q").returncode == 0
    shown = headscribe(*named, "--price-in", "1", "--price-out", "10", "--rpm", "6", **fake_llm.environment)
    assert shown.returncode == 0, shown.stderr
    assert "12 of tiny-llama to describe: 0.0, 0.1" in shown.stdout
    assert "8 ready, 4 to extract first" in shown.stdout
    assert "3,600 out" in shown.stdout
    assert "0:02:00" in shown.stdout
    found = json.loads(headscribe(*named, "--json", **fake_llm.environment).stdout)
    assert found["money"] is None
    assert len(found["prompts"]) == 8
    assert fake_llm.calls == []
    with Catalogue(str(tmp_path / "catalogue.db")) as catalogue:
        assert calls(catalogue, tiny_llama) == []
        assert catalogue.find_labeller("openai:fake-1", "salient-1", "", {}) is None


def test_a_dry_run_counts_by_the_endpoints_tokenizer(tiny_llama: Path, fake_llm: FakeLLM, catalogue: Catalogue) -> None:
    """A server that counts, here by words, is believed; one that does not leaves an estimate."""
    pipeline.extract(catalogue, str(tiny_llama), device="cpu")

    def plan() -> pipeline.Plan:
        return pipeline.plan(catalogue, str(tiny_llama), parse_llm("openai:fake-1"), request=QUICK)

    assert not plan().counted
    fake_llm.tokenizes = True
    counted = plan()
    assert counted.counted
    schema = json.dumps(pipeline.prompt_of(catalogue, str(tiny_llama), HeadId(0, 0))["schema"])
    words = sum(len((text + schema).split()) for text in counted.prompts.values())
    assert counted.tokens_in == pytest.approx(words, rel=0.01)
    assert fake_llm.calls == []


def test_requests_per_minute_are_kept(catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    arrived: list[float] = []
    fake_llm.misbehave = lambda call: arrived.append(time.monotonic())  # type: ignore[func-returns-value]
    describe(catalogue, tiny_llama, limits=Limits(rpm=300))
    assert len(arrived) == 12
    assert arrived[-1] - arrived[1] >= 10 * 0.2 - 0.25, "first calls also connect, and arrive late"


def test_limits_are_learned_from_headers(catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    arrived: list[float] = []

    def answer(call: Call) -> Action:
        arrived.append(time.monotonic())
        return Action(body=completion(json.dumps(right_answer(call))), headers={"x-ratelimit-limit-requests": "600"})

    fake_llm.misbehave = answer
    describe(catalogue, tiny_llama, concurrency=1)
    assert arrived[-1] - arrived[1] >= 10 * 0.1 - 0.05


def test_a_429_halves_and_answers_recover() -> None:
    async def run() -> list[int]:
        pacer, seen = Pacer(8), []
        sent = time.monotonic()
        pacer.refused(sent, None)
        pacer.refused(sent, None)  # sent along with the first: no news
        seen.append(pacer.limit)
        pacer.refused(time.monotonic(), None)
        seen.append(pacer.limit)
        for _ in range(2 + 3):
            pacer.answered(0)
        seen.append(pacer.limit)
        for _ in range(100):
            pacer.answered(0)
        return [*seen, pacer.limit]

    assert asyncio.run(run()) == [4, 2, 4, 8]


def test_tokens_per_minute_and_resets_space_calls_out() -> None:
    async def run() -> tuple[float, float]:
        pacer = Pacer(1, tpm=60_000)
        started = time.monotonic()
        for _ in range(3):
            async with pacer.turn(100):
                pass
        spaced = time.monotonic() - started
        pacer.heard({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "0m0.2s"})
        async with pacer.turn(1):
            return spaced, time.monotonic() - started - spaced

    spaced, paused = asyncio.run(run())
    assert spaced >= 0.2
    assert paused >= 0.2


def test_a_server_that_goes_down_ends_the_run(catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    def down(call: Call) -> Action | None:
        return Action(503, {"error": {"message": "down"}}) if call.number >= 4 else None

    fake_llm.misbehave = down
    result = describe(catalogue, tiny_llama, concurrency=2, limits=Limits(give_up_after=3))
    assert "3 heads in a row" in result.stopped
    assert (result.new, result.failures, len(result.missing)) == (4, {}, 8)
    assert len(fake_llm.calls) <= 4 + 5 * QUICK.attempts
    fake_llm.misbehave = lambda call: None
    assert describe(catalogue, tiny_llama).missing == []


def test_the_key_appears_nowhere(tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, headscribe: Run) -> None:
    """Though the server gives it back in a reply, in the reply's metadata, in headers and in error messages."""

    def echo(call: Call) -> Action:
        if call.number == 0:
            return Action(500, {"error": {"message": f"your key {KEY}\n{KEY}"}})
        if call.number == 1:
            return Action(200, f"<p>{KEY}</p>".encode())
        if call.number == 2:
            return Action(400, {"error": {"message": f"no key {KEY}", "code": KEY}})
        answer = right_answer(call) | {"reasoning": KEY, "inputs": f"plural {KEY}"}
        body = completion(json.dumps(answer)) | {"model": KEY, "id": KEY}
        return Action(200, body, headers={"x-request-id": KEY} if call.number % 2 else {})

    fake_llm.misbehave = echo
    done = headscribe(
        "describe", tiny_llama, "--llm", "openai:fake-1", "--placebos", 0, "--concurrency", "1", **fake_llm.environment
    )
    assert done.returncode == 0, done.stderr
    assert len(fake_llm.calls) > 12
    report = headscribe("describe", tiny_llama, "--report", "--json")
    exports = []
    for form in ("jsonl", "csv", "markdown", "html"):
        assert headscribe("export", tiny_llama, "-f", form, "-o", tmp_path / f"all.{form}").returncode == 0
        exports.append((tmp_path / f"all.{form}").read_text())
    files = [path.read_bytes().decode("latin-1") for path in tmp_path.glob("catalogue.db*")]
    texts = [done.stdout, done.stderr, report.stdout, report.stderr, *exports, *files]
    assert not any(KEY in text or "very-secret" in text for text in texts)
    assert "***" in report.stdout


def test_no_traceback_holds_the_key(
    catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_llm.misbehave = lambda call: Action(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}})
    with pytest.raises(LLMError) as raised:
        describe(catalogue, tiny_llama)
    assert KEY not in "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert "bad_request" in {call["outcome"] for call in calls(catalogue, tiny_llama)}
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\u00e9")
    with pytest.raises(LLMError, match="no key has") as raised:
        describe(catalogue, tiny_llama)
    assert KEY not in "".join(traceback.format_exception(raised.value))


def test_the_account_and_a_user_in_the_address_are_sent(
    catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    describe(catalogue, tiny_llama, heads="0.0")
    monkeypatch.setenv("OPENAI_BASE_URL", fake_llm.url.replace("127.0.0.1", "ada:secret-word@127.0.0.1"))
    describe(catalogue, tiny_llama, heads="0.1")
    plain, named = ({name.lower(): value for name, value in call.headers.items()} for call in fake_llm.calls)
    assert (plain["authorization"], plain["openai-organization"]) == (f"Bearer {KEY}", "org-1")
    assert named["authorization"] == "Basic " + b64encode(b"ada:secret-word").decode()
    assert {call["endpoint"] for call in calls(catalogue, tiny_llama)} == {fake_llm.url}


def test_the_report_needs_no_llm(tiny_llama: Path, fake_llm: FakeLLM, headscribe: Run) -> None:
    priced = ("--price-in", "1", "--price-out", "10")
    named = ("describe", tiny_llama, "--llm", "openai:fake-1", "--placebos", "0", "-q")
    assert headscribe(*named, *priced, **fake_llm.environment).returncode == 0
    shown = headscribe("describe", tiny_llama, "--report")
    assert shown.returncode == 0, shown.stderr
    (line,) = (line for line in shown.stdout.splitlines() if " all " in line)
    assert line.split()[:6] == ["openai:fake-1", "all", "12", "1,200", "240", "0"]
    assert f"{12 * COST:.4f}" in line
    found = json.loads(headscribe("describe", tiny_llama, "--report", "--json").stdout)
    assert len(found["calls"]) == 12


def test_fresh_asks_again_what_the_ledger_could_answer(
    catalogue: Catalogue, tiny_llama: Path, fake_llm: FakeLLM
) -> None:
    """A reply whose description was lost is used again; with ``fresh`` it is asked for again."""
    asked = []
    for fresh in (False, False, True):
        result = describe(catalogue, tiny_llama, heads="0", fresh=fresh)
        assert (result.new, result.failures) == (4, {})
        asked.append(len(fake_llm.calls))
        with begin_write(catalogue._engine) as connection:
            connection.execute(schema.description.delete())
    assert asked == [4, 4, 8]
