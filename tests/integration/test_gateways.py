"""Servers and gateways as they are: the answer is where they put it, a complaint is read in whatever form it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from describe.errors import CallError, LLMError
from describe.llm import ChatClient, Oversight, Pacer, Purse, Reply, Request, Wire
from describe.llm.asking import Message
from tests.fake_llm import Action, Call, FakeLLM, completion

SCHEMA = {"type": "object"}
ANSWER = json.dumps({"reasoning": "r", "inputs": "i", "pattern": "p"})
QUICK = Request(attempts=2, longest_wait=0.01, timeout=20)

Came = Reply | Exception


@pytest.fixture
def server() -> Iterator[FakeLLM]:
    with FakeLLM() as fake:
        fake.misbehave = lambda call: Action(body=completion(ANSWER))
        yield fake


def asked(server: FakeLLM, *prompts: str, query: str = "") -> tuple[list[Came], Wire]:
    """The outcome of each prompt, asked one after the other by one client."""
    wire = Wire("m", "here", QUICK)

    async def talk() -> list[Came]:
        client = ChatClient(wire, server.url + query, "none", Oversight(Pacer(1), Purse()))
        came: list[Came] = []
        for prompt in prompts:
            message: Message = {"role": "user", "content": prompt}
            try:
                came.append(await client.ask([message], SCHEMA))
            except (CallError, LLMError) as error:
                came.append(error)
        await client.close()
        return came

    return asyncio.run(talk()), wire


def only(server: FakeLLM, query: str = "") -> Came:
    (came,), _ = asked(server, "a", query=query)
    return came


def where(**message: object) -> dict[str, Any]:
    """A completion whose message has these fields."""
    body = completion("")
    body["choices"][0]["message"] |= message
    return body


PLACES = {
    "reasoning_content": where(reasoning_content=ANSWER),
    "reasoning": where(content=None, reasoning=f"```json\n{ANSWER}\n```"),
    "parts": where(
        content=[
            {"type": "thinking", "thinking": [{"type": "text", "text": "{"}]},
            {"type": "text", "text": ANSWER},
        ]
    ),
    "parts without a type": where(content=[{"text": ANSWER}]),
    "parts that are text": where(content=[ANSWER[:9], ANSWER[9:]]),
    "one part": where(content={"type": "text", "text": ANSWER}),
    "a function's arguments": where(
        content=None, tool_calls=[{"type": "function", "function": {"name": "answer", "arguments": ANSWER}}]
    ),
    "thinking": where(thinking=ANSWER),
    "a chunk": {"choices": [{"delta": {"content": ANSWER}, "finish_reason": "stop"}]},
}


@pytest.mark.parametrize("place", PLACES)
def test_the_answer_is_where_the_server_puts_it(place: str, server: FakeLLM) -> None:
    server.misbehave = lambda call: Action(body=PLACES[place])
    came = only(server)
    assert isinstance(came, Reply)
    assert json.loads(came.text.strip("`json\n"))["pattern"] == "p"


def test_thinking_without_an_answer_is_none(server: FakeLLM) -> None:
    server.misbehave = lambda call: Action(body=where(reasoning_content="I wonder {about} it"))
    came = only(server)
    assert isinstance(came, CallError)
    assert (came.cause, str(came)) == ("empty", "the reply holds no text, but 19 characters of reasoning")


def place_of(name: str) -> list[dict[str, object]]:
    return [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}]


FORMS: dict[str, Callable[[str], Action]] = {
    "openai": lambda name: Action(400, {"error": {"message": f"Unknown parameter: {name}", "param": name}}),
    "mistral": lambda name: Action(422, {"object": "error", "message": {"detail": place_of(name)}}),
    "fastapi": lambda name: Action(422, {"detail": place_of(name)}),
    "gemini": lambda name: Action(400, [{"error": {"code": 400, "message": f"Unknown name {name}"}}]),
    "tgi": lambda name: Action(422, {"error": f"unknown field {name}", "error_type": "validation"}),
    "plain": lambda name: Action(400, f"unknown parameter: {name}".encode()),
    "inside a 200": lambda name: Action(200, {"error": {"message": f"unknown parameter {name}", "code": 400}}),
    "of the provider behind": lambda name: Action(
        400,
        {"error": {"message": "Provider error", "metadata": {"raw": json.dumps({"error": {"message": f"no {name}"}})}}},
    ),
    "while it fails": lambda name: Action(500, {"error": {"code": 500, "message": f"{name} must be text"}}),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_parameter_that_is_complained_of_is_left_out(form: str, server: FakeLLM) -> None:
    def misbehave(call: Call) -> Action | None:
        refused = [name for name in ("max_completion_tokens", "seed", "response_format") if name in call.request]
        return FORMS[form](refused[0]) if refused else Action(body=completion(ANSWER))

    server.misbehave = misbehave
    assert isinstance(only(server), Reply)
    assert "seed" not in server.calls[-1].request
    assert server.calls[-1].request["max_tokens"] == QUICK.max_tokens


CAUSES = {
    "rate limit inside a 200": (200, {"error": {"message": "Rate limit exceeded", "code": 429}}, "rate_limit"),
    "rate limit by its name": (200, [{"error": {"status": "RESOURCE_EXHAUSTED", "message": "quota"}}], "rate_limit"),
    "provider's failure in a choice": (
        200,
        {"choices": [{"error": {"code": 502, "message": "upstream"}, "finish_reason": "error"}]},
        "server_error",
    ),
    "failure in words": (200, {"detail": "the model is loading"}, "server_error"),
    "filter (Azure)": (
        400,
        {"error": {"message": "The response was filtered", "code": "content_filter", "param": "prompt"}},
        "refusal",
    ),
    "flagged (OpenAI)": (400, {"error": {"message": "Invalid prompt: flagged", "code": "invalid_prompt"}}, "refusal"),
    "moderation (OpenRouter)": (
        403,
        {"error": {"message": "m requires moderation; your input was flagged"}},
        "refusal",
    ),
    "filter in the reason (Gemini)": (
        200,
        completion(None, finish_reason="content_filter: PROHIBITED_CONTENT"),
        "refusal",
    ),
    "sensitive (GLM)": (200, completion("", finish_reason="sensitive"), "refusal"),
    "cut off (Gemini)": (200, completion('{"rea', finish_reason="MAX_TOKENS"), "truncated"),
    "cut off (Mistral)": (200, completion('{"rea', finish_reason="model_length"), "truncated"),
    "in a status of its own (MiniMax)": (
        200,
        {"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}},
        "rate_limit",
    ),
    "in words of its own (Baidu)": (
        200,
        {"error_code": 336000, "error_msg": "Internal error"},
        "server_error: Internal",
    ),
    "risk (DeepSeek)": (400, {"error": {"message": "Content Exists Risk"}}, "refusal"),
    "words are kept": (400, {"detail": "the planets are wrong"}, "bad_request: the planets are wrong"),
    "a page": (502, b"<html><style>p {}</style><h1>Bad Gateway</h1></html>", "server_error: Bad Gateway"),
}


@pytest.mark.parametrize("kind", CAUSES)
def test_what_a_complaint_comes_to(kind: str, server: FakeLLM) -> None:
    status, body, wanted = CAUSES[kind]
    server.misbehave = lambda call: Action(status, body)
    came = only(server)
    assert isinstance(came, CallError)
    cause, _, words = wanted.partition(": ")
    assert came.cause == cause
    assert words in str(came)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, {"error": {"message": "Insufficient Balance"}}),
        (402, b""),
        (200, {"error": {"code": 402, "message": "This request requires more credits"}}),
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
        (400, {"type": "error", "error": {"type": "billing_error", "message": "credit balance is too low"}}),
        (403, {"error": {"message": "user quota is not enough", "code": "insufficient_user_quota"}}),
        (500, {"error": {"message": "Sorry, your account balance is insufficient"}}),
        (400, {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."}),
        (429, {"error": "Your team has either used all available credits or reached its monthly spending limit."}),
        (200, {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
    ],
)
def test_no_credit_ends_the_run(status: int, body: object, server: FakeLLM) -> None:
    server.misbehave = lambda call: Action(status, body)
    came = only(server)
    assert isinstance(came, LLMError)
    assert "has no credit left" in str(came)
    assert len(server.calls) == 1


def test_a_guess_is_about_one_prompt(server: FakeLLM) -> None:
    server.misbehave = lambda call: Action(400, b"no") if call.prompt == "a" else Action(body=completion(ANSWER))
    (first, second), wire = asked(server, "a", "b")
    assert isinstance(first, CallError)
    assert isinstance(second, Reply)
    assert ["response_format" in call.request for call in server.calls] == [True, False, True]
    assert wire.refused == set()


def test_what_helped_twice_is_taken_for_known(server: FakeLLM) -> None:
    server.misbehave = lambda call: (
        Action(400, b"no") if "response_format" in call.request else Action(body=completion(ANSWER))
    )
    came, wire = asked(server, "a", "b", "c", "d")
    assert all(isinstance(each, Reply) for each in came)
    assert ["response_format" in call.request for call in server.calls] == [True, False, True, False, False, False]
    assert wire.refused == {"response_format"}


def test_words_about_a_length_blame_no_parameter(server: FakeLLM) -> None:
    words = "The maximum context length is 4096 tokens (2952 in the messages, 2048 in max_completion_tokens)"
    server.misbehave = lambda call: Action(400, {"error": {"message": words}})
    came = only(server)
    assert isinstance(came, CallError)
    assert (came.cause, len(server.calls)) == ("bad_request", 1)


def test_an_address_may_have_a_query(server: FakeLLM) -> None:
    assert isinstance(only(server, "?api-version=2024-10-21"), Reply)
