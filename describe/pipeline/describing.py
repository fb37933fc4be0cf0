"""``headscribe describe``: descriptions of heads by an LLM or by statistics, each committed when it comes in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from describe.catalog import Caller, Catalogue, SavedBatch
from describe.catalog.rows import aware, now
from describe.errors import InputError, RunEndedError
from describe.pipeline.common import Progress, silent
from describe.pipeline.extracting import ExtractResult, extract
from describe.pipeline.limits import Batching, Limits, check_batch
from describe.pipeline.splitting import by_role
from describe.pipeline.stating import material, state, statistics_method, statistics_settings
from describe.records import SENT, Call, Description, HeadId, HeadMapping, ModelInfo
from describe.versions import versions

if TYPE_CHECKING:
    from describe.labelling import Template
    from describe.llm import LLM, Pacer, Purse, Request

__all__ = ["DescribeResult", "Work", "describe"]

T = TypeVar("T")


@dataclass(frozen=True)
class DescribeResult:
    """What describing came to: outcomes of all the heads asked for, and what cut it short.

    Attributes:
        interrupted: by Ctrl-C or SIGTERM.
        stopped: why the run ended by itself before all heads were done, else None.
        spent: US dollars, as far as prices are known.
        batches: the server's names for the batches that are to be collected.
    """

    model: ModelInfo
    extraction_id: int
    labeller_id: int
    heads: list[HeadId]
    new: int
    interrupted: bool
    stopped: str | None = None
    spent: float = 0.0
    batches: list[str] = field(default_factory=list)
    failures: dict[HeadId, str] = field(default_factory=dict)
    missing: list[HeadId] = field(default_factory=list)


def describe(
    catalogue: Catalogue,
    model: str,
    llm: LLM,
    *,
    request: Request,
    heads: str = "all",
    prompt: str | None = None,
    roles: bool = False,
    concurrency: int = 8,
    limits: Limits | None = None,
    batch: Batching | None = None,
    retry_failed: bool = False,
    fresh: bool = False,
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = silent,
) -> DescribeResult:
    """Describe a model's heads by an LLM, or by ``statistics`` of their mappings without one.

    Extracts first what is missing; what has an outcome is not asked again. At most ``concurrency`` heads are asked
    about at once. Failures are kept as failures and asked again only with ``retry_failed``. Every call is entered in
    the ledger and every outcome committed when it comes in; a request that the ledger has a reply to is not sent,
    unless ``fresh``. With ``batch``, calls go through the Batch API, at half the price and within a day.

    With ``roles``, heads that do several things are described role by role, of those signs that the prompt shows.

    Raises `InputError` when the model, the selection or the LLM cannot be used, there is a budget and no price, or
    heads wait in a batch and ``batch`` is not asked for; `CatalogueError` while another run asks about them.
    """
    limits = limits or Limits()
    if concurrency < 1:
        raise InputError("--concurrency must be at least 1")
    by_statistics = llm.provider == "statistics"
    template, settings = (statistics_method(prompt), {}) if by_statistics else llm_method(llm, request, prompt)
    check_batch(llm, template, batch is not None)
    purse = limits.purse(llm, batch=batch is not None)
    extracted = extract(catalogue, model, heads=heads, device=device, dtype=dtype, progress=progress)
    load, depends = material(catalogue, model, extracted.extraction_id, template)
    asked = extracted.heads
    if roles:
        asked, load = by_role(catalogue, model, template, load, heads, device=device, dtype=dtype, progress=progress)
    settings |= statistics_settings(catalogue, extracted.extraction_id) if by_statistics else depends
    labeller = catalogue.register_labeller(str(llm), template.name, template.text, settings)
    outcomes = catalogue.described_heads(extracted.extraction_id, labeller)
    pending = unfinished(asked, outcomes, retry_failed)
    batches = catalogue.batches.unfinished(extracted.extraction_id, labeller)
    _check_waiting(batch, batches, pending)
    caller = Caller(labeller, extracted.extraction_id, str(llm), _place(settings), template.hash)
    made_by = versions(*settings.get("packages", ["openai"]))
    since = min([now(), *(aware(found.created) for found in batches)]) if fresh else None
    work = Work(catalogue, caller, load, limits.give_up_after, since, outcomes, len(pending), made_by, progress)
    progress("describe", 0, len(pending))
    finished, stopped = True, None
    try:
        if pending and by_statistics:
            state(catalogue, model, extracted.extraction_id, pending, settings, work.commit)
        elif batch is not None:
            finished = _run_batches(work, llm, request, purse, template, pending, batch, progress)
        elif pending:
            pacer = limits.pacer(concurrency, request.longest_wait)
            finished = _run_alone(work, lambda: _run(work, llm, request, pacer, purse, template, pending))
    except RunEndedError as error:
        stopped = str(error)
    return _result(extracted, asked, work, purse, outcomes, finished, stopped)


def _result(
    extracted: ExtractResult,
    asked: list[HeadId],
    work: Work,
    purse: Purse,
    outcomes: dict[HeadId, str | None],
    finished: bool,
    stopped: str | None,
) -> DescribeResult:
    extraction_id, labeller = work.caller.extraction_id, work.caller.labeller_id
    return DescribeResult(
        model=extracted.model,
        extraction_id=extraction_id,
        labeller_id=labeller,
        heads=asked,
        new=work.done,
        interrupted=not finished,
        stopped=stopped,
        spent=purse.spent,
        batches=_at_server(work.catalogue.batches.unfinished(extraction_id, labeller)),
        failures={head: cause for head in asked if (cause := outcomes.get(head)) is not None},
        missing=[head for head in asked if head not in outcomes],
    )


def _run_alone(work: Work, run: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
    """One run at a time, so that no two pay for the same head; what an earlier one left in the air is lost."""
    caller = work.caller
    taken = (
        f"another run is describing these heads by {caller.llm} with the same prompt and settings: let it finish,"
        " and give one run a higher --concurrency instead of starting several"
    )
    with work.catalogue.claim(f"describe-{caller.extraction_id}-{caller.labeller_id}", taken):
        work.begin_alone()
        return run_async(run)


def unfinished(heads: list[HeadId], outcomes: dict[HeadId, str | None], retry_failed: bool) -> list[HeadId]:
    """The heads to ask about: those without an outcome, and on request those that failed."""
    return [head for head in heads if head not in outcomes or (retry_failed and outcomes[head] is not None)]


def _check_waiting(batch: Batching | None, batches: list[SavedBatch], heads: list[HeadId]) -> None:
    """Raises `InputError` when a direct run would ask what was asked in a batch that is not collected."""
    waiting = {request.head for found in batches for request in found.waiting.values()} & set(heads)
    if batch is None and waiting:
        names = ", ".join(_at_server(batches)) or "one that was being submitted"
        raise InputError(
            f"{len(waiting)} of these heads wait in a batch ({names}): the same command with --batch collects it"
        )


def _at_server(batches: list[SavedBatch]) -> list[str]:
    return [found.server_id for found in batches if found.server_id is not None]


def llm_method(llm: LLM, request: Request, prompt: str | None) -> tuple[Template, dict[str, Any]]:
    """The prompt template, and what the replies depend on. Raises `InputError` when either cannot be used."""
    from describe.llm import identity

    return load_prompt(prompt), request.provenance() | identity(llm)


def load_prompt(prompt: str | None) -> Template:
    """The prompt template. Raises `InputError` when it cannot be used, or what it shows of heads cannot be had."""
    from describe.labelling import DEFAULT_PROMPT, load_template

    template = load_template(prompt or DEFAULT_PROMPT)
    if "evidence" in template.uses:
        from describe.evidence import grammar_versions

        grammar_versions()
    return template


def _place(settings: dict[str, Any]) -> str:
    """Where an LLM answers: its endpoint, or the content hash of its file; nowhere for statistics."""
    return str(settings.get("endpoint") or settings.get("content_hash") or "")


async def _run(
    work: Work, llm: LLM, request: Request, pacer: Pacer, purse: Purse, template: Template, heads: list[HeadId]
) -> bool:
    from describe.labelling import describe_heads
    from describe.llm import Oversight, connect

    concurrency = pacer.limit
    async with connect(llm, request, concurrency, Oversight(pacer, purse, work)) as client:
        finished = await describe_heads(client, template, heads, work.load, work.commit, concurrency)
    work.keep_unanswered()
    return finished


def _run_batches(
    work: Work,
    llm: LLM,
    request: Request,
    purse: Purse,
    template: Template,
    heads: list[HeadId],
    batch: Batching,
    progress: Progress,
) -> bool:
    from describe.llm import connect_batches
    from describe.pipeline.batching import describe_in_batches

    with connect_batches(llm, request) as client:
        return describe_in_batches(work, client, purse, template, heads, batch, progress)


class Work:
    """One run's dealings with the catalogue: mappings out of it, calls and outcomes into it."""

    def __init__(
        self,
        catalogue: Catalogue,
        caller: Caller,
        load: Callable[[HeadId], HeadMapping],
        give_up_after: int,
        since: datetime | None,
        outcomes: dict[HeadId, str | None],
        total: int,
        made_by: dict[str, str],
        progress: Progress,
    ) -> None:
        self.done = 0
        self.catalogue = catalogue
        self.caller = caller
        self.load = load
        self._give_up_after = give_up_after
        self.fresh = since is not None
        self._since = since
        self._failed = catalogue.ledger.failed_since(caller.extraction_id, caller.labeller_id)
        self._outcomes = outcomes
        self._total = total
        self._progress = progress
        self._unanswered: list[tuple[HeadId, Description]] = []
        self._made_by = made_by
        self._hashes: set[str] | None = None

    def begin_alone(self) -> None:
        """What earlier runs left in the air is lost; and from now on nobody but this run gets answers.

        So a request that has none yet need not be looked up.
        """
        from describe.llm import ANSWERED

        self.catalogue.ledger.give_up_sent(self.caller)
        self._hashes = self.catalogue.ledger.hashes(self.caller.llm, ANSWERED)

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

    def commit(self, head: HeadId, outcome: Description) -> None:
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

    def keep(self, head: HeadId, outcome: Description) -> None:
        """Commit an outcome as it is."""
        caller = self.caller
        self.catalogue.save_description(caller.extraction_id, head, caller.labeller_id, outcome, self._made_by)
        self._outcomes[head] = outcome.failure
        self.done += 1
        self._progress("describe", self.done, self._total)


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
