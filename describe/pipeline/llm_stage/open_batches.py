"""A task's batches at the server. Each step is committed before the next, so that any process goes on."""

from __future__ import annotations

import secrets
import tempfile
from collections import Counter
from dataclasses import replace
from typing import Any

from describe.catalog import Queued, SavedBatch, Waiting
from describe.catalog.batches import RELEASED
from describe.errors import LLMError, RunEndedError
from describe.llm import BatchClient, Purse
from describe.pipeline.llm_stage.record import TaskRecord
from describe.records import Call, HeadId

__all__ = ["OpenBatches"]


class OpenBatches:
    """Batches from before their upload until they are collected, with the money set aside for their requests.

    Attributes:
        open: by their id in the catalogue.
        tries: how often each request, by its hash, was submitted.
        waiting: how many requests about each head or role no answer has come to.
    """

    def __init__(self, record: TaskRecord[Any], client: BatchClient, purse: Purse) -> None:
        self.open: dict[int, SavedBatch] = {}
        self.tries: Counter[str] = Counter()
        self.waiting: Counter[HeadId] = Counter()
        self._store = record.catalogue.batches
        self._caller = record.caller
        self._task = record.task.name
        self._client = client
        self._purse = purse

    def take_up(self) -> None:
        """Go on with the batches of earlier processes; one that never came to the server is released."""
        for batch in self._store.unfinished(self._caller.extraction_id, self._caller.labeller_id, self._task):
            if batch.server_id is None:
                found = self._client.find(batch.key, batch.file_id) if batch.file_id else None
                if found is None:
                    if batch.file_id:
                        self._client.forget(batch.file_id)  # should the server be slow to make a batch of it
                    self._store.finish(batch.id, RELEASED)
                    continue
                self._store.submitted(batch.id, found.id, found.status)
                batch = replace(batch, server_id=found.id)
            self._client.wire.refused |= set(batch.omitted)
            for waiting in batch.waiting.values():
                self._purse.set_aside(waiting.most)
            self._watch(batch)

    def send(self, part: list[tuple[Queued, bytes]]) -> int:
        """Submit one batch of requests, each with its line; returns how many were in flight elsewhere and left out.

        Raises `LLMError`, with nothing in flight, when the server refuses it; `CallError` when it does not answer, and
        `RunEndedError` when another process has taken the batch for dead: then nothing of it is left at the server.
        """
        key, omitted = secrets.token_hex(16), sorted(self._client.wire.refused)
        batch = self._store.prepare(self._caller, self._task, key, omitted, [queued for queued, _ in part])
        mine = batch.waiting if batch else {}
        elsewhere = [queued for queued, _ in part if queued.custom_id not in mine]
        for queued in elsewhere:
            self._purse.settle(queued.most, 0.0)
        if batch is None:
            return len(elsewhere)
        taken_over = RunEndedError("another process has gone on with this run")
        try:
            with tempfile.TemporaryFile() as file:
                file.writelines(line for queued, line in part if queued.custom_id in mine)
                file_id = self._client.upload(key, file)
            if not self._store.uploaded(batch.id, file_id):
                raise taken_over
            state = self._client.create(key, file_id)
        except LLMError:
            self._store.finish(batch.id, RELEASED)
            raise
        if not self._store.submitted(batch.id, state.id, state.status):
            self._client.cancel(state.id)
            raise taken_over
        self._watch(replace(batch, file_id=file_id, server_id=state.id))
        return len(elsewhere)

    def enter(self, waiting: Waiting, call: Call, cost: float) -> None:
        """Commit what came of a request, once, and settle what was set aside for it."""
        self._purse.settle(waiting.most, cost)
        self.waiting[waiting.head] -= 1
        self._store.enter(waiting, self._caller, call)

    def settle(self, waiting: Waiting, *, billed: bool) -> None:
        """Settle for a request of which nothing came."""
        self._purse.settle(waiting.most, waiting.most if billed else 0.0)
        self.waiting[waiting.head] -= 1

    def let_go(self, batch: SavedBatch, state: str) -> None:
        """Commit that nothing more is to be had of a batch."""
        self._store.finish(batch.id, state)
        del self.open[batch.id]

    def _watch(self, batch: SavedBatch) -> None:
        self.open[batch.id] = batch
        self.tries.update(waiting.request_hash for waiting in batch.waiting.values())
        self.waiting.update(waiting.head for waiting in batch.waiting.values())
