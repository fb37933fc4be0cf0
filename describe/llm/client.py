"""One chat call, with retries: what every stage that asks an LLM directly goes through."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from dataclasses import replace
from typing import Any
from uuid import uuid4

from tenacity import AsyncRetrying

from describe.errors import CallError, LLMError
from describe.llm.asking import Choice, Form, Message, Oversight, Reply
from describe.llm.completion import Completion, NoCompletionError, likelihoods
from describe.llm.failures import TRANSIENT, UNREACHED, never_reached, persistence
from describe.llm.money import estimated_tokens, most_tokens
from describe.llm.sending import Sender
from describe.llm.trial import Trial
from describe.llm.wire import Answer, Wire, reply_of
from describe.records import LOST, SENT, Call, HeadId

__all__ = ["ChatClient"]

TYPICAL_REPLY = 300
"""Tokens of a reply, until the server has said how many they were."""


class ChatClient:
    """Calls one model at one endpoint.

    Args:
        wire: the model, and how it is asked and its answers read.
        base_url: the endpoint.
        api_key: sent to the endpoint, and nowhere else; taken out of whatever comes back.
        oversight: pace, money and ledger of the run.
    """

    def __init__(self, wire: Wire, base_url: str, api_key: str, oversight: Oversight | None = None) -> None:
        self._request = wire.request
        self._run = oversight or Oversight()
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._wire = wire
        self._sender = Sender(base_url, api_key, wire)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._sender.close()

    async def ask(self, messages: list[Message], form: Form, head: HeadId | None = None) -> Reply:
        """One reply to a chat about a head, structured by a JSON schema where the server can.

        Without a schema the one message is a text to be gone on with.

        Rate limits, time-outs, broken connections and server failures are tried again, with growing random waits or
        as long as the server asks. An identical request that was answered before is not sent again. Raises `CallError`
        when no usable reply came, `LLMError` when none ever will, `RunEndedError` when there is no money left to ask.
        """
        started, tries = time.monotonic(), 0
        request_hash, trial = self._wire.hash(messages, form), Trial(self._wire)
        async with self._asking[request_hash]:  # who asks the same at the same time gets the same reply
            call = self._run.ledger.answered(head, request_hash) if self._run.ledger else None
            if call is None:
                call, tries = await self._persist(messages, form, request_hash, head, trial)
        took = {
            "seconds": round(time.monotonic() - started, 3),
            "attempts": tries,
            "omitted": sorted(trial.left_out),
        }
        return reply_of(call, took | ({} if tries else {"from_ledger": True}))

    async def _persist(
        self, messages: list[Message], form: Form, request_hash: str, head: HeadId | None, trial: Trial
    ) -> tuple[Call, int]:
        """Call until there is an outcome that another try would not mend. Returns it, and the number of tries."""
        tries = 0
        retrying = AsyncRetrying(**persistence(self._request), sleep=self._rest)
        try:
            async for attempt in retrying:
                with attempt:
                    tries += 1
                    call = await self._call(messages, form, request_hash, head, trial)
        except CallError as error:
            if error.cause not in UNREACHED or self._sender.heard:
                raise
            unreached = never_reached(error, tries, self._wire.row, self._wire.where)
        else:
            return call, tries
        raise unreached

    async def _rest(self, seconds: float) -> None:
        """Wait before another try."""
        await self._run.pacer.wait(seconds, "a call failed, and is tried again")

    async def _call(
        self, messages: list[Message], form: Form, request_hash: str, head: HeadId | None, trial: Trial
    ) -> Call:
        """One call, in its turn, paid and entered; a refused parameter is left out and the call made again.

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
                    if self._run.ledger:
                        await self._run.ledger.kept()
                    sent, started = self._wire.parameters(form, trial.left_out), time.monotonic()
                    call, failure, unbilled = await self._entered(messages, form, sent, request_hash, head)
                cost = 0.0 if unbilled else reserved if call.money is None else call.money
            finally:
                self._run.purse.settle(reserved, cost)
            if isinstance(failure, CallError) and failure.cause == "rate_limit":
                self._run.pacer.refused(started, failure.retry_after)
            elif failure is None:
                taken = (call.tokens_in or 0) + (call.tokens_out or 0)
                self._run.pacer.answered(min(taken, most_tokens(text) + longest) - expected)
            if failure is None:
                trial.helped(sent)
                return call
            if not (isinstance(failure, CallError) and trial.leave_out(failure, sent)):
                raise failure

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
        self._enter(head, Call(request_hash, SENT, 0.0, name))
        try:
            answer = await self._send(messages, sent, name, form)
        except asyncio.CancelledError:
            seconds = round(time.monotonic() - started, 4)
            self._enter(head, Call(request_hash, LOST, seconds, name, "the run was interrupted"))
            raise
        failure = answer.failure
        call = self._wire.entry(answer, request_hash, time.monotonic() - started, name, form)
        call = replace(call, money=self._run.purse.cost(call.tokens_in, call.tokens_out))
        if failure is None and call.outcome in TRANSIENT:
            failure = CallError(call.outcome, call.detail or "", reply=call.reply)
        self._enter(head, call)
        return call, failure, answer.unbilled

    def _enter(self, head: HeadId | None, call: Call) -> None:
        if self._run.ledger:
            self._run.ledger.enter(head, call)

    async def _send(self, messages: list[Message], sent: dict[str, Any], name: str, form: Form) -> Answer:
        """Send one request. An answer without the probabilities that were asked for is a failure."""
        answer = await self._sender.send(*self._wire.asked(messages, form, sent), name)
        self._run.pacer.heard(answer.headers)
        if isinstance(form, Choice) and _tells_none(answer, form):
            return replace(answer, failure=self._wire.no_likelihoods())
        return answer


def _tells_none(answer: Answer, choice: Choice) -> bool:
    """Whether a server tells no probabilities: it says so, or its completion has none."""
    if answer.failure is not None:
        return answer.unbilled and "logprob" in str(answer.failure).lower()
    try:
        return likelihoods(Completion.of(answer.body).body, choice) is None
    except NoCompletionError:
        return False
