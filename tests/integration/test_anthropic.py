"""``anthropic:MODEL`` over real HTTP: what is sent, what comes of every answer, money and keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import InputError, LLMError
from describe.llm import Request, parse_llm
from describe.pipeline import Batching, Limits
from describe.providers import PROVIDERS
from tests.fake_anthropic import KEY, FakeAnthropic, error, message
from tests.fake_llm import Action, right_answer
from tests.integration.test_describe import assert_right, records

pytest.importorskip("anthropic", reason="pip install 'headscribe[anthropic]'")

LLM = parse_llm("anthropic:claude-fake-1")
QUICK = Request(timeout=5.0, attempts=3, longest_wait=0.05, max_tokens=64)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as started:
        for name, value in started.environment.items():
            monkeypatch.setenv(name, value)
        yield started


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue(str(tmp_path / "catalogue.db"), create=True) as opened:
        yield opened


def describe(catalogue: Catalogue, model: Path, **options: Any) -> pipeline.DescribeResult:
    options = {"request": QUICK, "heads": "0", "prompt": "salient-1", "device": "cpu"} | options
    return pipeline.describe(catalogue, str(model), LLM, **options)


def test_heads_are_described(catalogue: Catalogue, tiny_llama: Path, server: FakeAnthropic) -> None:
    """By the schema, with the key in its header, every call in the ledger with its tokens and money."""
    prices = Limits(price_in=1.0, price_out=10.0, budget=1.0)
    result = describe(catalogue, tiny_llama, limits=prices)
    assert (result.new, result.failures, result.missing) == (4, {}, [])
    assert result.spent == pytest.approx(4 * (100 * 1.0 + 20 * 10.0) / 1e6)
    for record in records(catalogue, tiny_llama).values():
        assert_right(record)
    call = server.calls[0]
    headers = {name.lower(): value for name, value in call.headers.items()}
    assert KEY in headers.get("x-api-key", headers.get("authorization", ""))
    assert headers["anthropic-version"]
    assert set(call.request) == {"model", "messages", "max_tokens", "temperature", "output_config"}
    schema = call.request["output_config"]["format"]["schema"]
    assert set(schema["required"]) == set(schema["properties"]) == {"reasoning", "inputs", "pattern"}
    assert schema["additionalProperties"] is False
    assert "maxLength" not in json.dumps({name: 0 for part in schema["properties"].values() for name in part})
    (row,) = pipeline.report(catalogue, str(tiny_llama))["summary"]
    assert (row["llm"], row["calls"], row["tokens_in"], row["tokens_out"]) == (str(LLM), 4, 400, 80)
    assert row["endpoint"] == server.url
    made_by = records(catalogue, tiny_llama)["0.0"]["descriptions"][0]["provenance"]["versions"]
    assert "anthropic" in made_by
    assert "openai" not in made_by
    asked = len(server.calls)
    assert describe(catalogue, tiny_llama).new == 0
    assert len(server.calls) == asked, "nothing is asked twice"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (message("I will not.", stop_reason="refusal"), "refusal"),
        (message("{", stop_reason="max_tokens"), "truncated"),
        (message("{", stop_reason="model_context_window_exceeded"), "truncated"),
        (message(None), "empty"),
        ({"type": "message", "content": 3, "stop_reason": "end_turn"}, "server_error"),
        (error(400, "invalid_request_error", "messages: too odd"), "bad_request"),
        (error(413, "request_too_large", "too large"), "bad_request"),
        (error(500, "api_error", "Internal server error"), "server_error"),
    ],
)
def test_what_is_no_answer_is_a_failure_with_its_cause(
    answer: Any, cause: str, catalogue: Catalogue, tiny_llama: Path, server: FakeAnthropic
) -> None:
    server.misbehave = lambda call: answer if isinstance(answer, Action) else Action(body=answer)
    result = describe(catalogue, tiny_llama, heads="0.0")
    assert list(result.failures.values()) == [cause]


@pytest.mark.parametrize(
    "refused",
    [
        error(429, "rate_limit_error", "too often", retry_after="0"),
        error(529, "overloaded_error", "Overloaded"),
        error(503, "api_error", "down"),
        Action(reset=True),
    ],
)
def test_what_passes_is_tried_again(
    refused: Action, catalogue: Catalogue, tiny_llama: Path, server: FakeAnthropic
) -> None:
    server.misbehave = lambda call: refused if call.number == 0 else None
    assert describe(catalogue, tiny_llama, heads="0.0").failures == {}
    assert len(server.calls) == 2


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            error(401, "authentication_error", f"invalid x-api-key {KEY}"),
            "refused the API key: check ANTHROPIC_API_KEY",
        ),
        (error(404, "not_found_error", "model: claude-fake-1"), "has no model 'claude-fake-1'"),
        (error(403, "permission_error", "not for you"), "does not allow the use of 'claude-fake-1'"),
        (error(402, "billing_error", "no credit"), "has no credit left"),
    ],
)
def test_what_no_call_can_mend_ends_the_run(
    answer: Action, line: str, catalogue: Catalogue, tiny_llama: Path, server: FakeAnthropic
) -> None:
    server.misbehave = lambda call: answer
    with pytest.raises(LLMError, match=line) as raised:
        describe(catalogue, tiny_llama)
    assert KEY not in str(raised.value)


def test_parameters_that_a_model_refuses_are_left_out(
    catalogue: Catalogue, tiny_llama: Path, server: FakeAnthropic
) -> None:
    """Newer models take no temperature, older ones no schema: the prompt asks for JSON anyway."""

    def answer(call: Any) -> Action | None:
        for name in ("temperature", "output_config"):
            if name in call.request:
                return error(400, "invalid_request_error", f"`{name}` is not supported by this model")
        return Action(body=message(f"Here it is: {json.dumps(right_answer(call))}"))

    server.misbehave = answer
    assert describe(catalogue, tiny_llama, concurrency=1).failures == {}
    assert len(server.calls) == 2 + 4


def test_the_key_is_nowhere(
    tmp_path: Path, tiny_llama: Path, server: FakeAnthropic, headscribe: Callable[..., Any]
) -> None:
    """Though the server gives it back in a reply and in an error; and cached tokens count."""
    server.misbehave = lambda call: (
        error(400, "invalid_request_error", f"your key {KEY} is odd")
        if call.number == 0
        else Action(
            body=message(json.dumps(right_answer(call) | {"reasoning": KEY}), cache_read_input_tokens=50)
            | {"model": KEY}
        )
    )
    named = ("describe", tiny_llama, "--llm", str(LLM), "--heads", "0", "--placebos", "0", "--concurrency", "1")
    done = headscribe(*named, **server.environment)
    report = headscribe("describe", tiny_llama, "--report", "--json")
    assert (done.returncode, report.returncode) == (0, 0), done.stderr + report.stderr
    assert max(call["tokens_in"] or 0 for call in json.loads(report.stdout)["calls"]) == 150
    files = [path.read_bytes().decode("latin-1") for path in tmp_path.glob("catalogue.db*")]
    assert files
    assert not any(KEY in text for text in (done.stdout, done.stderr, report.stdout, *files))


def test_what_it_cannot_do_is_one_line(
    catalogue: Catalogue, tiny_llama: Path, server: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options, line in (
        ({"batch": Batching()}, "--batch needs a server with OpenAI's Batch API"),
        ({"prompt": "completion-1"}, "is asked in chats"),
    ):
        with pytest.raises(InputError, match=line):
            describe(catalogue, tiny_llama, **options)
    monkeypatch.delenv("ANTHROPIC_BASE_URL")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(LLMError, match="ANTHROPIC_API_KEY is not set"):
        describe(catalogue, tiny_llama)
    assert server.calls == []


def test_a_dry_run_asks_nobody(catalogue: Catalogue, tiny_llama: Path, server: FakeAnthropic) -> None:
    pipeline.extract(catalogue, str(tiny_llama), heads="0", device="cpu")
    planned = pipeline.plan(catalogue, str(tiny_llama), LLM, request=QUICK, heads="0")
    assert (planned.calls, planned.counted, server.calls) == (4, False, [])


def test_who_costs_money_says_so() -> None:
    assert {row.name for row in PROVIDERS.values() if row.paid} == {"openai", "anthropic"}
    assert all(row.key for row in PROVIDERS.values() if row.paid)
