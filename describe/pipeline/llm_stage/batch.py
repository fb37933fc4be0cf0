"""Asking through batches: the outcomes of direct calls, by requests that wait at the server.

What is to be asked next about a head follows from the answers in the ledger alone, and what is in flight stands in the
catalogue before it is sent. So a run needs no memory of its own: any process goes on where another one was killed.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from describe.catalog import Queued, SavedBatch, Waiting
from describe.errors import CallError, LLMError, RunEndedError
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
)
from describe.pipeline.llm_stage.limits import Batching, Terms
from describe.pipeline.llm_stage.open_batches import OpenBatches
from describe.pipeline.llm_stage.record import TaskRecord
from describe.pipeline.llm_stage.replay import Asked, Replay
from describe.records import Call

__all__ = ["ask_in_batches"]

FIRST_PAUSE, GROWTH = 1.0, 1.5
"""Seconds between the first two looks at a batch, and how much longer each pause is than the one before."""

_TOO_MUCH = {"token_limit_exceeded", "rate_limit_exceeded"}
"""Error codes of batches that are too much for now, not wrong."""

_CHAT: dict[str, Any] = {"type": "object"}
"""Stands for the schema of any reply where only the names of a chat's parameters count."""


def ask_in_batches(records: Sequence[TaskRecord[Any]], client: BatchClient, purse: Purse, terms: Terms) -> bool:
    """Find out about what is pending of tasks, and what waits in their unfinished batches, each outcome committed.

    Returns whether all were done: False after an interrupt (SIGINT, SIGTERM), which leaves batches running at the
    server. Raises `LLMError` when the LLM or its Batch API cannot be used, and `RunEndedError` when the run must end.
    """
    run = _Run(records, client, purse, terms)
    try:
        with _terminated_as_interrupted():
            run.go()
    except KeyboardInterrupt:
        return False
    except CallError as error:
        ended = RunEndedError(f"the Batch API did not answer after all tries ({error.cause}: {error})")
    else:
        return True
    raise ended


class _Task:
    """A task in batches: what is open of it, and its batches at the server."""

    def __init__(self, record: TaskRecord[Any], client: BatchClient, purse: Purse) -> None:
        self.record = record
        self.batches = OpenBatches(record, client, purse)
        self.replay = Replay(record, client.wire)


class _Run:
    """One run: takes up what is in flight, submits what is not, collects, until there is nothing more to ask."""

    def __init__(self, records: Sequence[TaskRecord[Any]], client: BatchClient, purse: Purse, terms: Terms) -> None:
        self._tasks = [_Task(record, client, purse) for record in records]
        self._client = client
        self._wire = client.wire
        self._purse = purse
        self._batching = terms.batch or Batching()
        self._progress = terms.progress
        self._counts: dict[int, tuple[int, int, int]] = {}
        self._problem: RunEndedError | LLMError | None = None

    def go(self) -> None:
        """Until every head has its outcome, or a problem ends the run: what is in flight is collected first."""
        for task in self._tasks:
            task.batches.take_up()
            task.replay.pending |= dict.fromkeys(sorted(task.batches.waiting))
        self._look()
        while True:
            for task in self._tasks:
                if self._problem is None:
                    self._submit(task, self._wanted(task))
            if not self._open():
                break
            self._await()
        if self._problem is not None:
            raise self._problem

    def _open(self) -> list[tuple[_Task, SavedBatch]]:
        return [(task, batch) for task in self._tasks for batch in task.batches.open.values()]

    # -- what to ask ----------------------------------------------------------------------------------------------

    def _wanted(self, task: _Task) -> Iterator[Asked]:
        """Requests to be sent now: the requests of each head that is neither done nor in flight."""
        waiting = {request.request_hash for _, batch in self._open() for request in batch.waiting.values()}
        for head in [head for head in task.replay.pending if not task.batches.waiting[head]]:
            for asked in task.replay.advance(head):
                if asked.request_hash in waiting:
                    continue  # who asks the same gets the same reply
                waiting.add(asked.request_hash)
                if task.batches.tries[asked.request_hash] < self._wire.request.attempts:
                    yield asked
                else:
                    self._problem = RunEndedError(f"the server did not come to head {head} in all tries (--attempts)")

    def _submit(self, task: _Task, wanted: Iterable[Asked]) -> None:
        """Submit as much as the budget has room for, in as many batches as the API's limits ask for."""
        part: list[tuple[Queued, bytes]] = []
        size = 0
        for asked in wanted:
            custom_id = f"{asked.head}-{asked.request_hash[:40]}"
            line = self._client.line(custom_id, asked.exchange.messages, asked.schema)
            most = self._purse.most(most_tokens(line.decode()), self._wire.request.max_tokens)
            if not self._purse.has(most):
                if not (part or self._open()):
                    self._problem = self._purse.exhausted(most)
                break
            if part and (len(part) == MOST_REQUESTS or size + len(line) > MOST_BYTES):
                self._send(task, part)
                part, size = [], 0
            self._purse.set_aside(most)
            part.append((Queued(asked.head, custom_id, asked.request_hash, most), line))
            size += len(line)
        if part:
            self._send(task, part)

    def _send(self, task: _Task, part: list[tuple[Queued, bytes]]) -> None:
        elsewhere = task.batches.send(part)
        if elsewhere:
            self._problem = RunEndedError(f"{elsewhere} heads wait in a batch of another run")

    # -- waiting and collecting -----------------------------------------------------------------------------------

    def _await(self) -> None:
        """Look at the open batches until at least one has ended and is collected."""
        pause = min(FIRST_PAUSE, self._batching.poll)
        while not self._look():
            if not self._batching.wait:
                names = ", ".join(str(batch.server_id) for _, batch in self._open())
                raise RunEndedError(f"waiting for {names}")
            time.sleep(pause)
            pause = min(self._batching.poll, pause * GROWTH)

    def _look(self) -> bool:
        """Look at the open batches, and collect those that have ended; returns whether there were any."""
        looked_at = self._open()
        for task, batch in looked_at:
            state = self._client.state(batch.server_id or "")
            if state is None:
                self._lost(task, batch)
                continue
            self._show(batch, state)
            if state.ended:
                self._collect(task, batch, state)
        return len(self._open()) < len(looked_at)

    def _show(self, batch: SavedBatch, state: BatchState) -> None:
        """The server's counts of all batches of this run together."""
        self._counts[batch.id] = (state.completed, state.failed, state.total or len(batch.waiting))
        completed, failed, total = map(sum, zip(*self._counts.values(), strict=True))
        self._progress("batch", completed + failed, total)
        if failed:
            self._progress("failed", failed, total)

    def _collect(self, task: _Task, batch: SavedBatch, state: BatchState) -> None:
        """Enter what came of each request, commit what follows from it, and let go of the batch."""
        sent = self._wire.parameters(_CHAT, batch.omitted)
        left = dict(batch.waiting)
        hashes = {name: waiting.request_hash for name, waiting in left.items()}
        progress, why = False, ""
        try:
            for result in self._client.results(state, hashes):
                waiting = left.pop(result.custom_id, None)
                if waiting is None:
                    continue  # a line that came twice
                if result.call is None:  # never executed
                    task.batches.settle(waiting, billed=False)
                    continue
                call = self._entered(task, waiting, result.call)
                if result.fatal is not None:
                    self._problem = result.fatal
                elif self._stands(task, call, sent):
                    progress = True
                    self._came_in(task, waiting, call, batch)
                else:
                    why = f" ({call.outcome}: {call.detail})"
        except FileNotFoundError:
            self._lost(task, batch)
            return
        for waiting in left.values():
            self._without_line(task, batch, state, waiting)
        task.batches.let_go(batch, state.status)
        self._judge(state, progress or self._wire.refused > set(batch.omitted), why)

    def _came_in(self, task: _Task, waiting: Waiting, call: Call, batch: SavedBatch) -> None:
        """Take what came of a request for good; its head goes on once nothing more is under way about it."""
        task.replay.came_in(waiting, call, batch)
        if not task.batches.waiting[waiting.head]:
            task.replay.advance(waiting.head)

    def _entered(self, task: _Task, waiting: Waiting, call: Call) -> Call:
        """A call with its money, in the ledger."""
        call = replace(call, money=self._purse.cost(call.tokens_in, call.tokens_out))
        unknown = waiting.most if call.outcome in ANSWERED else 0.0
        task.batches.enter(waiting, call, unknown if call.money is None else call.money)
        return call

    def _stands(self, task: _Task, call: Call, sent: dict[str, Any]) -> bool:
        """Whether a request's outcome is for good; a parameter that the server refuses is learned and left out."""
        tries = task.batches.tries
        if call.outcome in TRANSIENT:
            return tries[call.request_hash] >= self._wire.request.attempts
        refused = refused_parameter(call.detail or "", sent) if call.outcome == "bad_request" else None
        if refused is not None:
            self._wire.refused.add(refused)
            tries[call.request_hash] -= 1
        return refused is None

    def _without_line(self, task: _Task, batch: SavedBatch, state: BatchState, waiting: Waiting) -> None:
        """A request of which the output tells nothing: it may be billed all the same where the batch was completed."""
        completed = state.status == "completed"
        task.batches.settle(waiting, billed=completed)
        if completed and task.batches.tries[waiting.request_hash] >= self._wire.request.attempts:
            detail = "the output of the batch has no line that tells what came of it"
            call = Call(waiting.request_hash, "server_error", state.seconds, detail=detail)
            self._came_in(task, waiting, call, batch)

    def _judge(self, state: BatchState, progress: bool, why: str) -> None:
        """Whether the run can go on after a batch."""
        where, (code, words) = self._wire.where, state.problem or ("", "")
        words = self._wire.line(" ".join(words.split()))
        named = refused_parameter(words, self._wire.parameters(_CHAT), guess=False)
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

    def _lost(self, task: _Task, batch: SavedBatch) -> None:
        """A batch, or its output, that the server does not have: asked for anew only where that is wanted."""
        if not task.record.fresh:
            raise LLMError(
                f"{self._wire.where} does not know batch {batch.server_id} or its output: use the key of the project"
                f" that submitted it, or --fresh to give it up and pay for its {len(batch.waiting)} requests again"
            )
        for waiting in batch.waiting.values():
            task.batches.settle(waiting, billed=True)
        task.batches.let_go(batch, "lost")


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
