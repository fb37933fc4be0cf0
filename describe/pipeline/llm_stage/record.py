"""What a run that asks an LLM about heads does with the catalogue: describing and judging alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from describe.catalog import Caller, Catalogue
from describe.errors import RunEndedError
from describe.pipeline.common import Progress
from describe.records import SENT, Call, HeadId

__all__ = ["Outcome", "Work", "place_of", "run_async", "unfinished"]


class Outcome(Protocol):
    """What is found out about a head: an answer, or a failure with its cause and a sentence on it."""

    @property
    def failure(self) -> str | None: ...

    @property
    def detail(self) -> str | None: ...


T = TypeVar("T")
TOutcome = TypeVar("TOutcome", bound=Outcome)


class Work(Generic[TOutcome]):
    """One run's dealings with the catalogue: calls and outcomes into it, earlier answers out of it.

    Args:
        save: commits a head's outcome.
        outcomes: the cause of failure, or None, of each head that has an outcome; added to.
        failed: when the heads that failed did so: an answer from before is not used again.
        since: no answer from before this moment is used; None: all are.
        give_up_after: the run ends when so many heads in a row got no answer.
        stage, total: for ``progress``.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        caller: Caller,
        save: Callable[[HeadId, TOutcome], None],
        *,
        outcomes: dict[HeadId, str | None],
        failed: dict[HeadId, datetime],
        since: datetime | None,
        give_up_after: int,
        stage: str,
        total: int,
        progress: Progress,
    ) -> None:
        self.done = 0
        self.catalogue = catalogue
        self.caller = caller
        self.outcomes = outcomes
        self.fresh = since is not None
        self._save = save
        self._failed = failed
        self._since = since
        self._give_up_after = give_up_after
        self._stage = stage
        self._total = total
        self._progress = progress
        self._unanswered: list[tuple[HeadId, TOutcome]] = []
        self._hashes: set[str] | None = None

    @contextmanager
    def alone(self, taken: str) -> Iterator[None]:
        """While the block runs no other run pays for the same; what an earlier one left in the air is lost.

        So a request that has no answer yet need not be looked up. Raises `CatalogueError`, saying ``taken``, when
        another run is at it.
        """
        from describe.llm import ANSWERED

        caller = self.caller
        with self.catalogue.claim(f"{self._stage}-{caller.extraction_id}-{caller.labeller_id}", taken):
            self.catalogue.ledger.give_up_sent(caller)
            self._hashes = self.catalogue.ledger.hashes(caller.llm, ANSWERED)
            with self.catalogue.writes.often():
                yield

    def enter(self, head: HeadId | None, call: Call) -> None:
        """Commit a call."""
        self.catalogue.ledger.save(self.caller, head, call)
        if self._hashes is not None and call.outcome != SENT:
            self._hashes.add(call.request_hash)

    def answered(self, head: HeadId | None, request_hash: str) -> Call | None:
        """An answer that was paid for already; to a head that failed, not one from before it did."""
        from describe.llm import ANSWERED

        if self._hashes is not None and request_hash not in self._hashes:
            return None
        since = self._since or (self._failed.get(head) if head is not None else None)
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
        self._save(head, outcome)
        self.outcomes[head] = outcome.failure
        self.done += 1
        self._progress(self._stage, self.done, self._total)


def unfinished(heads: list[HeadId], outcomes: dict[HeadId, str | None], retry_failed: bool) -> list[HeadId]:
    """The heads to ask about: those without an outcome, and on request those that failed."""
    return [head for head in heads if head not in outcomes or (retry_failed and outcomes[head] is not None)]


def place_of(settings: dict[str, Any]) -> str:
    """Where an LLM answers: its endpoint, or the content hash of its file; nowhere for statistics."""
    return str(settings.get("endpoint") or settings.get("content_hash") or "")


def run_async(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end, in a thread of its own where a loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    loop = asyncio.new_event_loop()
    task = loop.create_task(work())
    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(loop.run_until_complete, task).result()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(task.cancel)
            raise
