"""The stage that asks an LLM about heads: one labeller, its tasks one after the other or in batches, from one purse."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from describe.catalog import Caller, Catalogue
from describe.errors import InputError, LLMError, RunEndedError
from describe.pipeline.llm_stage.limits import Terms
from describe.pipeline.llm_stage.record import TaskRecord
from describe.pipeline.llm_stage.task import Task
from describe.records import ModelInfo
from describe.versions import versions

if TYPE_CHECKING:
    from describe.labelling import Template
    from describe.llm import LLM, Pacer, Request

__all__ = ["LLMStage", "StageResult", "StageRun"]

T = TypeVar("T")


@dataclass(frozen=True)
class StageRun:
    """The result of a run of an LLM stage.

    Attributes:
        records: of each task, in order, its outcomes.
        interrupted: by Ctrl-C or SIGTERM.
        stopped: why the run ended by itself before all was done, else None.
        spent: US dollars, as far as prices are known; ``promised``: as many more at most for what waits at the server.
        batches: the server's names for the batches that are to be collected.
    """

    records: list[TaskRecord[Any]]
    interrupted: bool
    stopped: str | None
    spent: float
    promised: float
    batches: list[str]

    def result(self) -> dict[str, Any]:
        """The fields of a `StageResult` that are the same whatever was asked."""
        new = sum(record.done for record in self.records)
        names = ("interrupted", "stopped", "spent", "promised", "batches")
        return {"new": new} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """The result of describing, judging or comparing, as far as it is alike for all three.

    Attributes:
        new: how many outcomes this run committed.
        failures: the causes by what was asked about; ``missing``: what has no outcome.
        interrupted, stopped, spent, promised, batches: as in `StageRun`.
    """

    model: ModelInfo
    extraction_id: int
    new: int = 0
    interrupted: bool = False
    stopped: str | None = None
    spent: float = 0.0
    promised: float = 0.0
    batches: list[str] = field(default_factory=list)
    failures: dict[Any, str] = field(default_factory=dict)
    missing: list[Any] = field(default_factory=list)


class LLMStage:
    """One LLM, asked in one way, with one purse for all tasks. Or who answers in its place: statistics.

    Raises `InputError` as `Terms.purse` does, before anything is entered in the catalogue.
    """

    def __init__(self, catalogue: Catalogue, llm: LLM, request: Request, template: Template, terms: Terms) -> None:
        self.purse = terms.purse(llm, template)
        self.catalogue = catalogue
        self.llm = llm
        self.request = request
        self.template = template
        self.terms = terms
        self.settings: dict[str, Any] = {}
        self.labeller_id: int | None = None

    @property
    def made_by(self) -> dict[str, str]:
        """The versions that what comes of it depends on."""
        return versions(*self.settings.get("packages", filter(None, [self.llm.kind.package])))

    def enter(self, settings: dict[str, Any], *, keep: bool = True) -> int:
        """Enter the LLM with its template as a labeller, or find it; ``settings``: what its answers depend on besides.

        Returns its id; unless ``keep`` nothing is entered, and the id of one that is not there is 0.
        """
        known = self.catalogue.register_labeller if keep else self.catalogue.find_labeller
        self.settings = settings
        self.labeller_id = known(str(self.llm), self.template.name, self.template.text, settings)
        return self.labeller_id or 0

    def records(self, tasks: Sequence[Task[Any]]) -> list[TaskRecord[Any]]:
        """The open part of each task. Changes nothing."""
        place = str(self.settings.get("endpoint") or self.settings.get("content_hash") or "")
        of = (self.labeller_id or 0, str(self.llm), place, self.template.hash)
        return [
            TaskRecord(self.catalogue, Caller(of[0], task.extraction_id, *of[1:]), task, self.terms) for task in tasks
        ]

    def run(
        self,
        tasks: Sequence[Task[Any]],
        taken: str,
        machine: Callable[[TaskRecord[Any]], None] | None = None,
        *,
        mixed: bool = False,
    ) -> StageRun:
        """Find out what the tasks ask for, each outcome committed when it comes in.

        ``taken``: what to say where another run asks the same. ``machine`` finds out about a task's pending units where
        no LLM is asked. ``mixed``: the units of all tasks are asked about in one random order, so that an LLM that
        keeps what it was asked before cannot tell by the order whose turn it is.

        Raises `CatalogueError` where another run is at it, `LLMError` when no call will ever succeed, and `InputError`
        where a direct run would ask what waits in a batch.
        """
        records = self.records(tasks)
        self._check_waiting(records)
        finished, stopped = True, None
        try:
            if machine is not None:
                for record in records:
                    machine(record)
            elif self.terms.batch is not None:
                finished = self._in_batches(records)
            else:
                finished = _run_async(lambda: self._directly(records, taken, mixed))
        except RunEndedError as error:
            stopped = str(error)
        except LLMError as error:
            error.spent = self.purse.spent + self.purse.reserved
            raise
        left = [found for record in self.records(tasks) for found in record.batches]
        money = (self.purse.spent, self.purse.reserved)
        return StageRun(records, not finished, stopped, *money, _at_server(left))

    def _check_waiting(self, records: Sequence[TaskRecord[Any]]) -> None:
        waiting = sum(len(record.waiting & set(record.pending)) for record in records)
        if self.terms.batch is None and waiting:
            names = ", ".join(_at_server([found for record in records for found in record.batches]))
            raise InputError(
                f"{waiting} of these heads wait in a batch ({names or 'one that was being submitted'}): the same"
                " command with --batch collects it"
            )

    def _in_batches(self, records: Sequence[TaskRecord[Any]]) -> bool:
        from describe.llm import connect_batches
        from describe.pipeline.llm_stage.batch import ask_in_batches

        asked = [record for record in records if record.pending or record.batches]
        if not asked:
            return True
        with connect_batches(self.llm, self.request) as client:
            return ask_in_batches(asked, client, self.purse, self.terms)

    async def _directly(self, records: Sequence[TaskRecord[Any]], taken: str, mixed: bool) -> bool:
        """One task after the other, or all mixed. Returns whether all were done: False after an interrupt."""
        pacer = self.terms.limits.pacer(self.terms.concurrency, self.request.longest_wait)
        asked = [record for record in records if record.pending]
        for together in [asked] if mixed else [[record] for record in asked]:
            if not await self._ask(together, pacer, taken):
                return False
        return True

    async def _ask(self, records: Sequence[TaskRecord[Any]], pacer: Pacer, taken: str) -> bool:
        """Ask about the pending units of some tasks, in random order where there are several tasks."""
        from describe.labelling import inquire, work_through
        from describe.llm import Oversight, connect

        concurrency = self.terms.concurrency
        todo = [(place, unit) for place, record in enumerate(records) for unit in record.pending]
        if len(records) > 1:
            random.Random(len(todo)).shuffle(todo)  # noqa: S311  (no secret)
        with ExitStack() as claims:
            for name in dict.fromkeys(record.claim for record in records):
                claims.enter_context(self.catalogue.claim(name, taken))
            claims.enter_context(self.catalogue.writes.often())
            for record in records:
                record.begin()
            async with AsyncExitStack() as opened:
                clients = [
                    await opened.enter_async_context(
                        connect(self.llm, self.request, concurrency, Oversight(pacer, self.purse, record))
                    )
                    for record in records
                ]
                asked = await work_through(
                    todo,
                    lambda one: inquire(clients[one[0]], records[one[0]].task.inquire(one[1]), one[1]),
                    lambda one, outcome: records[one[0]].commit(one[1], outcome),
                    concurrency,
                )
            for record in records if asked else ():
                record.keep_unanswered()
                await record.kept()
        return asked


def _at_server(batches: list[Any]) -> list[str]:
    """The server's names for batches."""
    return [found.server_id for found in batches if found.server_id is not None]


def _run_async(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
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
