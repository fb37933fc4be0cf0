"""``headscribe describe``: descriptions of heads by an LLM or by statistics, each committed when it comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.evidence.attention import describe_looks
from describe.labelling.looks import LOOKS
from describe.pipeline.common import Progress, silent
from describe.pipeline.evidence import Loader, attention_of, material, state, statistics_method, statistics_settings
from describe.pipeline.extraction.extract import extract
from describe.pipeline.extraction.placebos import AskedPlacebos, make_placebos
from describe.pipeline.llm_stage.limits import Batching, Limits, Terms
from describe.pipeline.llm_stage.record import TaskRecord
from describe.pipeline.llm_stage.run import LLMStage, StageResult, StageRun
from describe.pipeline.llm_stage.task import Task
from describe.pipeline.roles import by_role
from describe.records import Description, HeadId, ModelInfo

if TYPE_CHECKING:
    from describe.labelling import Template
    from describe.llm import LLM, Request

__all__ = ["DescribeResult", "asked_placebos", "describe", "description_task", "llm_method", "load_prompt"]


_TAKEN = (
    "another run is describing these heads by {} with the same prompt and settings: let it finish, and give one run a"
    " higher --concurrency instead of starting several"
)


@dataclass(frozen=True, kw_only=True)
class DescribeResult(StageResult):
    """The result of describing: outcomes of all the heads asked for, and what cut it short.

    Attributes:
        placebos: of each kind of placebo asked for, its heads, each with its cause of failure, "missing" where there is
            no outcome, or None for an answer.
        described: of the heads asked for (``own``), and of each kind of placebo, how many are said to do something.
    """

    labeller_id: int
    heads: list[HeadId]
    placebos: dict[str, dict[HeadId, str | None]] = field(default_factory=dict)
    described: dict[str, int] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """How many of the heads are described, beside how many placebos are, in a line."""
        asked = {kind: len(found) for kind, found in self.placebos.items()}
        own = f"described: {self.described.get('own', 0)} of {len(self.heads)} own heads"
        return ", ".join([own, *(f"{self.described.get(kind, 0)} of {n} {kind} ones" for kind, n in asked.items())])


def describe(
    catalogue: Catalogue,
    model: str,
    llm: LLM,
    *,
    request: Request,
    heads: str = "all",
    reading: str | None = None,
    prompt: str | None = None,
    roles: bool = False,
    placebos: int | None = 0,
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

    Extracts first what is missing by the ``reading`` (None: as `extract` chooses); what has an outcome is not asked
    again. At most ``concurrency`` heads are asked about at once. Failures are kept as such and asked again only with
    ``retry_failed``. Every call is entered in the ledger and every outcome committed when it comes in; a request that
    the ledger has a reply to is not sent, unless ``fresh``. With ``batch``, calls go through the Batch API, at half the
    price and within a day.

    With ``roles``, heads that do several things are described role by role, of those signs that the prompt shows.
    ``placebos``: describe so many placebo heads of each kind too, whole, in the same way and from the same budget, to
    see how often a pattern is seen where none is; None for as many random ones as take a tenth of the run, where an
    LLM is asked.

    Raises `InputError` when the model, the selection or the LLM cannot be used, there is a budget and no price, or
    heads wait in a batch and ``batch`` is not asked for; `CatalogueError` while another run asks about them.
    """
    by_statistics = not llm.kind.asks
    template, settings = (statistics_method(prompt), {}) if by_statistics else llm_method(llm, request, prompt)
    terms = Terms(concurrency, limits or Limits(), batch, retry_failed, fresh, progress)
    stage = LLMStage(catalogue, llm, request, template, terms)
    extracted = extract(
        catalogue,
        model,
        heads=heads,
        reading=reading,
        random=by_statistics,
        device=device,
        dtype=dtype,
        progress=progress,
    )
    own = extracted.extraction_id
    load, depends = material(catalogue, model, own, template)
    units = extracted.heads
    if roles:
        units, load = by_role(
            catalogue, model, template, load, heads, reading=reading, device=device, dtype=dtype, progress=progress
        )
    control = asked_placebos(catalogue, llm, own, placebos, extracted.heads)
    made = make_placebos(catalogue, model, own, control, device, dtype, progress)
    loaders = [material(catalogue, model, extraction_id, template, own=own)[0] for _, extraction_id, _ in made]
    stage.enter(
        settings | (statistics_settings(catalogue, own) if by_statistics and not template.uses & LOOKS else depends)
    )
    tasks = [description_task(stage, own, units, load)]
    for (_, extraction_id, some), of_placebos in zip(made, loaders, strict=True):
        tasks.append(description_task(stage, extraction_id, some, of_placebos, shown="placebos"))

    machine = _by_evidence(stage, model, own, device) if by_statistics else None
    ran = stage.run(tasks, _TAKEN.format(llm), machine)
    return _result(stage, extracted.model, [kind for kind, *_ in made], ran)


def _result(stage: LLMStage, model: ModelInfo, kinds: list[str], ran: StageRun) -> DescribeResult:
    """The result of a run: of the model's own heads, then of each kind of placebo."""
    labeller = stage.labeller_id or 0
    outcomes, *of_placebo = [
        {unit: record.outcomes.get(unit, "missing") for unit in record.task.units} for record in ran.records
    ]
    own, *_ = (record.task for record in ran.records)
    return DescribeResult(
        model=model,
        extraction_id=own.extraction_id,
        labeller_id=labeller,
        heads=own.units,
        failures={unit: cause for unit, cause in outcomes.items() if cause not in (None, "missing")},
        missing=[unit for unit, cause in outcomes.items() if cause == "missing"],
        placebos=dict(zip(kinds, of_placebo, strict=True)),
        described={
            kind: len(stage.catalogue.patterns(record.task.extraction_id, labeller).intersection(record.task.units))
            for kind, record in zip(("own", *kinds), ran.records, strict=True)
        },
        **ran.result(),
    )


def asked_placebos(catalogue: Catalogue, llm: LLM, own: int, number: int | None, wanted: list[HeadId]) -> AskedPlacebos:
    """The placebos to describe beside the heads ``wanted``; None: those of `AskedPlacebos.of`, of an LLM alone."""
    if number is None and not llm.kind.asks:
        return AskedPlacebos()
    return AskedPlacebos.of(number, wanted, catalogue.saved_heads(own))


def _by_evidence(stage: LLMStage, model: str, own: int, device: str) -> Callable[[TaskRecord[Description]], None]:
    """The describer that asks nobody: it puts into words what is pending of a task."""
    catalogue, progress = stage.catalogue, stage.terms.progress

    def describe_all(record: TaskRecord[Description]) -> None:
        if stage.template.uses & LOOKS:
            looks, _ = attention_of(catalogue, model, shuffled=record.task.extraction_id != own)
            for head in record.pending:
                record.commit(head, describe_looks(looks[head._replace(role=0)]))
            return
        given = (record.task.extraction_id, record.pending, stage.settings, record.commit)
        state(catalogue, model, *given, own=own, device=device, progress=progress)

    return describe_all


def description_task(
    stage: LLMStage, extraction_id: int, units: list[HeadId], load: Loader, *, shown: str = "describe"
) -> Task[Description]:
    """To describe heads or roles of an extraction, each read by ``load``."""
    from describe.labelling import DescribeQuestion

    catalogue, labeller, made_by = stage.catalogue, stage.labeller_id or 0, stage.made_by

    def save(unit: HeadId, outcome: Description) -> None:
        catalogue.save_description(extraction_id, unit, labeller, outcome, made_by)

    return Task(
        name="describe",
        shown=shown,
        extraction_id=extraction_id,
        units=units,
        inquire=lambda unit: DescribeQuestion.of(stage.template, load(unit)).alone(),
        save=save,
        outcomes=catalogue.described_heads(extraction_id, labeller),
        failed=catalogue.ledger.failed_since(extraction_id, labeller),
    )


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
