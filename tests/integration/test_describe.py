"""Describing over real HTTP, with real processes: misbehaving servers, kill -9, Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import CatalogueError, LLMError
from describe.llm import Request, parse_llm
from describe.text import quoted
from tests.fake_llm import Action, Call, FakeLLM, completion, right_answer
from tests.heads import head_record, head_records
from tests.warm import Process

QUICK = Request(timeout=30.0, attempts=4, longest_wait=0.05)


def describe(
    catalogue: Catalogue, model: Path, server: FakeLLM, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> Any:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    options = {"request": QUICK, "device": "cpu"} | options
    return pipeline.describe(catalogue, str(model), parse_llm("openai:fake-1"), **options)


def records(catalogue: Catalogue, model: Path) -> dict[str, dict[str, Any]]:
    info, extraction_id = pipeline.find(catalogue, str(model))
    return {f"{r['layer']}.{r['head']}": r for r in head_records(catalogue, info, extraction_id)}


def assert_right(record: dict[str, Any]) -> None:
    """The one description of the head is that of this very head."""
    (found,) = record["descriptions"]
    row = record["salient"][0]
    assert found["failure"] is None
    assert found["inputs"] == " ".join(f"tokens like {quoted(row['token'])}".split())
    targets = ", ".join(quoted(target["token"]) for target in row["targets"])
    assert found["pattern"] == " ".join(f"does {quoted(row['token'])} -> {targets}".split())


def test_each_head_gets_its_own_description(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        fake_llm.misbehave = lambda call: Action(delay=0.05, body=completion(json.dumps(right_answer(call))))
        result = describe(catalogue, tiny_llama, fake_llm, monkeypatch, concurrency=4)
        assert (result.new, result.failures, result.missing) == (12, {}, [])
        assert 2 <= fake_llm.most_at_once <= 4
        found = records(catalogue, tiny_llama)
        assert len(found) == 12
        for record in found.values():
            assert_right(record)
        again = describe(catalogue, tiny_llama, fake_llm, monkeypatch)
        assert (again.new, len(fake_llm.calls)) == (0, 12)
        provenance = found["0.0"]["descriptions"][0]["provenance"]
        assert provenance["settings"]["endpoint"] == fake_llm.url
        assert provenance["usage"]["tokens_in"] == 100


def test_a_misbehaving_server_leaves_right_descriptions_and_honest_failures(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each head meets one misbehaviour; those that pass end well, those that do not end as a failure of that kind."""
    ok = Action()
    fence = "Let me see.\n```json\n{}\n```"
    scripts: list[tuple[str | None, list[Action | str]]] = [
        (None, [Action(429, {"error": {"message": "slow down"}}, {"Retry-After": "0.01"}), ok]),
        (None, [Action(500, {"error": {"message": "oops"}}), Action(503, b"<html>down</html>"), ok]),
        (None, [Action(200, b"garbage, not JSON"), ok]),
        ("empty", [Action(200, completion(None) | {"choices": []})]),
        ("refusal", [Action(200, completion(None, refusal="I must not"))]),
        ("refusal", [Action(200, completion("I'm sorry, but I can't help with that."))] * 2),
        ("truncated", [Action(200, completion('{"reasoning": "aa', finish_reason="length"))]),
        ("timeout", [Action(delay=2.5)] * 4),
        (None, [Action(reset=True), ok]),
        (None, ["fenced"]),
        ("invalid", [Action(200, completion('{"pattern": "no inputs"}')), Action(200, completion("still wrong"))]),
        (None, [Action(200, completion("no JSON at all")), ok]),
    ]
    order: dict[str, int] = {}
    met: Counter[str] = Counter()

    def misbehave(call: Call) -> Action | None:
        position = order.setdefault(call.prompt, len(order))
        step = met[call.prompt]
        met[call.prompt] += 1
        steps = scripts[position][1]
        action = steps[min(step, len(steps) - 1)]
        if action == "fenced":
            return Action(body=completion(fence.format(json.dumps(right_answer(call)))))
        assert isinstance(action, Action)
        return None if action is ok else action

    fake_llm.misbehave = misbehave
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        asked = {"concurrency": 1, "request": replace(QUICK, timeout=2.0)}
        result = describe(catalogue, tiny_llama, fake_llm, monkeypatch, **asked)
        found = records(catalogue, tiny_llama)
        assert len(found) == len(scripts)
        for (cause, _), record in zip(scripts, found.values(), strict=True):
            if cause is None:
                assert_right(record)
            else:
                (failed,) = record["descriptions"]
                assert (failed["failure"], failed["pattern"], failed["unclear"]) == (cause, None, False)
        assert sorted(result.failures.values()) == sorted(cause for cause, _ in scripts if cause)

        fake_llm.misbehave = lambda call: None
        before = len(fake_llm.calls)
        assert describe(catalogue, tiny_llama, fake_llm, monkeypatch).new == 0, "failures are not asked again unasked"
        mended = describe(catalogue, tiny_llama, fake_llm, monkeypatch, retry_failed=True)
        assert (mended.new, mended.failures, len(fake_llm.calls) - before) == (6, {}, 6)
        for record in records(catalogue, tiny_llama).values():
            assert_right(record)


def test_unclear_is_an_answer(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"reasoning": "none", "kind": "nothing", "groups": [], "inputs": "Unclear.", "pattern": "unclear"}
    fake_llm.misbehave = lambda call: Action(body=completion(json.dumps(answer)))
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        assert describe(catalogue, tiny_llama, fake_llm, monkeypatch, heads="1.2").failures == {}
        (found,) = records(catalogue, tiny_llama)["1.2"]["descriptions"]
        assert (found["pattern"], found["inputs"], found["unclear"]) == ("Unclear", "Unclear", True)
        describe(catalogue, tiny_llama, fake_llm, monkeypatch, heads="1.2", retry_failed=True)
        assert len(fake_llm.calls) == 1


def test_a_server_that_refuses_parameters_is_asked_without_them(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(call: Call) -> Action | None:
        for name in ("max_completion_tokens", "temperature", "response_format"):
            if name in call.request:
                return Action(400, {"error": {"message": f"Unsupported parameter: '{name}'", "param": name}})
        return None

    fake_llm.misbehave = picky
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        assert describe(catalogue, tiny_llama, fake_llm, monkeypatch, concurrency=1).failures == {}
        assert len(fake_llm.calls) == 12 + 3, "what was refused once is not tried again"
        assert fake_llm.calls[-1].request["max_tokens"] == QUICK.max_tokens
        usage = records(catalogue, tiny_llama)["2.3"]["descriptions"][0]["provenance"]["usage"]
        assert usage["omitted"] == ["max_completion_tokens", "response_format", "temperature"]


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "invalid_api_key", "refused the API key"),
        (404, "model_not_found", "no model"),
        (429, "insufficient_quota", "credit"),
    ],
)
def test_what_no_call_can_mend_stops_the_run_at_once(
    status: int,
    code: str,
    expected: str,
    tmp_path: Path,
    tiny_llama: Path,
    fake_llm: FakeLLM,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = {"message": "Incorrect API key provided: sk-test-very-secret", "code": code}
    fake_llm.misbehave = lambda call: Action(status, {"error": error})
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        with pytest.raises(LLMError, match=expected) as raised:
            describe(catalogue, tiny_llama, fake_llm, monkeypatch, concurrency=1)
        assert "very-secret" not in str(raised.value)
        assert len(fake_llm.calls) == 1
        assert all(not record["descriptions"] for record in records(catalogue, tiny_llama).values())


def test_a_server_that_is_not_there_stops_the_run(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-very-secret")
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        with pytest.raises(LLMError, match=r"127\.0\.0\.1:9/v1/? cannot be reached.*tried 4 times"):
            pipeline.describe(catalogue, str(tiny_llama), parse_llm("openai:f"), request=QUICK, device="cpu")
        assert all(not record["descriptions"] for record in records(catalogue, tiny_llama).values())


@pytest.fixture
def begin(start: Callable[..., Process], tiny_llama: Path, fake_llm: FakeLLM, tmp_path: Path) -> Callable[[], Process]:
    """Begin to describe the tiny Llama into ``c.db``."""
    environment = {**os.environ, **fake_llm.environment, "HEADSCRIBE_CATALOG": str(tmp_path / "c.db")}
    arguments = ("describe", tiny_llama, "--llm", "openai:fake-1", "--placebos", "0", "--concurrency", "2")
    return lambda: start(*arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_kill_9_and_again(tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, begin: Callable[[], Process]) -> None:
    """Killed at three moments: in the end no head is there twice, none is missing, none committed was paid again."""
    place = tmp_path / "c.db"
    fake_llm.misbehave = lambda call: Action(delay=0.1, body=completion(json.dumps(right_answer(call))))
    committed: set[str] = set()
    asked_after_commit: list[str] = []
    for moment in (2, 5, 8):
        process = begin()
        wait_for(lambda moment=moment, process=process: len(fake_llm.answered) >= moment or process.poll() is not None)  # type: ignore[misc]
        process.kill()
        assert process.wait() == -signal.SIGKILL
        with Catalogue(str(place)) as catalogue:
            found = records(catalogue, tiny_llama)
            done = {name for name, record in found.items() if record["descriptions"]}
            calls = pipeline.report(catalogue, str(tiny_llama))["calls"]
            paid = {f"{call['layer']}.{call['head']}" for call in calls if call["outcome"] == "ok"}
        assert committed <= done <= paid
        committed = done
        seen = len(fake_llm.calls)
    process = begin()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    asked_after_commit = [call.prompt for call in fake_llm.calls[seen:]]
    with Catalogue(str(place)) as catalogue:
        found = records(catalogue, tiny_llama)
    assert len(found) == 12
    for record in found.values():
        assert_right(record)
    assert len(asked_after_commit) == 12 - len(paid), "what was answered and committed is not asked again"
    assert len(set(asked_after_commit)) == len(asked_after_commit)


def test_ctrl_c_ends_soon_and_keeps_what_came_in(tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM) -> None:
    """Calls in flight come in if they are quick; the ones that hang do not hold the process."""
    hang = Action(delay=20, body=completion("{}"))
    fake_llm.misbehave = lambda call: hang if call.number >= 4 else None
    process = subprocess.Popen(  # of its own: how long its end takes is what is asked
        [
            *(sys.executable, "-m", "app", "describe", str(tiny_llama), "--llm", "openai:fake-1"),
            *("--placebos", "0", "--concurrency", "2"),
        ],
        env={**os.environ, **fake_llm.environment, "HEADSCRIBE_CATALOG": str(tmp_path / "c.db")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len(fake_llm.calls) >= 6 or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - started < 2
    assert process.returncode == 130
    assert "8 heads are missing" in errors
    with Catalogue(str(tmp_path / "c.db")) as catalogue:
        described = [record for record in records(catalogue, tiny_llama).values() if record["descriptions"]]
        calls = pipeline.report(catalogue, str(tiny_llama))["calls"]
    assert len(described) == 4
    for record in described:
        assert_right(record)
    assert len(calls) == len(fake_llm.calls)
    given_up = [call for call in calls if call["outcome"] == "lost"]
    assert len(given_up) == len(calls) - 4 > 0, "what was in the air may be billed"


def test_two_runs_at_once_do_not_pay_twice(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second ends with one line while the first is at work; another prompt is another work."""
    fake_llm.misbehave = lambda call: Action(delay=0.3, body=completion(json.dumps(right_answer(call))))
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue, ThreadPoolExecutor(1) as thread:
        first = thread.submit(describe, catalogue, tiny_llama, fake_llm, monkeypatch, concurrency=4)
        while not fake_llm.calls:
            time.sleep(0.01)
        with Catalogue(str(tmp_path / "c.db")) as other:
            with pytest.raises(CatalogueError, match="another run is describing these heads by openai:fake-1"):
                describe(other, tiny_llama, fake_llm, monkeypatch)
            assert describe(other, tiny_llama, fake_llm, monkeypatch, heads="0.0", prompt="suppression-1").new == 1
        assert first.result().new == 12
        assert len(fake_llm.calls) == 13
        assert describe(catalogue, tiny_llama, fake_llm, monkeypatch).new == 0
    assert not list(tmp_path.glob("*.lock"))


def test_a_gguf_file_is_served_on_this_machine(demo: str, tmp_path: Path) -> None:
    """The demo model describes a head of its own through llama.cpp, or fails with a cause; either is one outcome."""
    pytest.importorskip("xllamacpp", reason="needs llama.cpp: pip install 'headscribe[gguf]'")
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        request = Request(max_tokens=400, timeout=300)
        result = pipeline.describe(
            *(catalogue, demo, parse_llm("gguf:demo")),
            request=request,
            heads="25.0",
            reading="paper",
            prompt="salient-1",
            concurrency=1,
        )
        assert result.new == 1
        (found,) = head_record(catalogue, demo, result.heads[0])["descriptions"]
        assert found["llm"] == "gguf:demo"
        assert found["failure"] in (None, "invalid", "truncated"), found
        assert (found["failure"] is None) == bool(found["pattern"])
        assert found["provenance"]["usage"]["tokens_in"] > 500


def test_describing_works_where_a_loop_runs_already(
    tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook."""

    async def cell() -> Any:
        with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
            return describe(catalogue, tiny_llama, fake_llm, monkeypatch, heads="0")

    with ThreadPoolExecutor(1) as thread:  # whatever loop this thread may have
        result = thread.submit(asyncio.run, cell()).result()
    assert (result.new, result.failures) == (4, {})
