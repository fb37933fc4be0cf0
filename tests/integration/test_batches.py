"""Runs through the Batch API, over real HTTP and with real processes: kill -9, partial output, garbage, refusals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import InputError, LLMError
from describe.llm import Request, parse_llm
from describe.pipeline import Batching, Limits
from describe.pipeline.llm_stage import batch as batching
from tests.fake_batches import FakeBatches, Fate
from tests.fake_llm import Action, Call, completion, right_answer
from tests.integration.test_describe import assert_right, records
from tests.warm import Process

QUICK = Request(timeout=30.0, attempts=3, longest_wait=0.05, max_tokens=64)
KEY = "sk-test-very-secret"
PRICES = {"price_in": 1.0, "price_out": 10.0}
COST = (100 * 1.0 + 20 * 10.0) / 1e6 / 2
"""US dollars of one answer of the fake server at the prices above, at half of them."""


@pytest.fixture
def server() -> Iterator[FakeBatches]:
    with FakeBatches() as started:
        yield started


@pytest.fixture(scope="module")
def extracted(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue that holds the heads of the tiny Llama."""
    place = tmp_path_factory.mktemp("extracted") / "c.db"
    with Catalogue(str(place), create=True) as opened:
        pipeline.extract(opened, str(tiny_llama), device="cpu")
    return place


@pytest.fixture
def place(extracted: Path, tmp_path: Path) -> Path:
    """A copy of it, where the command ``headscribe`` of a test looks for its catalogue."""
    return Path(shutil.copy(extracted, tmp_path / "catalogue.db"))


@pytest.fixture
def catalogue(place: Path, server: FakeBatches, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    with Catalogue(str(place)) as opened:
        yield opened


def describe(catalogue: Catalogue, model: Path, **options: Any) -> Any:
    options = {"request": QUICK, "device": "cpu", "batch": Batching(poll=0.01)} | options
    return pipeline.describe(catalogue, str(model), parse_llm("openai:fake-1"), **options)


def calls(catalogue: Catalogue, model: Path) -> list[dict[str, Any]]:
    return pipeline.report(catalogue, str(model))["calls"]


def assert_all_right(catalogue: Catalogue, model: Path) -> None:
    found = records(catalogue, model)
    assert len(found) == 12
    for record in found.values():
        assert_right(record)


def assert_paid_once(catalogue: Catalogue, model: Path, server: FakeBatches) -> None:
    """Every request that the server executed is in the ledger, once, and none was executed twice."""
    entered = Counter(call["request_id"] for call in calls(catalogue, model) if call["outcome"] == "ok")
    assert entered == Counter(f"req-{call.number}" for call in server.answered)
    asked = Counter(json.dumps(call.request["messages"]) for call in server.answered)
    assert set(asked.values()) == {1}


def test_a_batch_brings_what_direct_calls_bring(catalogue: Catalogue, tiny_llama: Path, server: FakeBatches) -> None:
    seen: list[tuple[str, int, int]] = []
    server.fate = lambda number: Fate(looks=2)
    result = describe(catalogue, tiny_llama, limits=Limits(**PRICES), progress=lambda *told: seen.append(told))
    assert (result.new, result.failures, result.missing, result.batches) == (12, {}, [], [])
    assert result.spent == pytest.approx(12 * COST)
    assert_all_right(catalogue, tiny_llama)
    assert_paid_once(catalogue, tiny_llama, server)
    assert seen.count(("batch", 0, 12)) == 2
    assert ("batch", 12, 12) in seen
    (row,) = pipeline.report(catalogue, str(tiny_llama))["summary"]
    assert (row["calls"], row["batch"], row["mean_seconds"]) == (12, True, 600)
    assert row["money"] == pytest.approx(12 * COST)
    assert {call["batch"] for call in calls(catalogue, tiny_llama)} == {"batch_0"}
    usage = records(catalogue, tiny_llama)["0.0"]["descriptions"][0]["provenance"]["usage"]
    assert (usage["batch"], usage["tokens_in"], usage["omitted"]) == ("batch_0", 100, [])
    before = len(server.log)
    assert describe(catalogue, tiny_llama).new == 0
    assert describe(catalogue, tiny_llama, batch=None).new == 0, "the same labeller as direct calls"
    assert len(server.log) == before
    keys = [batch["metadata"]["headscribe"] for batch in server.batches.values()]
    assert len(keys[0]) == 32


def test_lines_that_are_garbage_twice_out_of_order_or_missing(
    catalogue: Catalogue, tiny_llama: Path, server: FakeBatches
) -> None:
    def mangle(lines: list[bytes]) -> list[bytes]:
        foreign = json.dumps(json.loads(lines[0]) | {"custom_id": "somebody else's"}).encode()
        bare = [b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"custom_id": ["0.0"]}', b"", foreign]
        hollow = json.loads(lines[1]) | {"response": {"status_code": "x"}}
        return [*bare, json.dumps(hollow).encode(), *reversed(lines[2:]), *lines[2:5]]

    server.fate = lambda number: Fate(mangle=mangle) if number == 0 else Fate()
    result = describe(catalogue, tiny_llama, limits=Limits(budget=1.0, **PRICES))
    assert (result.new, result.failures, len(server.batches)) == (12, {}, 2)
    assert len(server.requests_of("batch_1")) == 2
    assert len(calls(catalogue, tiny_llama)) == 12
    assert_all_right(catalogue, tiny_llama)
    assert result.spent > 12 * COST, "the requests without a line may be billed: they count in full"
    server.fate = lambda number: Fate(mangle=lambda lines: lines[:-1])
    result = describe(catalogue, tiny_llama, request=replace(QUICK, attempts=2, seed=1))
    assert list(result.failures.values()) == ["server_error"]


def test_hollow_completions_are_failures_of_the_server(
    catalogue: Catalogue, tiny_llama: Path, server: FakeBatches
) -> None:
    bodies = [None, [], {"choices": [1]}, {"choices": [{}], "usage": 1}, {"choices": 3, "model": 4}, {"error": {}}]
    server.misbehave = lambda call: Action(body=bodies[call.number]) if call.number < len(bodies) else None
    result = describe(catalogue, tiny_llama, request=replace(QUICK, attempts=1))
    assert set(result.failures.values()) <= {"server_error", "empty"}
    assert (len(result.failures), result.new) == (6, 12)


def test_every_failure_is_what_it_is_in_direct_runs(
    catalogue: Catalogue, tiny_llama: Path, server: FakeBatches
) -> None:
    """One head each; what is transient is asked again, what cannot be read goes back once with the reason."""
    scripts: list[tuple[str | None, list[Action | None]]] = [
        (None, [Action(429, {"error": {"message": "slow down"}}), None]),
        ("rate_limit", [Action(429, {"error": {"message": "slow down"}})] * 3),
        (None, [Action(500, {"error": {"message": "oops"}}), None]),
        ("empty", [Action(200, completion(None) | {"choices": []})]),
        ("refusal", [Action(200, completion(None, refusal="I must not"))]),
        ("refusal", [Action(200, completion("I'm sorry, but I can't help with that."))] * 2),
        ("truncated", [Action(200, completion('{"reasoning": "aa', finish_reason="length"))]),
        ("invalid", [Action(200, completion('{"pattern": "no inputs"}')), Action(200, completion("still wrong"))]),
        (None, [Action(200, completion("no JSON at all")), None]),
        (None, [None]),
        (None, [None]),
        (None, [None]),
    ]
    order: dict[str, int] = {}
    met: Counter[str] = Counter()

    def misbehave(call: Call) -> Action | None:
        steps = scripts[order.setdefault(call.prompt, len(order))][1]
        met[call.prompt] += 1
        return steps[min(met[call.prompt], len(steps)) - 1]

    server.misbehave = misbehave
    result = describe(catalogue, tiny_llama)
    assert [result.failures.get(head) for head in result.heads] == [cause for cause, _ in scripts]
    for (cause, _), record in zip(scripts, records(catalogue, tiny_llama).values(), strict=True):
        if cause is None:
            assert_right(record)
    repairs = [call for call in server.calls if len(call.request["messages"]) == 3]
    assert len(repairs) == 3
    assert all("could not be read" in call.request["messages"][2]["content"] for call in repairs)
    assert len(calls(catalogue, tiny_llama)) == len(server.calls)
    assert max(map(len, (server.requests_of(name) for name in list(server.batches)[1:]))) == 6
    before = len(server.calls)
    server.misbehave = lambda call: None
    assert describe(catalogue, tiny_llama).new == 0
    assert describe(catalogue, tiny_llama, retry_failed=True).failures == {}
    assert len(server.calls) - before == 6


def test_refused_parameters_are_learned_from_answers_and_from_whole_batches(
    catalogue: Catalogue, tiny_llama: Path, server: FakeBatches
) -> None:
    def misbehave(call: Call) -> Action | None:
        for name in ("max_completion_tokens", "temperature"):
            if name in call.request:
                return Action(400, {"error": {"message": f"Unsupported value: '{name}'", "code": "unsupported_value"}})
        return None

    problem = {"code": "invalid_request", "line": 1, "message": "'seed' is not supported with this model"}
    server.misbehave = misbehave
    server.fate = lambda number: Fate("failed", errors=[problem] * 12) if number == 0 else Fate()
    result = describe(catalogue, tiny_llama, request=replace(QUICK, attempts=2))
    assert (result.new, result.failures) == (12, {})
    assert [set(server.requests_of(name)[0]["body"]) for name in server.batches] == [
        {"model", "messages", "max_completion_tokens", "temperature", "seed", "response_format"},
        {"model", "messages", "max_completion_tokens", "temperature", "response_format"},
        {"model", "messages", "max_tokens", "temperature", "response_format"},
        {"model", "messages", "max_tokens", "response_format"},
    ]
    usage = records(catalogue, tiny_llama)["0.0"]["descriptions"][0]["provenance"]["usage"]
    assert usage["omitted"] == ["max_completion_tokens", "seed", "temperature"]


def test_an_expired_batch_keeps_what_was_answered_and_asks_the_rest_again(
    catalogue: Catalogue, tiny_llama: Path, server: FakeBatches
) -> None:
    server.fate = lambda number: Fate("expired", answered=5) if number == 0 else Fate()
    result = describe(catalogue, tiny_llama, limits=Limits(**PRICES))
    assert (result.new, result.failures, len(server.batches)) == (12, {}, 2)
    assert len(server.requests_of("batch_1")) == 7
    assert result.spent == pytest.approx(12 * COST), "what was not executed costs nothing"
    assert_paid_once(catalogue, tiny_llama, server)


def test_what_never_gets_an_answer_ends_the_run(catalogue: Catalogue, tiny_llama: Path, server: FakeBatches) -> None:
    server.fate = lambda number: Fate("expired", answered=0)
    result = describe(catalogue, tiny_llama)
    assert "batch_0 ended (expired) without an answer" in result.stopped
    assert (len(result.missing), result.failures, len(server.batches)) == (12, {}, 1)
    server.fate = lambda number: Fate("expired", answered=1)
    result = describe(catalogue, tiny_llama)
    assert "in all tries" in result.stopped
    assert (result.new, len(server.batches)) == (QUICK.attempts, 1 + QUICK.attempts), "rounds are bounded"
    server.fate = lambda number: Fate("cancelled", answered=4)
    result = describe(catalogue, tiny_llama)
    assert "cancelled" in result.stopped
    assert (result.new, len(result.missing)) == (4, 5)
    server.fate = lambda number: Fate()
    assert describe(catalogue, tiny_llama).missing == []
    assert_paid_once(catalogue, tiny_llama, server)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ([{"code": "model_not_found", "line": 1, "message": "The model does not exist"}], "no model 'fake-1'"),
        ([{"code": "invalid_json_line", "line": 7, "message": f"bad\n{KEY}"}] * 3, r"batch_0: line 7: bad"),
        ([], "does not say why"),
    ],
)
def test_a_batch_that_is_refused_is_one_line(
    errors: list[dict[str, Any]], message: str, catalogue: Catalogue, tiny_llama: Path, server: FakeBatches
) -> None:
    server.fate = lambda number: Fate("failed", errors=errors or [{}])
    with pytest.raises(LLMError, match=message) as raised:
        describe(catalogue, tiny_llama)
    assert KEY not in str(raised.value)
    assert "\n" not in str(raised.value)
    server.fate = lambda number: Fate()
    assert describe(catalogue, tiny_llama).new == 12


def test_too_much_for_now_is_no_mistake(catalogue: Catalogue, tiny_llama: Path, server: FakeBatches) -> None:
    full = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached for fake-1"}
    server.fate = lambda number: Fate("failed", errors=[full])
    result = describe(catalogue, tiny_llama)
    assert "fewer --heads" in result.stopped
    assert len(result.missing) == 12


def test_many_requests_are_split(
    catalogue: Catalogue, tiny_llama: Path, server: FakeBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MOST_REQUESTS", 5)
    server.fate = lambda number: Fate(looks=number)
    assert describe(catalogue, tiny_llama).new == 12
    assert [len(server.requests_of(name)) for name in server.batches] == [5, 5, 2]
    size = len(server.files[server.batches["batch_0"]["input_file_id"]])
    monkeypatch.setattr(batching, "MOST_BYTES", size)
    monkeypatch.setattr(batching, "MOST_REQUESTS", 100)
    assert describe(catalogue, tiny_llama, request=replace(QUICK, seed=1)).new == 12
    files = [server.files[batch["input_file_id"]] for batch in list(server.batches.values())[3:]]
    assert len(files) >= 3
    assert max(map(len, files)) <= size


def test_a_budget_is_never_passed(catalogue: Catalogue, tiny_llama: Path, server: FakeBatches) -> None:
    usage = {"prompt_tokens": 2000, "completion_tokens": 60, "total_tokens": 2060}
    cost = (2000 * 1.0 + 60 * 10.0) / 1e6 / 2
    server.misbehave = lambda call: Action(body=completion(json.dumps(right_answer(call))) | {"usage": usage})
    budget = 9 * cost
    result = describe(catalogue, tiny_llama, limits=Limits(budget=budget, **PRICES))
    assert "budget" in result.stopped
    assert 3 <= result.new < 12
    assert len(server.batches) > 1, "what is given back after a batch is room for another"
    assert result.spent == pytest.approx(len(server.answered) * cost)
    assert result.spent <= budget
    none = describe(catalogue, tiny_llama, limits=Limits(budget=0.0, **PRICES))
    assert "budget" in none.stopped
    assert describe(catalogue, tiny_llama, limits=Limits(budget=1.0, **PRICES)).missing == []
    assert_paid_once(catalogue, tiny_llama, server)


def test_a_batch_in_flight_is_not_asked_again(catalogue: Catalogue, tiny_llama: Path, server: FakeBatches) -> None:
    """By runs with other heads, direct runs, ``fresh`` ones; and ``no wait`` collects only what has ended."""
    server.fate = lambda number: Fate(looks=3)
    quick = Batching(poll=0.01, wait=False)
    first = describe(catalogue, tiny_llama, heads="0-1", batch=quick)
    assert (first.new, first.batches, first.stopped) == (0, ["batch_0"], "waiting for batch_0")
    with pytest.raises(InputError, match=r"8 of these heads wait in a batch \(batch_0\)"):
        describe(catalogue, tiny_llama, batch=None)
    planned = pipeline.plan(catalogue, str(tiny_llama), parse_llm("openai:fake-1"), request=QUICK, batch=quick)
    assert (len(planned.heads), planned.in_batches) == (4, 8)
    second = describe(catalogue, tiny_llama, heads="2", batch=quick, fresh=True)
    assert second.batches == ["batch_0", "batch_1"]
    assert [len(server.requests_of(name)) for name in server.batches] == [8, 4]
    last = describe(catalogue, tiny_llama, heads="2", fresh=True)
    assert (last.new, last.batches) == (12, []), "what waits is described too, whichever heads are named"
    assert_paid_once(catalogue, tiny_llama, server)
    assert_all_right(catalogue, tiny_llama)


def test_a_batch_the_server_does_not_know_is_given_up_only_when_asked_to(
    catalogue: Catalogue, tiny_llama: Path, server: FakeBatches
) -> None:
    server.fate = lambda number: Fate(looks=9)
    describe(catalogue, tiny_llama, batch=Batching(poll=0.01, wait=False))
    server.fate = lambda number: Fate()
    server.batches.clear()
    with pytest.raises(LLMError, match="does not know batch batch_0"):
        describe(catalogue, tiny_llama)
    assert describe(catalogue, tiny_llama, fresh=True).new == 12
    server.refuse = lambda method, path: Action(404, {"error": {}}) if path.endswith("/content") else None
    with pytest.raises(LLMError, match="or its output"):
        describe(catalogue, tiny_llama, request=replace(QUICK, seed=1))


def test_the_transport_fails_and_recovers(catalogue: Catalogue, tiny_llama: Path, server: FakeBatches) -> None:
    """Each kind of request fails once, half of them after they were carried out."""
    met: Counter[str] = Counter()

    def refuse(method: str, path: str) -> Action | None:
        kind = f"{method} {path.split('/')[2]} {path.rpartition('/')[2] == 'content'}"
        met[kind] += 1
        if met[kind] > 1:
            return None
        if kind == "POST batches False":  # the batch is made, and nobody is told
            server.serve("POST", "/v1/batches", {}, json.dumps(creation()).encode())
            return Action(reset=True)
        return Action(503, b"<html>down</html>")

    def creation() -> dict[str, Any]:
        key = next(iter(catalogue.batches.unfinished(1, 1))).key
        (file_id,) = server.files
        return {
            "input_file_id": file_id,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"headscribe": key},
        }

    server.refuse = refuse
    result = describe(catalogue, tiny_llama)
    assert (result.new, result.stopped, len(server.batches)) == (12, None, 1)
    assert len(met) >= 4
    assert_paid_once(catalogue, tiny_llama, server)


def test_a_server_that_goes_down_while_a_batch_waits(
    catalogue: Catalogue, tiny_llama: Path, server: FakeBatches
) -> None:
    server.refuse = lambda method, path: Action(500, b"") if method == "GET" else None
    result = describe(catalogue, tiny_llama)
    assert "did not answer after all tries (server_error" in result.stopped
    assert (result.batches, len(result.missing)) == (["batch_0"], 12)
    server.refuse = lambda method, path: None
    assert describe(catalogue, tiny_llama).missing == []
    assert len(server.batches) == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "refused the API key"),
        (404, "has no Batch API"),
        (405, "has no Batch API"),
        (400, "refused the batch: .*no"),
        (403, "does not allow"),
    ],
)
def test_a_server_that_takes_no_batches_is_one_line(
    status: int, message: str, catalogue: Catalogue, tiny_llama: Path, server: FakeBatches
) -> None:
    server.refuse = lambda method, path: Action(status, {"error": {"message": f"no {KEY}\nat all"}})
    with pytest.raises(LLMError, match=message) as raised:
        describe(catalogue, tiny_llama)
    assert KEY not in "".join(traceback.format_exception(raised.value))
    assert "\n" not in str(raised.value)
    server.refuse = lambda method, path: None
    assert describe(catalogue, tiny_llama).new == 12
    assert len(server.batches) == 1


def test_what_has_no_batches(tiny_llama: Path, tmp_path: Path, headscribe: Callable[..., Any]) -> None:
    for llm in ("statistics", "gguf:demo"):
        done = headscribe("describe", tiny_llama, "--llm", llm, "--placebos", 0, "--batch")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "Batch API" in done.stderr
    assert not (tmp_path / "catalogue.db").exists()


def test_the_command_line(place: Path, tiny_llama: Path, server: FakeBatches, headscribe: Callable[..., Any]) -> None:
    """Plan, submit without waiting, collect, report; the key is nowhere, though the server gives it back."""
    named = ("describe", tiny_llama, "--llm", "openai:fake-1", "--placebos", "0", "--batch")
    priced = ("--price-in", "1", "--price-out", "10")
    server.refuse = lambda method, path: Action(401, {"error": {"message": f"Incorrect API key: {KEY}"}})
    wrong = headscribe(*named, "-q", **server.environment)
    assert (wrong.returncode, wrong.stderr.count("\n"), KEY in wrong.stderr) == (2, 1, False)
    assert "refused the API key" in wrong.stderr
    server.refuse = lambda method, path: None
    server.log.clear()
    dry = headscribe(*named, *priced, "--dry-run", **server.environment)
    assert "up to 24 hours" in dry.stdout
    assert "$0.5 in, $5 out" in dry.stdout
    direct, halved = (
        json.loads(headscribe(*command, *priced, "--dry-run", "--json", **server.environment).stdout)["money"]
        for command in (named[:-1], named)
    )
    assert halved == pytest.approx(direct / 2)
    assert set(server.log) <= {"POST /tokenize"}, "nothing but tokens was asked for"
    server.fate = lambda number: Fate(looks=1)
    server.misbehave = lambda call: (
        Action(400, {"error": {"message": f"your key {KEY}"}})
        if call.number == 0
        else Action(body=completion(json.dumps(right_answer(call) | {"reasoning": KEY})) | {"model": KEY})
    )
    quick = ("--poll", "0.01", "-q", *priced)
    submitted = headscribe(*named, *quick, "--no-wait", **server.environment)
    assert submitted.returncode == 1
    assert "waiting for batch_0; 12 heads are missing" in submitted.stderr
    refused = headscribe(*named[:-1], **server.environment)
    assert refused.returncode == 2
    assert "--batch collects it" in refused.stderr
    done = headscribe(*named, *quick, **server.environment)
    assert done.returncode == 0, done.stderr
    report = headscribe("describe", tiny_llama, "--report", "--json")
    shown = headscribe("describe", tiny_llama, "--report")
    assert "ok (batch)" in shown.stdout
    assert f"{12 * COST:.4f}" in shown.stdout
    files = [path.read_bytes().decode("latin-1") for path in place.parent.glob("catalogue.db*")]
    assert not any(KEY in text for text in (done.stderr, report.stdout, shown.stdout, *files))
    assert "***" in report.stdout


# -- killed, interrupted -------------------------------------------------------------------------------------------


@pytest.fixture
def begin(start: Callable[..., Process], tiny_llama: Path, place: Path, server: FakeBatches) -> Callable[..., Process]:
    """Begin to describe the tiny Llama in a batch, after other code."""
    named = (
        "describe",
        tiny_llama,
        "--llm",
        "openai:fake-1",
        "--placebos",
        "0",
        "--catalog",
        place,
        "--batch",
        "--poll",
        "0.05",
    )
    priced = ("-q", "--price-in", "1", "--price-out", "10")

    def begin(code: str = "") -> Process:
        program = f"{code}\nfrom app.main import run\nrun()"
        environment = {**os.environ, **server.environment}
        return start("-c", program, *named, *priced, env=environment, stderr=subprocess.PIPE)

    return begin


KILL_AT_THE_FIFTH_CALL = """
import os, signal
from describe.catalog.batches import BatchStore
entered, enter = [], BatchStore.enter
def counted(self, *what):
    entered.append(enter(self, *what))
    if len(entered) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return entered[-1]
BatchStore.enter = counted
"""


@pytest.mark.parametrize(
    "moment", ["after upload", "before create", "after create", "while polling", "while collecting", "in repair"]
)
def test_killed_at_any_moment_nothing_is_lost_or_paid_twice(
    moment: str, place: Path, tiny_llama: Path, server: FakeBatches, begin: Callable[..., Process]
) -> None:
    """`kill -9` of the process at moments that the server knows of; then the same command."""
    victim: list[Process] = []
    point = {
        "after upload": ("POST", "/v1/files", 0, "after"),
        "before create": ("POST", "/v1/batches", 0, "before"),
        "after create": ("POST", "/v1/batches", 0, "after"),
        "while polling": ("GET", "/v1/batches/batch_0", 1, "after"),
        "in repair": ("POST", "/v1/batches", 1, "after"),
    }.get(moment)
    met: Counter[tuple[str, str, str]] = Counter()

    def met_at(when: str) -> Callable[[str, str], Any]:
        def look(method: str, path: str) -> Action | None:
            if point and victim and (method, path, when) == (*point[:2], point[3]):
                met[method, path, when] += 1
                if met[method, path, when] == point[2] + 1:
                    victim[0].kill()
                    victim[0].wait()
                    if when == "before":
                        return Action(reset=True)
            return None

        return look

    server.refuse, server.after = met_at("before"), met_at("after")
    server.fate = lambda number: Fate(looks=2)
    server.misbehave = lambda call: (
        Action(body=completion("no JSON")) if call.number in (3, 9) and len(call.request["messages"]) == 1 else None
    )
    victim.append(begin(KILL_AT_THE_FIFTH_CALL if moment == "while collecting" else ""))
    assert victim[0].wait(60) == -signal.SIGKILL
    victim.clear()
    again = begin()
    _, complaint = again.communicate(timeout=60)
    assert again.returncode == 0, complaint
    with Catalogue(str(place)) as catalogue:
        assert_all_right(catalogue, tiny_llama)
        assert_paid_once(catalogue, tiny_llama, server)
        assert len(calls(catalogue, tiny_llama)) == len(server.answered) == 14
        assert catalogue.batches.unfinished(1, 1) == []
    assert len(server.batches) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_the_batch_to_be_collected(
    number: signal.Signals, place: Path, tiny_llama: Path, server: FakeBatches, begin: Callable[..., Process]
) -> None:
    server.fate = lambda number: Fate(looks=1_000_000)
    process = begin()
    while server.log.count("GET /v1/batches/batch_0") < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, complaint = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "batch_0 goes on at the server, run the same command again" in complaint
    assert complaint.count("\n") == 1
    server._fates["batch_0"].looks = 0
    assert begin().wait(60) == 0
    assert len(server.batches) == 1
    with Catalogue(str(place)) as catalogue:
        assert_all_right(catalogue, tiny_llama)
        assert_paid_once(catalogue, tiny_llama, server)


def test_two_processes_at_once_submit_and_enter_everything_once(
    place: Path, tiny_llama: Path, server: FakeBatches, begin: Callable[..., Process]
) -> None:
    server.fate = lambda number: Fate(looks=10)
    processes = [begin() for _ in range(2)]
    codes = [process.wait(60) for process in processes]
    assert set(codes) <= {0, 1}
    assert begin().wait(60) == 0
    with Catalogue(str(place)) as catalogue:
        assert_all_right(catalogue, tiny_llama)
        assert_paid_once(catalogue, tiny_llama, server)
