"""``headscribe score``: how far descriptions are true of rows that their authors never saw, by a judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from describe.catalog import Caller, Catalogue, Told
from describe.catalog.rows import now
from describe.errors import InputError, RunEndedError
from describe.pipeline.common import Progress, find, silent
from describe.pipeline.held_out import (
    TRIAL,
    JudgedPart,
    RowsOf,
    Trials,
    check_kept,
    chosen_authors,
    too_few,
)
from describe.pipeline.llm_stage.limits import Limits
from describe.pipeline.llm_stage.record import Work, place_of, unfinished
from describe.pipeline.llm_stage.run import ask_about
from describe.records import HeadId, ModelInfo, Score, parse_heads
from describe.versions import versions

if TYPE_CHECKING:
    from describe.labelling import Inquiry, Template
    from describe.llm import LLM, Request
    from describe.scoring import Judgement, Words

__all__ = ["Judging", "Measure", "ScoreResult", "judging", "score"]

Measure = Literal["detection", "likelihood"]


@dataclass(frozen=True)
class ScoreResult:
    """What judging came to.

    Attributes:
        judged: the descriptions that were to be judged, those of placebos too.
        failures: the causes, by head and author; ``missing``: how many descriptions have no outcome.
        stopped: why the run ended by itself before all was done, else None.
    """

    model: ModelInfo
    extraction_id: int
    judged: int
    new: int
    failures: dict[str, str]
    missing: int
    interrupted: bool
    stopped: str | None = None
    spent: float = 0.0


def score(
    catalogue: Catalogue,
    model: str,
    judge: LLM,
    *,
    request: Request,
    heads: str = "all",
    llm: str | None = None,
    prompt: str | None = None,
    template: str | None = None,
    measure: Measure = "detection",
    concurrency: int = 8,
    limits: Limits | None = None,
    retry_failed: bool = False,
    fresh: bool = False,
    progress: Progress = silent,
) -> ScoreResult:
    """Have a judge score the descriptions of a model, and those of its placebos, by held-out rows.

    ``measure``: by detection, or by the bits that they save (likelihood), for which the judge's server must give
    log-probabilities.

    ``llm``, ``prompt``: whose descriptions; all by default, by ``statistics`` only where that is the judge, which can
    judge no others. ``template``: what the judge is asked. What has a score is not judged again, what failed only with
    ``retry_failed``; with ``fresh`` no reply that the ledger has is used again. A role is judged by its own held-out
    rows. Abstentions are not judged. Raises `InputError` where there is nothing to judge, rows to judge by
    were not kept, or judge or selection cannot be used; `CatalogueError` while another run judges the same.
    """
    limits = limits or Limits()
    purse = limits.purse(judge)
    run, parts = judging(
        catalogue, model, judge, request, heads, llm, prompt, template, measure, limits, retry_failed, fresh, progress
    )
    finished, stopped = True, None
    try:
        if judge.provider == "statistics":
            run.by_statistics(model, parts)
        else:
            taken = f"another run has {judge} judge these descriptions in the same way: let it finish"
            finished = ask_about(parts, judge, request, limits, purse, concurrency, taken=taken)
    except RunEndedError as error:
        stopped = str(error)
    outcomes = [
        (told, part.work.outcomes.get(head, "missing")) for part in parts for head, told in part.trials.told.items()
    ]
    return ScoreResult(
        model=run.info,
        extraction_id=run.own,
        judged=len(outcomes),
        new=sum(part.work.done for part in parts),
        failures={f"{t.head} by {t.llm}": cause for t, cause in outcomes if cause not in (None, "missing")},
        missing=sum(cause == "missing" for _, cause in outcomes),
        interrupted=not finished,
        stopped=stopped,
        spent=purse.spent,
    )


def judging(
    catalogue: Catalogue,
    model: str,
    judge: LLM,
    request: Request,
    heads: str,
    llm: str | None,
    prompt: str | None,
    template: str | None,
    measure: Measure,
    limits: Limits,
    retry_failed: bool,
    fresh: bool = False,
    progress: Progress = silent,
    *,
    keep: bool = True,
) -> tuple[Judging, list[JudgedPart]]:
    """What `score` is to judge, with its arguments; ``keep``: enter the judge into the catalogue if it is new."""
    info, own = find(catalogue, model)
    method, settings = _method(judge, request, template, measure)
    if judge.provider == "statistics":
        if llm not in (None, "statistics"):
            raise InputError(
                f"--judge statistics can judge the claims of --llm statistics only, not the words of {llm}: name an LLM"
            )
        llm = "statistics"
    authors = chosen_authors(catalogue.scores.descriptions(own), llm, prompt)
    if not authors:
        by = " ".join(filter(None, (llm, prompt))) or "anyone"
        raise InputError(f"no head of {model} is described by {by}: run headscribe describe {model}")
    check_kept(catalogue, model, own)
    enter = catalogue.register_labeller if keep else catalogue.find_labeller
    judge_id = enter(str(judge), method.name, method.text, settings)
    run = Judging(
        catalogue, info, own, judge, judge_id, method, settings, measure, limits, retry_failed, fresh, progress
    )
    wanted = set(parse_heads(heads, info.n_layers, info.n_heads))
    return run, [part for author in authors for part in run.parts(author, wanted)]


def _method(judge: LLM, request: Request, template: str | None, measure: Measure) -> tuple[Template, dict[str, Any]]:
    """What the judge is asked, or how statistics judge, and what the outcome depends on."""
    from describe.labelling import Template
    from describe.llm import identity
    from describe.scoring import METHOD, SETTINGS, load_choice_template, load_judge_template

    if judge.provider != "statistics":
        load = load_judge_template if measure == "detection" else load_choice_template
        return load(template), request.provenance() | identity(judge)
    if measure != "detection":
        raise InputError("--judge statistics has no likelihoods: name an LLM, or leave out --measure")
    if template is not None:
        raise InputError("--judge statistics takes no --judge-prompt: it asks nobody")
    return Template("evidence-judge-1", METHOD), dict(SETTINGS)


@dataclass
class Judging:
    """One judge at work on the descriptions of several authors; ``judge_id`` is None where it is new and not kept."""

    catalogue: Catalogue
    info: ModelInfo
    own: int
    judge: LLM
    judge_id: int | None
    template: Template
    settings: dict[str, Any]
    measure: Measure
    limits: Limits
    retry_failed: bool
    fresh: bool
    progress: Progress
    made_by: dict[str, str] = field(default_factory=lambda: versions("openai"))

    def parts(self, author: int, wanted: set[HeadId]) -> list[JudgedPart]:
        """What is to be judged of an author: descriptions of the model's own heads, then those of each placebo."""
        own = [told for told in self.catalogue.scores.descriptions(self.own) if told.labeller_id == author]
        rows = RowsOf(self.catalogue, self.own, suppressed=any(t.settings.get("shows") == "suppressed" for t in own))
        others = {told.head: told for told in own if told.answers}
        found = [self._part(self.own, {u: t for u, t in others.items() if u._replace(role=0) in wanted}, others, rows)]
        for placebo in self.catalogue.placebos.of(self.own).values():
            by_author = [told for told in self.catalogue.scores.descriptions(placebo) if told.labeller_id == author]
            told = {one.head: one for one in by_author if one.answers}
            found.append(self._part(placebo, told, {}, rows))
        return found

    def _part(
        self, extraction_id: int, told: dict[HeadId, Told], others: dict[HeadId, Told], own_rows: RowsOf
    ) -> JudgedPart:
        catalogue = self.catalogue
        judge_id = self.judge_id or 0
        done = catalogue.scores.outcomes(extraction_id, judge_id, self.measure, TRIAL)
        outcomes = {unit: done[one.id] for unit, one in told.items() if one.id in done}
        pending = unfinished(list(told), {unit: failure for unit, (failure, _) in outcomes.items()}, self.retry_failed)

        def save(unit: HeadId, outcome: Score) -> None:
            catalogue.scores.save(told[unit].id, judge_id, outcome, TRIAL, self.made_by)

        work = Work(
            catalogue,
            Caller(judge_id, extraction_id, str(self.judge), place_of(self.settings), self.template.hash),
            save,
            outcomes={unit: failure for unit, (failure, _) in outcomes.items()},
            failed={unit: at for unit, (failure, at) in outcomes.items() if failure is not None},
            since=now() if self.fresh else None,
            give_up_after=self.limits.give_up_after,
            stage="judge" if extraction_id == self.own else "placebos",
            total=len(pending),
            progress=self.progress,
        )
        down = own_rows.suppressed
        rows = own_rows if extraction_id == self.own else RowsOf(catalogue, extraction_id, suppressed=down)
        heads = sorted(catalogue.saved_heads(self.own))
        trials = Trials(told, others, rows, own_rows, heads, self.info.vocab_size)
        return JudgedPart(pending, lambda unit: self._inquiry(trials, unit), work, trials)

    def by_statistics(self, model: str, parts: list[JudgedPart]) -> None:
        """Judge all that is pending."""
        from describe.evidence import Vocabulary
        from describe.scoring import StatisticsJudge, detection
        from describe.weights import open_model

        if not any(part.pending for part in parts):
            return
        judge = StatisticsJudge(Vocabulary(open_model(model).tokens))
        for part in (part for part in parts if part.pending):
            trials = part.trials
            for unit in part.pending:
                trial, told, wrong = trials.trial(unit), trials.told[unit], trials.wrong(unit)
                if not trial.enough:
                    part.work.keep(unit, too_few(trial, self.measure))
                    continue
                own = judge.judge(trial, told.claims)
                against = judge.judge(trial, wrong.claims) if wrong else None
                part.work.keep(unit, detection(trial, own, against, wrong.head if wrong else None))

    def _inquiry(self, trials: Trials, unit: HeadId) -> Inquiry[Score]:
        """What a judge is asked of one description, and of a wrong one."""
        from describe.scoring import ChoiceQuestion, JudgeQuestion, detection, likelihood

        trial, told, wrong, down = (
            trials.trial(unit),
            trials.told[unit],
            trials.wrong(unit),
            trials.rows.pushes_down(unit),
        )
        wrong_head = wrong.head if wrong else None
        if not trial.enough:
            return too_few(trial, self.measure)

        def judging(one: Told) -> JudgeQuestion:
            return JudgeQuestion.of(self.template, trial, *_words(one), suppressed=down)

        def choosing(*asked: Any) -> ChoiceQuestion:
            return ChoiceQuestion.of(self.template, *asked, suppressed=down)

        if self.measure == "likelihood":
            claims = _words(told), _words(wrong) if wrong else None
            return (yield from likelihood(choosing, trial, *claims, wrong_head))
        own: Judgement = yield judging(told)
        against: Judgement | None = (yield judging(wrong)) if wrong and own.failure is None else None
        return detection(trial, own, against, wrong_head)


def _words(told: Told) -> Words:
    return told.inputs or "", told.pattern or ""
