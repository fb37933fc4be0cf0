"""``headscribe describe --batch``: the same outcomes as by direct calls, through batches that wait at the server.

What is to be asked next of a head follows from the answers in the ledger alone, and what is in flight stands in the
catalogue before it is sent. So a run needs no memory of its own: any process goes on where another one was killed.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from describe.catalog import Queued, SavedBatch, Waiting
from describe.errors import CallError, LLMError, RunEndedError
from describe.labelling import ANSWER_SCHEMA, DescribeQuestion, Exchange
from describe.llm import (
    ANSWERED,
    MOST_BYTES,
    MOST_REQUESTS,
    TRANSIENT,
    BatchClient,
    BatchState,
    Purse,
    most_tokens,
    refused_parameter,
    reply_of,
)
from describe.pipeline.common import Progress
from describe.pipeline.llm_stage.limits import Batching
from describe.pipeline.llm_stage.open_batches import InFlight
from describe.records import Call, Description, HeadId

if TYPE_CHECKING:
    from describe.pipeline.llm_stage.record import Work

__all__ = ["describe_in_batches"]

FIRST_PAUSE, GROWTH = 1.0, 1.5
"""Seconds between the first two looks at a batch, and how much longer each pause is than the one before."""

_TOO_MUCH = {"token_limit_exceeded", "rate_limit_exceeded"}
"""Error codes of batches that are too much for now, not wrong."""


class _Asked(NamedTuple):
    """A head's next request, and its hash."""

    head: HeadId
    exchange: Exchange[Description]
    request_hash: str


def describe_in_batches(
    work: Work[Description],
    client: BatchClient,
    purse: Purse,
    question: Callable[[HeadId], DescribeQuestion],
    heads: list[HeadId],
    batching: Batching,
    progress: Progress,
) -> bool:
    """Describe the heads, and those that wait in unfinished batches of this labeller, each outcome committed.

    Returns whether all were done: False after an interrupt (SIGINT, SIGTERM), which leaves batches running at the
    server. Raises `LLMError` when the LLM or its Batch API cannot be used, and `RunEndedError` when the run must end.
    """
    run = _Run(work, client, purse, question, batching, progress)
    try:
        with _terminated_as_interrupted():
            run.go(heads)
    except KeyboardInterrupt:
        return False
    except CallError as error:
        ended = RunEndedError(f"the Batch API did not answer after all tries ({error.cause}: {error})")
    else:
        return True
    raise ended


class _Run:
    """One run: takes up what is in flight, submits what is not, collects, until there is nothing more to ask."""

    def __init__(
        self,
        work: Work[Description],
        client: BatchClient,
        purse: Purse,
        question: Callable[[HeadId], DescribeQuestion],
        batching: Batching,
        progress: Progress,
    ) -> None:
        self._work = work
        self._client = client
        self._wire = client.wire
        self._purse = purse
        self._question = question
        self._batching = batching
        self._progress = progress
        self._flight = InFlight(work.catalogue.batches, work.caller, client, purse)
        self._pending: dict[HeadId, None] = {}
        self._counts: dict[int, tuple[int, int, int]] = {}
        self._problem: RunEndedError | LLMError | None = None

    def go(self, heads: list[HeadId]) -> None:
        """Until every head has its outcome, or a problem ends the run: what is in flight is collected first."""
        self._flight.take_up()
        self._pending = dict.fromkeys([*heads, *sorted(self._flight.heads)])
        self._look()
        while True:
            if self._problem is None:
                self._submit(self._wanted())
            if not self._flight.open:
                break
            self._await()
        if self._problem is not None:
            raise self._problem

    # -- what to ask ----------------------------------------------------------------------------------------------

    def _wanted(self) -> Iterator[_Asked]:
        """What is to be asked now: one request of each head that is neither done nor in flight."""
        in_flight = self._flight.heads
        seen: set[str] = set()
        for head in [head for head in self._pending if head not in in_flight]:
            asked = self._advance(head)
            if asked is None or asked.request_hash in seen:
                continue  # who asks the same gets the same reply
            seen.add(asked.request_hash)
            if self._flight.tries[asked.request_hash] < self._wire.request.attempts:
                yield asked
            else:
                self._problem = RunEndedError(f"the server did not come to head {head} in all tries (--attempts)")

    def _advance(self, head: HeadId, latest: Call | None = None, batch: SavedBatch | None = None) -> _Asked | None:
        """Carry a head's exchange on by the answers there are: its outcome is committed, or what it asks returned."""
        step: Exchange[Description] | Description = Exchange.begin(self._question(head))
        while isinstance(step, Exchange):
            request_hash = self._wire.hash(step.messages, ANSWER_SCHEMA)
            took: dict[str, Any] = {"from_ledger": True}
            if latest is not None and batch is not None and latest.request_hash == request_hash:
                call: Call | None = latest
                took = {"seconds": latest.seconds, "attempts": 1, "omitted": list(batch.omitted)}
                took["batch"] = batch.server_id
            else:
                call = self._work.answered(head, request_hash)
            if call is None:
                return _Asked(head, step, request_hash)
            try:
                reply = reply_of(call, took)
            except CallError as error:
                step = step.failed(error)
            else:
                step = step.answered(reply)
        self._work.keep(head, step)
        self._pending.pop(head, None)
        return None

    def _submit(self, wanted: Iterable[_Asked]) -> None:
        """Submit as much as the budget has room for, in as many batches as the API's limits ask for."""
        part: list[tuple[Queued, bytes]] = []
        size = 0
        for asked in wanted:
            custom_id = f"{asked.head}-{asked.request_hash[:40]}"
            line = self._client.line(custom_id, asked.exchange.messages, ANSWER_SCHEMA)
            most = self._purse.most(most_tokens(line.decode()), self._wire.request.max_tokens)
            if not self._purse.has(most):
                if not (part or self._flight.open):
                    self._problem = self._purse.exhausted(most)
                break
            if part and (len(part) == MOST_REQUESTS or size + len(line) > MOST_BYTES):
                self._send(part)
                part, size = [], 0
            self._purse.set_aside(most)
            part.append((Queued(asked.head, custom_id, asked.request_hash, most), line))
            size += len(line)
        if part:
            self._send(part)

    def _send(self, part: list[tuple[Queued, bytes]]) -> None:
        elsewhere = self._flight.send(part)
        if elsewhere:
            self._problem = RunEndedError(f"{elsewhere} heads wait in a batch of another run")

    # -- waiting and collecting -----------------------------------------------------------------------------------

    def _await(self) -> None:
        """Look at the open batches until at least one has ended and is collected."""
        pause = min(FIRST_PAUSE, self._batching.poll)
        while not self._look():
            if not self._batching.wait:
                names = ", ".join(str(batch.server_id) for batch in self._flight.open.values())
                raise RunEndedError(f"waiting for {names}")
            time.sleep(pause)
            pause = min(self._batching.poll, pause * GROWTH)

    def _look(self) -> bool:
        """Look at the open batches, and collect those that have ended; returns whether there were any."""
        looked_at = list(self._flight.open.values())
        for batch in looked_at:
            state = self._client.state(batch.server_id or "")
            if state is None:
                self._lost(batch)
                continue
            self._show(batch, state)
            if state.ended:
                self._collect(batch, state)
        return len(self._flight.open) < len(looked_at)

    def _show(self, batch: SavedBatch, state: BatchState) -> None:
        """The server's counts of all batches of this run together."""
        self._counts[batch.id] = (state.completed, state.failed, state.total or len(batch.waiting))
        completed, failed, total = map(sum, zip(*self._counts.values(), strict=True))
        self._progress("batch", completed + failed, total)
        if failed:
            self._progress("failed", failed, total)

    def _collect(self, batch: SavedBatch, state: BatchState) -> None:
        """Enter what came of each request, commit what follows from it, and let go of the batch."""
        sent = self._wire.parameters(ANSWER_SCHEMA, batch.omitted)
        left = dict(batch.waiting)
        hashes = {name: waiting.request_hash for name, waiting in left.items()}
        progress, why = False, ""
        try:
            for result in self._client.results(state, hashes):
                waiting = left.pop(result.custom_id, None)
                if waiting is None:
                    continue  # a line that came twice
                if result.call is None:  # never executed
                    self._flight.settle(waiting, billed=False)
                    continue
                call = self._entered(waiting, result.call)
                if result.fatal is not None:
                    self._problem = result.fatal
                elif self._stands(call, sent):
                    progress = True
                    self._advance(waiting.head, call, batch)
                else:
                    why = f" ({call.outcome}: {call.detail})"
        except FileNotFoundError:
            self._lost(batch)
            return
        for waiting in left.values():
            self._without_line(batch, state, waiting)
        self._flight.let_go(batch, state.status)
        self._judge(state, progress or self._wire.refused > set(batch.omitted), why)

    def _entered(self, waiting: Waiting, call: Call) -> Call:
        """A call with its money, in the ledger."""
        call = replace(call, money=self._purse.cost(call.tokens_in, call.tokens_out))
        unknown = waiting.most if call.outcome in ANSWERED else 0.0
        self._flight.enter(waiting, call, unknown if call.money is None else call.money)
        return call

    def _stands(self, call: Call, sent: dict[str, Any]) -> bool:
        """Whether a request's outcome is for good; a parameter that the server refuses is learned and left out."""
        tries = self._flight.tries
        if call.outcome in TRANSIENT:
            return tries[call.request_hash] >= self._wire.request.attempts
        refused = refused_parameter((call.detail or "").lower(), sent) if call.outcome == "bad_request" else None
        if refused is not None:
            self._wire.refused.add(refused)
            tries[call.request_hash] -= 1
        return refused is None

    def _without_line(self, batch: SavedBatch, state: BatchState, waiting: Waiting) -> None:
        """A request of which the output tells nothing: it may be billed all the same where the batch was completed."""
        completed = state.status == "completed"
        self._flight.settle(waiting, billed=completed)
        if completed and self._flight.tries[waiting.request_hash] >= self._wire.request.attempts:
            detail = "the output of the batch has no line that tells what came of it"
            call = Call(waiting.request_hash, "server_error", state.seconds, detail=detail)
            self._advance(waiting.head, call, batch)

    def _judge(self, state: BatchState, progress: bool, why: str) -> None:
        """Whether the run can go on after a batch."""
        where, (code, words) = self._wire.where, state.problem or ("", "")
        words = self._wire.line(" ".join(words.split()))
        named = refused_parameter(words.lower(), self._wire.parameters(ANSWER_SCHEMA), guess=False)
        if self._problem is not None:
            return
        if state.problem and named:
            self._wire.refused.add(named)
        elif state.problem and code in _TOO_MUCH:
            self._problem = RunEndedError(f"{where} took no more for now ({words}): ask about fewer --heads at once")
        elif state.problem and "model" in code:
            self._problem = LLMError(f"{where} has no model '{self._wire.model}' for batches: {words}")
        elif state.problem:
            self._problem = LLMError(f"{where} refused batch {state.id}: {words}")
        elif state.status == "cancelled":
            self._problem = RunEndedError(f"batch {state.id} was cancelled at the server")
        elif not progress:
            self._problem = RunEndedError(f"batch {state.id} ended ({state.status}) without an answer{why}")

    def _lost(self, batch: SavedBatch) -> None:
        """A batch, or its output, that the server does not have: asked for anew only where that is wanted."""
        if not self._work.fresh:
            raise LLMError(
                f"{self._wire.where} does not know batch {batch.server_id} or its output: use the key of the project"
                f" that submitted it, or --fresh to give it up and pay for its {len(batch.waiting)} requests again"
            )
        for waiting in batch.waiting.values():
            self._flight.settle(waiting, billed=True)
        self._flight.let_go(batch, "lost")


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM interrupts as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
