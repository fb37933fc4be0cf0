"""``headscribe describe``: descriptions of heads by an LLM or by statistics, each committed when it comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from describe.catalog import Caller, Catalogue, SavedBatch
from describe.catalog.rows import aware, now
from describe.errors import InputError, RunEndedError
from describe.pipeline.common import Progress, silent
from describe.pipeline.evidence import Loader, material, state, statistics_method, statistics_settings
from describe.pipeline.extraction.extract import ExtractResult, extract
from describe.pipeline.extraction.placebos import make_placebos
from describe.pipeline.llm_stage.limits import Batching, Limits, check_batch
from describe.pipeline.llm_stage.record import Work, place_of, unfinished
from describe.pipeline.llm_stage.run import Part, ask_about
from describe.pipeline.roles import by_role
from describe.records import Description, HeadId, ModelInfo
from describe.versions import versions

if TYPE_CHECKING:
    from describe.labelling import DescribeQuestion, Inquiry, Template
    from describe.llm import LLM, Purse, Request

__all__ = ["DescribeResult", "describe", "llm_method", "load_prompt"]


@dataclass(frozen=True)
class DescribeResult:
    """What describing came to: outcomes of all the heads asked for, and what cut it short.

    Attributes:
        interrupted: by Ctrl-C or SIGTERM.
        stopped: why the run ended by itself before all heads were done, else None.
        spent: US dollars, as far as prices are known.
        batches: the server's names for the batches that are to be collected.
        placebos: of each kind of placebo asked for, its heads, each with its cause of failure, "missing" where there is
            no outcome, or None for an answer.
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
    placebos: dict[str, dict[HeadId, str | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Part:
    """The heads of one extraction: the model's own, or placebos of one ``kind``."""

    kind: str | None
    extraction_id: int
    heads: list[HeadId]
    pending: list[HeadId]
    load: Loader
    work: Work[Description]
    batches: list[SavedBatch]


def describe(
    catalogue: Catalogue,
    model: str,
    llm: LLM,
    *,
    request: Request,
    heads: str = "all",
    prompt: str | None = None,
    roles: bool = False,
    placebos: int = 0,
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
    ``placebos``: describe so many placebo heads of each kind too, whole, in the same way and from the same budget, to
    see how often a pattern is seen where none is.

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
    own = extracted.extraction_id
    load, depends = material(catalogue, model, own, template)
    asked = extracted.heads
    if roles:
        asked, load = by_role(catalogue, model, template, load, heads, device=device, dtype=dtype, progress=progress)
    placebo_parts = [
        (kind, extraction_id, wanted, material(catalogue, model, extraction_id, template, own=own)[0])
        for kind, extraction_id, wanted in make_placebos(catalogue, model, own, placebos, device, dtype, progress)
    ]
    settings |= statistics_settings(catalogue, own) if by_statistics else depends
    labeller = catalogue.register_labeller(str(llm), template.name, template.text, settings)
    run = _Run(catalogue, llm, request, template, labeller, settings, limits, purse, batch, progress)
    parts = [
        run.part(kind, extraction_id, wanted, load, retry_failed=retry_failed, fresh=fresh)
        for kind, extraction_id, wanted, load in [(None, own, asked, load), *placebo_parts]
    ]
    finished, stopped = True, None
    try:
        if by_statistics:
            for part in parts:
                given = (part.extraction_id, part.pending, settings, part.work.commit)
                state(catalogue, model, *given, own=own, device=device, progress=progress)
        else:
            finished = run.in_batches(parts) if batch else run.directly(parts, concurrency)
    except RunEndedError as error:
        stopped = str(error)
    return _result(extracted, labeller, parts, finished, stopped, run)


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


class _Run:
    """One method at work on the heads of several extractions, with one purse for all."""

    def __init__(
        self,
        catalogue: Catalogue,
        llm: LLM,
        request: Request,
        template: Template,
        labeller: int,
        settings: dict[str, Any],
        limits: Limits,
        purse: Purse,
        batch: Batching | None,
        progress: Progress,
    ) -> None:
        self.purse = purse
        self.labeller = labeller
        self._catalogue = catalogue
        self._llm = llm
        self._request = request
        self._template = template
        self._settings = settings
        self._limits = limits
        self._batch = batch
        self._progress = progress

    def part(
        self,
        kind: str | None,
        extraction_id: int,
        heads: list[HeadId],
        load: Loader,
        *,
        retry_failed: bool,
        fresh: bool,
    ) -> _Part:
        """What is to be done of one extraction. Raises `InputError` when heads wait in a batch not asked for."""
        catalogue, labeller = self._catalogue, self.labeller
        outcomes = catalogue.described_heads(extraction_id, labeller)
        pending = unfinished(heads, outcomes, retry_failed)
        batches = catalogue.batches.unfinished(extraction_id, labeller)
        _check_waiting(self._batch, batches, pending)
        made_by = versions(*self._settings.get("packages", ["openai"]))

        def save(head: HeadId, outcome: Description) -> None:
            catalogue.save_description(extraction_id, head, labeller, outcome, made_by)

        work = Work(
            catalogue,
            Caller(labeller, extraction_id, str(self._llm), place_of(self._settings), self._template.hash),
            save,
            outcomes=outcomes,
            failed=catalogue.ledger.failed_since(extraction_id, labeller),
            since=min([now(), *(aware(found.created) for found in batches)]) if fresh else None,
            give_up_after=self._limits.give_up_after,
            stage="placebos" if kind else "describe",
            total=len(pending),
            progress=self._progress,
        )
        return _Part(kind, extraction_id, heads, pending, load, work, batches)

    def directly(self, parts: list[_Part], concurrency: int) -> bool:
        """Ask about one part after the other. Returns whether all were done: False after an interrupt."""
        taken = (
            f"another run is describing these heads by {self._llm} with the same prompt and settings: let it finish,"
            " and give one run a higher --concurrency instead of starting several"
        )
        asked = [Part(part.pending, self._inquiries(part), part.work) for part in parts]
        return ask_about(asked, self._llm, self._request, self._limits, self.purse, concurrency, taken=taken)

    def in_batches(self, parts: list[_Part]) -> bool:
        """The same through batches. Where they are not waited for, those of every part are submitted."""
        from describe.llm import connect_batches
        from describe.pipeline.llm_stage.batch import describe_in_batches

        batch = self._batch or Batching()
        waiting: RunEndedError | None = None
        with connect_batches(self._llm, self._request) as client:
            for part in (part for part in parts if part.pending or part.batches):
                given = (part.work, client, self.purse, self._questions(part), part.pending, batch, self._progress)
                try:
                    if not describe_in_batches(*given):
                        return False
                except RunEndedError as error:
                    waiting = waiting or error
                    if batch.wait:
                        break
        if waiting is not None:
            raise waiting
        return True

    def at_server(self, parts: list[_Part]) -> list[str]:
        """The server's names for the batches that are to be collected."""
        batches = self._catalogue.batches
        return _at_server([found for part in parts for found in batches.unfinished(part.extraction_id, self.labeller)])

    def _inquiries(self, part: _Part) -> Callable[[HeadId], Inquiry[Description]]:
        question = self._questions(part)
        return lambda head: question(head).alone()

    def _questions(self, part: _Part) -> Callable[[HeadId], DescribeQuestion]:
        from describe.labelling import DescribeQuestion

        return lambda head: DescribeQuestion.of(self._template, part.load(head))


def _result(
    extracted: ExtractResult, labeller: int, parts: list[_Part], finished: bool, stopped: str | None, run: _Run
) -> DescribeResult:
    own, *placebos = parts
    return DescribeResult(
        model=extracted.model,
        extraction_id=own.extraction_id,
        labeller_id=labeller,
        heads=own.heads,
        new=sum(part.work.done for part in parts),
        interrupted=not finished,
        stopped=stopped,
        spent=run.purse.spent,
        batches=run.at_server(parts),
        failures={head: cause for head in own.heads if (cause := own.work.outcomes.get(head)) is not None},
        missing=[head for head in own.heads if head not in own.work.outcomes],
        placebos={
            str(part.kind): {head: part.work.outcomes.get(head, "missing") for head in part.heads} for part in placebos
        },
    )
