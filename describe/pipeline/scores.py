"""``headscribe score``: how far descriptions are true of rows that their authors never saw, by a judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue, Told
from describe.errors import InputError
from describe.measures import DEFAULT, Measure, find_measure
from describe.pipeline.common import Progress, find, silent
from describe.pipeline.held_out import TRIAL, RowsOf, Trials, check_kept, chosen_authors, too_few
from describe.pipeline.llm_stage.limits import Batching, Limits, Terms
from describe.pipeline.llm_stage.record import TaskRecord
from describe.pipeline.llm_stage.run import LLMStage, StageResult
from describe.pipeline.llm_stage.task import Task
from describe.records import HeadId, Score, parse_heads

if TYPE_CHECKING:
    from describe.labelling import Inquiry, Template
    from describe.llm import LLM, Request
    from describe.scoring import StatisticsJudge

__all__ = ["Judging", "ScoreResult", "score"]


@dataclass(frozen=True, kw_only=True)
class ScoreResult(StageResult):
    """The result of judging; ``judged``: how many descriptions were to be judged, those of placebos too."""

    judged: int


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
    measure: str = DEFAULT,
    reading: str | None = None,
    concurrency: int = 8,
    limits: Limits | None = None,
    batch: Batching | None = None,
    retry_failed: bool = False,
    fresh: bool = False,
    progress: Progress = silent,
) -> ScoreResult:
    """Have a judge score the descriptions of a model, and those of its placebos, by held-out rows.

    ``measure``: a row of `describe.measures.MEASURES`: detection, or the bits that descriptions save (likelihood), for
    which the judge's server must give log-probabilities.

    ``reading``: of heads read by this one, as `find` takes it.

    ``llm``, ``prompt``: whose descriptions; all by default, by ``statistics`` only where that is the judge, which can
    judge no others. ``template``: what the judge is asked. What has a score is not judged again, what failed only with
    ``retry_failed``; with ``fresh`` no reply that the ledger has is used again. With ``batch``, calls go through the
    Batch API. A role is judged by its own held-out rows. Abstentions are not judged. Raises `InputError` where there is
    nothing to judge, rows to judge by were not kept, or judge or selection cannot be used; `CatalogueError` while
    another run judges the same.
    """
    terms = Terms(concurrency, limits or Limits(), batch, retry_failed, fresh, progress)
    judging = Judging(catalogue, model, judge, request, template, measure, terms, reading)
    tasks = judging.tasks(heads, llm, prompt)
    taken = f"another run has {judge} judge these descriptions in the same way: let it finish"
    machine = None if judge.kind.asks else judging.by_statistics()
    ran = judging.stage.run(tasks, taken, machine, mixed=True)
    outcomes = {
        f"{unit} by {task.trials.told[unit].llm}": record.outcomes.get(unit, "missing")
        for task, record in zip(tasks, ran.records, strict=True)
        for unit in task.units
    }
    return ScoreResult(
        model=judging.info,
        extraction_id=judging.own,
        judged=sum(len(task.units) for task in tasks),
        failures={what: cause for what, cause in outcomes.items() if cause not in (None, "missing")},
        missing=[what for what, cause in outcomes.items() if cause == "missing"],
        **ran.result(),
    )


@dataclass(frozen=True)
class JudgedTask(Task[Score]):
    """Descriptions of one extraction by one author, to be judged."""

    trials: Trials


class Judging:
    """One judge at work, by one measure, on the descriptions of several authors.

    Raises `InputError` where the catalogue does not hold the model, or judge, template or terms cannot be used.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        model: str,
        judge: LLM,
        request: Request,
        template: str | None,
        measure: str,
        terms: Terms,
        reading: str | None = None,
    ) -> None:
        self.measure = find_measure(measure)
        method, self._settings = _method(judge, request, template, self.measure)
        self.stage = LLMStage(catalogue, judge, request, method, terms)
        self.info, self.own = find(catalogue, model, reading)
        self.catalogue = catalogue
        self._model = model

    def tasks(self, heads: str, llm: str | None, prompt: str | None, *, keep: bool = True) -> list[JudgedTask]:
        """The tasks of judging, author by author: the model's own heads and roles, then each kind of placebos.

        ``keep``: enter the judge into the catalogue if it is new.
        """
        if not self.stage.llm.kind.asks:
            if llm not in (None, "statistics"):
                raise InputError(
                    "--judge statistics can judge the claims of --llm statistics only, not the words of"
                    f" {llm}: name an LLM"
                )
            llm = "statistics"
        told = self.catalogue.scores.descriptions(self.own)
        authors = chosen_authors(told, llm, prompt)
        if not authors:
            by = " ".join(filter(None, (llm, prompt))) or "anyone"
            raise InputError(f"no head of {self._model} is described by {by}: run headscribe describe {self._model}")
        check_kept(self.catalogue, self._model, self.own)
        self.stage.enter(self._settings, keep=keep)
        wanted = set(parse_heads(heads, self.info.n_layers, self.info.n_heads))
        return [task for author in authors for task in self._of_author(author, told, wanted)]

    def _of_author(self, author: int, told: list[Told], wanted: set[HeadId]) -> list[JudgedTask]:
        own = [one for one in told if one.labeller_id == author]
        rows = RowsOf(self.catalogue, self.own, suppressed=any(t.settings.get("shows") == "suppressed" for t in own))
        others = {one.head: one for one in own if one.answers}
        units = [unit for unit in others if unit._replace(role=0) in wanted]
        heads = sorted(self.catalogue.saved_heads(self.own))
        trials = Trials(others, others, rows, rows, heads, self.info.vocab_size)
        found = [self._task(self.own, author, units, trials)]
        for placebo in self.catalogue.placebos.of(self.own).values():
            by_author = [one for one in self.catalogue.scores.descriptions(placebo) if one.labeller_id == author]
            answers = {one.head: one for one in by_author if one.answers}
            of_placebo = RowsOf(self.catalogue, placebo, suppressed=rows.suppressed)
            trials = Trials(answers, {}, of_placebo, rows, heads, self.info.vocab_size)
            found.append(self._task(placebo, author, list(answers), trials))
        return found

    def _task(self, extraction_id: int, author: int, units: list[HeadId], trials: Trials) -> JudgedTask:
        scores, judge = self.catalogue.scores, self.stage.labeller_id or 0
        done = scores.outcomes(extraction_id, judge, self.measure.name, TRIAL)
        outcomes = {unit: done[one.id] for unit, one in trials.told.items() if one.id in done}
        made_by = self.stage.made_by

        def save(unit: HeadId, outcome: Score) -> None:
            scores.save(trials.told[unit].id, judge, outcome, TRIAL, made_by)

        return JudgedTask(
            name=f"{self.measure.name} of {author}",
            shown="judge" if extraction_id == self.own else "placebos",
            extraction_id=extraction_id,
            units=units,
            inquire=lambda unit: self._inquiry(trials, unit),
            save=save,
            outcomes={unit: failure for unit, (failure, _) in outcomes.items()},
            failed={unit: at for unit, (failure, at) in outcomes.items() if failure is not None},
            trials=trials,
        )

    def by_statistics(self) -> Callable[[TaskRecord[Score]], None]:
        """The judge that asks nobody: judges what is pending of a task."""
        from describe.evidence import Vocabulary
        from describe.scoring import StatisticsJudge, questions_of
        from describe.weights import open_model

        judges: list[StatisticsJudge] = []
        questions = questions_of(self.measure)
        of_judgements = questions.of_judgements
        assert of_judgements is not None

        def judge_all(record: TaskRecord[Score]) -> None:
            task = record.task
            assert isinstance(task, JudgedTask)
            if not record.pending:
                return
            if not judges:
                judges.append(StatisticsJudge(Vocabulary(open_model(self._model).tokens)))
            trials = task.trials
            for unit in record.pending:
                trial, told, wrong = questions.trial(trials.case(unit)), trials.told[unit], trials.wrong(unit)
                if not trial.enough:
                    record.keep(unit, too_few(trial, self.measure.name))
                    continue
                own = judges[0].judge(trial, told.claims)
                against = judges[0].judge(trial, wrong.claims) if wrong else None
                record.keep(unit, of_judgements(trial, own, against, wrong.head if wrong else None))

        return judge_all

    def _inquiry(self, trials: Trials, unit: HeadId) -> Inquiry[Score]:
        """The judge's inquiry about one description, and about a wrong one."""
        from describe.scoring import questions_of

        case = trials.case(unit)
        if not case.trial.enough:
            return too_few(case.trial, self.measure.name)
        return (yield from questions_of(self.measure).inquire(self.stage.template, case))


def _method(judge: LLM, request: Request, template: str | None, measure: Measure) -> tuple[Template, dict[str, Any]]:
    """The judge's template, or the method of statistics, and the settings that the outcome depends on."""
    from describe.labelling import Template
    from describe.llm import identity
    from describe.scoring import METHOD, SETTINGS, questions_of

    questions = questions_of(measure)
    if judge.kind.asks:
        return questions.load(template or measure.prompt), request.provenance() | identity(judge)
    if questions.of_judgements is None:
        raise InputError(f"--judge statistics cannot judge by {measure.name}: name an LLM, or leave out --measure")
    if template is not None:
        raise InputError("--judge statistics takes no --judge-prompt: it asks nobody")
    return Template("evidence-judge-1", METHOD), dict(SETTINGS)
