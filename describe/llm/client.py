"""One chat call, with retries: what every stage that asks an LLM goes through.

The client sends what the newest servers understand and learns what this server refuses: structured output, a seed,
a temperature, the newer name of the token limit. What it learned holds for all later calls of the run.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from describe.errors import CallError, LLMError
from describe.llm.asking import Message, Oversight, Reply, Request
from describe.llm.failures import REFUSABLE, TRANSIENT, refused_parameter, translate
from describe.llm.money import estimated_tokens, most_tokens
from describe.records import Call, HeadId

__all__ = ["ChatClient"]

TYPICAL_REPLY = 300
"""Tokens of a reply, until the server has said how many they were."""

_NO_SECRET = 8
"""Keys shorter than this, such as the "none" of a server without keys, are words that replies may well hold."""


class ChatClient:
    """Calls one model at one OpenAI-compatible endpoint.

    Args:
        model: the model's name at the endpoint.
        base_url: the endpoint; None for OpenAI's own.
        api_key: sent to the endpoint, and nowhere else; taken out of whatever comes back.
        request: how to ask.
        lengths: the endpoint enforces ``maxLength`` in a schema; OpenAI's own refuses a schema that has it.
        identity: what tells this LLM from others, as part of what makes two requests identical.
        oversight: pace, money and ledger of the run.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None,
        api_key: str,
        request: Request,
        *,
        lengths: bool = False,
        identity: Mapping[str, str] | None = None,
        oversight: Oversight | None = None,
    ) -> None:
        self.model = model
        self._api_key = api_key
        self._request = request
        self._lengths = lengths
        self._identity = dict(identity or {})
        self._run = oversight or Oversight()
        self._refused: set[str] = set()
        self._reached = False
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._client = openai.AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0, timeout=request.timeout)
        self._where = str(self._client.base_url.copy_with(userinfo=b"", query=None))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def ask(self, messages: list[Message], schema: dict[str, Any], head: HeadId | None = None) -> Reply:
        """One reply to a chat about a head, structured by a JSON schema where the server can.

        Rate limits, time-outs, broken connections and server failures are tried again, with growing random waits or
        as long as the server asks. An identical request that was answered before is not sent again. Raises `CallError`
        when no usable reply came, `LLMError` when none ever will, `RunEndedError` when there is no money left to ask.
        """
        started, tries = time.monotonic(), 0
        request_hash = self._hash(messages, schema)
        async with self._asking[request_hash]:  # who asks the same at the same time gets the same reply
            call = self._run.ledger.answered(head, request_hash) if self._run.ledger else None
            if call is None:
                call, tries = await self._persist(messages, schema, request_hash, head)
        if call.outcome != "ok":
            raise CallError(call.outcome, call.detail or "", reply=call.reply)
        usage = {name: getattr(call, name) for name in ("model", "request_id", "tokens_in", "tokens_out")}
        took = {"seconds": round(time.monotonic() - started, 3), "attempts": tries, "omitted": sorted(self._refused)}
        return Reply(call.reply or "", usage | took | ({} if tries else {"from_ledger": True}))

    async def _persist(
        self, messages: list[Message], schema: dict[str, Any], request_hash: str, head: HeadId | None
    ) -> tuple[Call, int]:
        """Call until there is an outcome that another try would not mend. Returns it, and the number of tries."""
        tries = 0
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, CallError) and error.cause in TRANSIENT),
            wait=self._wait,
            stop=stop_after_attempt(self._request.attempts),
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    tries += 1
                    call = await self._call(messages, schema, request_hash, head)
        except CallError as error:
            if error.cause != "connection" or self._reached:
                raise
            unreached = LLMError(f"{error} (tried {tries} times): is OPENAI_BASE_URL right, and the server up?")
        else:
            return call, tries
        raise unreached

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, CallError) else None
        if asked is not None:
            return min(asked, self._request.longest_wait)
        return wait_random_exponential(multiplier=0.5, max=self._request.longest_wait)(state)

    async def _call(
        self, messages: list[Message], schema: dict[str, Any], request_hash: str, head: HeadId | None
    ) -> Call:
        """One call, in its turn, paid and entered; a refused parameter is left out from now on and the call made again.

        Raises `CallError` for what another try may mend, `LLMError`, `RunEndedError`.
        """
        text = json.dumps([messages, schema], ensure_ascii=False)
        expected = estimated_tokens(text) + min(TYPICAL_REPLY, self._request.max_tokens)
        while True:
            reserved = await self._run.purse.reserve(most_tokens(text), self._request.max_tokens)
            cost = reserved  # whoever breaks off, or does not say what was used, may still send a bill
            try:
                async with self._run.pacer.turn(expected):
                    sent, started = self._parameters(schema), time.monotonic()
                    found, failure, unbilled = await self._send(messages, sent)
                call = self._entry(found, failure, request_hash, time.monotonic() - started)
                cost = 0.0 if unbilled else reserved if call.money is None else call.money
            finally:
                self._run.purse.settle(reserved, cost)
            if self._run.ledger:
                self._run.ledger.enter(head, call)
            if isinstance(failure, CallError) and failure.cause == "rate_limit":
                self._run.pacer.refused(started, failure.retry_after)
            elif failure is None:
                self._reached = True
                self._run.pacer.answered((call.tokens_in or 0) + (call.tokens_out or 0) - expected)
            if failure is None:
                return call
            mendable = isinstance(failure, CallError) and failure.cause == "bad_request"
            refused = refused_parameter(str(failure).lower(), sent) if mendable else None
            if refused is None:
                raise failure
            self._refused.add(refused)

    async def _send(
        self, messages: list[Message], sent: dict[str, Any]
    ) -> tuple[Any, CallError | LLMError | None, bool]:
        """Send one request. Returns the completion, or None with what went wrong, and whether it was surely free.

        What went wrong is returned, not raised: an exception raised here would carry the server's own words with it.
        """
        try:
            raw = await self._client.chat.completions.with_raw_response.create(
                model=self.model, messages=cast(Any, messages), **sent
            )
        except openai.OpenAIError as error:
            failed = translate(error, self._first_line(error), self._where, self.model, self._request.timeout)
            if not isinstance(error, openai.APIStatusError):
                return None, failed, False
            self._run.pacer.heard(error.response.headers)
            return None, failed, True
        self._run.pacer.heard(raw.headers)
        try:
            completion = raw.parse()
        except ValueError:  # a body that is no JSON
            completion = None
        if not getattr(completion, "choices", None) and not hasattr(completion, "usage"):
            reply = self._bare(raw.text[:2000])
            return None, CallError("server_error", "the server's answer is no chat completion", reply=reply), False
        return completion, None, False

    def _entry(self, found: Any, failure: Exception | None, request_hash: str, seconds: float) -> Call:
        """The ledger's entry of one call, without the key wherever the server may have put it."""
        call = Call(request_hash, "ok", round(seconds, 4))
        if failure is not None:
            cause, reply = (failure.cause, failure.reply) if isinstance(failure, CallError) else ("bad_request", None)
            return replace(call, outcome=cause, detail=str(failure), reply=reply)
        outcome, detail, reply = _judged(found)
        used = found.usage
        tokens_in, tokens_out = (used.prompt_tokens, used.completion_tokens) if used else (None, None)
        return replace(
            call,
            outcome=outcome,
            detail=detail,
            reply=self._bare(reply),
            model=self._bare(found.model),
            request_id=self._bare(found._request_id or found.id)[:256],
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            tokens_reasoning=getattr(used and used.completion_tokens_details, "reasoning_tokens", None),
            money=self._run.purse.cost(tokens_in, tokens_out),
        )

    def _hash(self, messages: list[Message], schema: dict[str, Any]) -> str:
        """SHA-256 of whom is asked what and how: the same for identical requests, whatever a server refuses of them."""
        asked = [self._identity, self.model, messages, self._request.provenance(), schema, self._lengths]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def _parameters(self, schema: dict[str, Any]) -> dict[str, Any]:
        shape = schema if self._lengths else _without_lengths(schema)
        wanted: dict[str, Any] = {
            "max_completion_tokens": self._request.max_tokens,
            "temperature": self._request.temperature,
            "seed": self._request.seed,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": shape},
            },
        }
        sent = {}
        for name, value in wanted.items():
            used = REFUSABLE[name][1] if name in self._refused else name
            if used is not None and value is not None:
                sent[used] = value
        return sent

    def _first_line(self, error: Exception) -> str:
        """The error's first line, of bounded length, without the key."""
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else None
        return self._bare(next(iter(str(cause or error).strip().splitlines()), type(error).__name__))[:500]

    def _bare(self, text: str) -> str:
        return text if len(self._api_key) < _NO_SECRET else text.replace(self._api_key, "***")


def _without_lengths(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _without_lengths(value) for name, value in schema.items() if name != "maxLength"}
    return [_without_lengths(value) for value in schema] if isinstance(schema, list) else schema


def _judged(completion: Any) -> tuple[str, str | None, str]:
    """The outcome of a completion, what there is to say of it, and its text."""
    if not completion.choices:
        return "empty", "the reply holds no choice", ""
    choice = completion.choices[0]
    text = str((choice.message and choice.message.content) or "").strip()
    refusal = getattr(choice.message, "refusal", None)
    if refusal or choice.finish_reason == "content_filter":
        return "refusal", "the LLM or its filter declined to answer", str(refusal or text)
    if choice.finish_reason == "length":
        return "truncated", "the reply was cut off at the token limit (--max-tokens)", text
    if not text:
        return "empty", "the reply holds no text", text
    return "ok", None, text
