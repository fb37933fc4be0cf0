"""Inquiries run through again by the answers that are in the ledger: so a run needs no memory of its own.

An inquiry of several questions asks ahead: each that has no answer yet is taken for answered as its question assumes,
so that the next goes into the same batch and not into another one a day later.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from describe.catalog import SavedBatch, Waiting
from describe.errors import CallError
from describe.labelling import Exchange, Question, run_ahead
from describe.llm import Wire, reply_of
from describe.pipeline.llm_stage.record import TaskRecord
from describe.records import Call, HeadId

__all__ = ["Asked", "Replay"]


class Asked(NamedTuple):
    """A request about a head or role that has no answer, and its hash."""

    head: HeadId
    exchange: Exchange[Any]
    request_hash: str

    @property
    def schema(self) -> dict[str, Any]:
        form = self.exchange.question.form
        assert isinstance(form, dict), "batches ask chats"
        return form


class Replay:
    """The open part of a task, and its next questions; ``pending``: heads and roles that have no outcome, in order."""

    def __init__(self, record: TaskRecord[Any], wire: Wire) -> None:
        self.pending: dict[HeadId, None] = dict.fromkeys(record.pending)
        self._record = record
        self._wire = wire
        self._came: dict[HeadId, dict[str, tuple[Call, SavedBatch]]] = {}

    def came_in(self, waiting: Waiting, call: Call, batch: SavedBatch) -> None:
        """Take what came of a request in a batch for good, an answer or a failure."""
        self._came.setdefault(waiting.head, {})[waiting.request_hash] = (call, batch)

    def advance(self, head: HeadId) -> list[Asked]:
        """Carry a head's inquiry on by the answers there are: its outcome is committed, or what it asks returned."""
        asked: list[Asked] = []

        def answered(question: Question[Any]) -> Any:
            step: Any = Exchange.begin(question)
            while isinstance(step, Exchange):
                step = self._replied(head, step)
            if not isinstance(step, Asked):
                return step
            asked.append(step)
            return None

        outcome = run_ahead(self._record.task.inquire(head), answered)
        if not asked:
            self._record.keep(head, outcome)
            self.pending.pop(head, None)
            self._came.pop(head, None)
        return asked

    def _replied(self, head: HeadId, exchange: Exchange[Any]) -> Any:
        """The outcome that the reply makes of an exchange that has one, or else the request to be sent."""
        request_hash = self._wire.hash(exchange.messages, exchange.question.form)
        came = self._came.get(head, {}).get(request_hash)
        if came is not None:
            call, batch = came
            took = {"seconds": call.seconds, "attempts": 1, "omitted": list(batch.omitted), "batch": batch.server_id}
        elif (found := self._record.answered(head, request_hash)) is not None:
            call, took = found, {"from_ledger": True}
        else:
            return Asked(head, exchange, request_hash)
        try:
            reply = reply_of(call, took)
        except CallError as error:
            return exchange.failed(error)
        return exchange.answered(reply)
