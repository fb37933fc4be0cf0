"""One chat call, with retries: what every stage that asks an LLM directly goes through."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from tenacity import AsyncRetrying

from describe.errors import CallError, LLMError
from describe.llm.asking import Choice, Form, Message, Oversight, Reply, Request
from describe.llm.failures import TRANSIENT, never_reached, persistence, refused_parameter
from describe.llm.money import estimated_tokens, most_tokens
from describe.llm.wire import Wire, likelihoods, reply_of
from describe.records import LOST, SENT, Call, HeadId

__all__ = ["ChatClient"]

TYPICAL_REPLY = 300
"""Tokens of a reply, until the server has said how many they were."""


CLIENT_ID = "X-Client-Request-Id"
"""The header that gives our own name for a call, which OpenAI's support can search for."""


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
        self._request = request
        self._run = oversight or Oversight()
        self._reached = False
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        import openai

        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            timeout=request.timeout,
            http_client=openai.DefaultAioHttpClient(),  # a third of the CPU time of the default one
        )
        where = str(self._client.base_url.copy_with(userinfo=b"", query=None))
        self._wire = Wire(model, where, api_key, request, lengths=lengths, identity=identity)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def ask(self, messages: list[Message], form: Form, head: HeadId | None = None) -> Reply:
        """One reply to a chat about a head, structured by a JSON schema where the server can.

        Without a schema the one message is a text to be gone on with.

        Rate limits, time-outs, broken connections and server failures are tried again, with growing random waits or
        as long as the server asks. An identical request that was answered before is not sent again. Raises `CallError`
        when no usable reply came, `LLMError` when none ever will, `RunEndedError` when there is no money left to ask.
        """
        started, tries = time.monotonic(), 0
        request_hash = self._wire.hash(messages, form)
        async with self._asking[request_hash]:  # who asks the same at the same time gets the same reply
            call = self._run.ledger.answered(head, request_hash) if self._run.ledger else None
            if call is None:
                call, tries = await self._persist(messages, form, request_hash, head)
        took = {
            "seconds": round(time.monotonic() - started, 3),
            "attempts": tries,
            "omitted": sorted(self._wire.refused),
        }
        return reply_of(call, took | ({} if tries else {"from_ledger": True}))

    async def _persist(
        self, messages: list[Message], form: Form, request_hash: str, head: HeadId | None
    ) -> tuple[Call, int]:
        """Call until there is an outcome that another try would not mend. Returns it, and the number of tries."""
        tries = 0
        retrying = AsyncRetrying(**persistence(self._request), sleep=asyncio.sleep)
        try:
            async for attempt in retrying:
                with attempt:
                    tries += 1
                    call = await self._call(messages, form, request_hash, head)
        except CallError as error:
            if error.cause != "connection" or self._reached:
                raise
            unreached = never_reached(error, tries)
        else:
            return call, tries
        raise unreached

    async def _call(self, messages: list[Message], form: Form, request_hash: str, head: HeadId | None) -> Call:
        """One call, in its turn, paid and entered; a refused parameter is left out from now on and the call made again.

        Raises `CallError` for what another try may mend, `LLMError`, `RunEndedError`.
        """
        longest = 1 if isinstance(form, Choice) else self._request.max_tokens
        text = json.dumps([messages, None if isinstance(form, Choice) else form], ensure_ascii=False)
        expected = estimated_tokens(text) + min(TYPICAL_REPLY, longest)
        while True:
            reserved = await self._run.purse.reserve(most_tokens(text), longest)
            cost = reserved  # whoever breaks off, or does not say what was used, may still send a bill
            try:
                async with self._run.pacer.turn(expected):
                    sent, started = self._wire.parameters(form), time.monotonic()
                    call, failure, unbilled = await self._entered(messages, form, sent, request_hash, head)
                cost = 0.0 if unbilled else reserved if call.money is None else call.money
            finally:
                self._run.purse.settle(reserved, cost)
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
            self._wire.refused.add(refused)

    async def _entered(
        self,
        messages: list[Message],
        form: Form,
        sent: dict[str, Any],
        request_hash: str,
        head: HeadId | None,
    ) -> tuple[Call, CallError | LLMError | None, bool]:
        """Send one request, in the ledger before it goes out, and again with what came of it.

        Returns the call, what went wrong if anything did, and whether it was surely free.
        """
        name, started = str(uuid4()), time.monotonic()
        try:
            await self._enter(head, Call(request_hash, SENT, 0.0, name))
            started = time.monotonic()
            found, request_id, failure, unbilled = await self._send(messages, sent, name, form)
        except asyncio.CancelledError:
            seconds = round(time.monotonic() - started, 4)
            await self._enter(head, Call(request_hash, LOST, seconds, name, "the run was interrupted"))
            raise
        call = self._wire.entry(found, failure, request_hash, time.monotonic() - started, request_id, name, form)
        call = replace(call, money=self._run.purse.cost(call.tokens_in, call.tokens_out))
        if failure is None and call.outcome in TRANSIENT:
            failure = CallError(call.outcome, call.detail or "", reply=call.reply)
        await self._enter(head, call)
        return call, failure, unbilled

    async def _enter(self, head: HeadId | None, call: Call) -> None:
        if self._run.ledger:
            await self._run.ledger.enter(head, call)

    async def _send(
        self, messages: list[Message], sent: dict[str, Any], name: str, form: Form
    ) -> tuple[Any, str | None, CallError | LLMError | None, bool]:
        """Send one request. Returns the completion and the server's name for it, what went wrong if anything did, and
        whether it was surely free.

        What went wrong is returned, not raised: an exception raised here would carry the server's own words with it.
        """
        import httpx2
        import openai

        chat = isinstance(form, dict)
        # By path, not by openai's typed method: to look through its parameters and build its models takes it longer
        # than to send them.
        asked = {"messages": messages} if chat else {"prompt": messages[-1]["content"]}
        try:
            response = await self._client.post(
                "/chat/completions" if chat else "/completions",
                cast_to=httpx2.Response,
                body={"model": self._wire.model, **sent, **asked},
                options={"headers": {CLIENT_ID: name}},
            )
        except openai.OpenAIError as error:
            failed = self._wire.failed(error)
            if not isinstance(error, openai.APIStatusError):
                return None, None, failed, False
            self._run.pacer.heard(error.response.headers)
            if isinstance(form, Choice) and "logprob" in str(failed).lower():
                failed = self._wire.no_likelihoods()
            return None, None, failed, True
        self._run.pacer.heard(response.headers)
        try:
            completion = response.json()
        except ValueError:
            completion = None
        if not isinstance(completion, dict) or not (completion.get("choices") or "usage" in completion):
            reply = self._wire.bare(response.text[:2000])
            return (
                None,
                None,
                CallError("server_error", "the server's answer is no chat completion", reply=reply),
                False,
            )
        if isinstance(form, Choice) and likelihoods(completion, form) is None:
            return None, None, self._wire.no_likelihoods(), False
        return completion, response.headers.get("x-request-id"), None, False
