"""One task's dealings with the catalogue: calls and outcomes into it, earlier answers and open batches out of it."""

from __future__ import annotations

from typing import Generic, TypeVar

from describe.catalog import Caller, Catalogue
from describe.catalog.rows import aware, now
from describe.errors import RunEndedError
from describe.pipeline.llm_stage.limits import Terms
from describe.pipeline.llm_stage.task import Outcome, Task
from describe.records import SENT, Call, HeadId

__all__ = ["TaskRecord"]

TOutcome = TypeVar("TOutcome", bound=Outcome)


class TaskRecord(Generic[TOutcome]):
    """A task's stored outcomes, and its open part.

    Making one changes nothing.

    Attributes:
        outcomes: the cause of failure, or None, of each head or role that has an outcome; added to.
        batches: those at the server that are not collected, of whatever units of the task.
        pending: the units to ask about: those without an outcome, and on request those that failed.
        done: how many outcomes this run has committed.
    """

    def __init__(self, catalogue: Catalogue, caller: Caller, task: Task[TOutcome], terms: Terms) -> None:
        self.catalogue = catalogue
        self.caller = caller
        self.task = task
        self.outcomes = dict(task.outcomes)
        self.batches = catalogue.batches.unfinished(task.extraction_id, caller.labeller_id, task.name)
        self.pending = [
            unit
            for unit in task.units
            if unit not in self.outcomes or (terms.retry_failed and self.outcomes[unit] is not None)
        ]
        self.done = 0
        self.fresh = terms.fresh
        # Of a fresh run the replies that its own batches bring are used, also when an earlier process submitted them.
        self._since = min([now(), *(aware(found.created) for found in self.batches)]) if terms.fresh else None
        self._give_up_after = terms.limits.give_up_after
        self._progress = terms.progress
        self._total = len(self.pending)
        self._unanswered: list[tuple[HeadId, TOutcome]] = []
        self._hashes: set[str] | None = None

    @property
    def claim(self) -> str:
        """The name under which one run at a time asks: several tasks of a run may share it."""
        return f"{self.task.shown}-{self.caller.extraction_id}-{self.caller.labeller_id}"

    @property
    def waiting(self) -> set[HeadId]:
        """The heads or roles about which something waits in a batch."""
        return {request.head for found in self.batches for request in found.waiting.values()}

    def begin(self) -> None:
        """Begin to ask, alone under the `claim`: calls that an earlier run left in the air are lost, and a request
        that has no answer yet need not be looked up."""
        from describe.llm import ANSWERED

        self._hashes = self.catalogue.ledger.hashes(self.caller.llm, ANSWERED)
        self.catalogue.ledger.give_up_sent(self.caller)

    def enter(self, head: HeadId | None, call: Call) -> None:
        """Commit a call."""
        self.catalogue.ledger.save(self.caller, head, call)
        if self._hashes is not None and call.outcome != SENT:
            self._hashes.add(call.request_hash)

    async def kept(self) -> None:
        """Wait until all that was entered is in the catalogue. Raises `RunEndedError` when that takes too long."""
        await self.catalogue.writes.settled()

    def answered(self, head: HeadId | None, request_hash: str) -> Call | None:
        """An answer that was paid for already; to a head that failed, not one from before it did."""
        from describe.llm import ANSWERED

        if self._hashes is not None and request_hash not in self._hashes:
            return None
        since = self._since or (self.task.failed.get(head) if head is not None else None)
        return self.catalogue.ledger.find(request_hash, ANSWERED, since)

    def commit(self, head: HeadId, outcome: TOutcome) -> None:
        """Commit an outcome. Heads the server gave no answer on wait for the next that it does answer.

        Raises `RunEndedError` when too many wait: the server is down, and what it is to blame for is no outcome.
        """
        from describe.llm import TRANSIENT

        if outcome.failure in TRANSIENT:
            self._unanswered.append((head, outcome))
            if len(self._unanswered) >= self._give_up_after:
                raise RunEndedError(
                    f"the server did not answer on {len(self._unanswered)} heads in a row, after all tries"
                    f" ({outcome.failure}: {outcome.detail})"
                )
            return
        self.keep_unanswered()
        self.keep(head, outcome)

    def keep_unanswered(self) -> None:
        """Commit the failures that waited: the server is there, and did not answer on these heads."""
        waited, self._unanswered = self._unanswered, []
        for head, outcome in waited:
            self.keep(head, outcome)

    def keep(self, head: HeadId, outcome: TOutcome) -> None:
        """Commit an outcome as it is."""
        self.task.save(head, outcome)
        self.outcomes[head] = outcome.failure
        self.done += 1
        self._progress(self.task.shown, self.done, self._total)
