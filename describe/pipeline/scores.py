"""``headscribe score``: how far descriptions are true of rows that their authors never saw, by a judge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from describe.catalog import Catalogue, Told
from describe.catalog.rows import json_hash
from describe.errors import InputError
from describe.measures import DEFAULT, Measure, find_measure
from describe.pipeline.common import Progress, find, silent
from describe.pipeline.evidence import ATTENTION_PROMPT, attention_of
from describe.pipeline.held_out import TRIAL, RowsOf, Trials, check_kept, chosen_authors, too_few, words_of
from describe.pipeline.llm_stage.limits import Batching, Limits, Terms
from describe.pipeline.llm_stage.record import TaskRecord
from describe.pipeline.llm_stage.run import LLMStage, StageResult
from describe.pipeline.llm_stage.task import Task
from describe.pipeline.look_trials import FIVE, LookTrials
from describe.pipeline.written import SETTINGS as WRITTEN
from describe.records import HeadId, Score, parse_heads

if TYPE_CHECKING:
    from describe.labelling import Inquiry, Template
    from describe.llm import LLM, Request
    from describe.pipeline.written import Sitting
    from describe.scoring import StatisticsJudge
    from describe.scoring.write import WrittenWords

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
    device: str = "auto",
    progress: Progress = silent,
) -> ScoreResult:
    """Have a judge score the descriptions of a model, and those of its placebos, by held-out rows or by the weights.

    ``measure``: a row of `describe.measures.MEASURES`: detection and its kin by rows; ``write``, by words that the
    judge writes and the weights test, on ``device``; the bits that descriptions save (likelihood), for which the
    judge's server must give log-probabilities; or ``attention``, of descriptions that say where heads look.

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
    judging.put_to_heads(tasks, ran.records, device, progress)
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

    trials: Trials | LookTrials


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
        self._settings_of_trial = {"rows": TRIAL, "weights": WRITTEN, "contexts": FIVE}[self.measure.by]
        self._written: dict[int, dict[HeadId, WrittenWords]] = defaultdict(dict)
        self._earlier: dict[tuple[int, str], Row[Any]] | None = None

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
        of_looks = self.measure.by == "contexts"
        authors = chosen_authors(told, llm, prompt, looks=of_looks)
        if not authors:
            by = " ".join(filter(None, (llm, prompt))) or "anyone"
            by += ", by where it looks" if of_looks else ""
            run = f"headscribe describe {self._model}" + (f" --prompt {ATTENTION_PROMPT}" if of_looks else "")
            raise InputError(f"no head of {self._model} is described by {by}: run {run}")
        if self.measure.by == "rows":
            check_kept(self.catalogue, self._model, self.own)
        self.stage.enter(self._settings, keep=keep)
        wanted = set(parse_heads(heads, self.info.n_layers, self.info.n_heads))
        return [task for author in authors for task in self._of_author(author, told, wanted)]

    def _of_author(self, author: int, told: list[Told], wanted: set[HeadId]) -> list[JudgedTask]:
        own = [one for one in told if one.labeller_id == author]
        if self.measure.by == "contexts":
            return self._of_looks(author, {one.head: one for one in own if one.answers}, wanted)
        rows = RowsOf(self.catalogue, self.own, suppressed=any(t.settings.get("shows") == "suppressed" for t in own))
        others = {one.head: one for one in own if one.answers}
        units = [unit for unit in others if unit._replace(role=0) in wanted]
        heads = sorted(self.catalogue.saved_heads(self.own))
        trials = Trials(others, others, rows, rows, heads, self.info.vocab_size)
        found = [self._task(self.own, author, units, trials)]
        for kind, placebo in self.catalogue.placebos.of(self.own).items():
            if self.measure.by == "weights" and kind == "shuffled":
                continue  # rows without a head: nothing can be put to it
            by_author = [one for one in self.catalogue.scores.descriptions(placebo) if one.labeller_id == author]
            answers = {one.head: one for one in by_author if one.answers}
            of_placebo = RowsOf(self.catalogue, placebo, suppressed=rows.suppressed)
            trials = Trials(answers, {}, of_placebo, rows, heads, self.info.vocab_size)
            found.append(self._task(placebo, author, list(answers), trials))
        return found

    def _of_looks(self, author: int, own: dict[HeadId, Told], wanted: set[HeadId]) -> list[JudgedTask]:
        """The tasks of judging what an author says of where heads look, own ones and placebos that look elsewhere."""
        looks, _ = attention_of(self.catalogue, self._model)
        units = [unit for unit in own if unit._replace(role=0) in wanted]
        found = [self._task(self.own, author, units, LookTrials(own, own, looks))]
        elsewhere, _ = attention_of(self.catalogue, self._model, shuffled=True)
        for placebo in self.catalogue.placebos.of(self.own).values():
            told = self.catalogue.scores.descriptions(placebo)
            answers = {one.head: one for one in told if one.labeller_id == author and one.answers}
            found.append(self._task(placebo, author, list(answers), LookTrials(answers, own, elsewhere)))
        return found

    def _task(self, extraction_id: int, author: int, units: list[HeadId], trials: Trials | LookTrials) -> JudgedTask:
        scores, judge = self.catalogue.scores, self.stage.labeller_id or 0
        done = scores.outcomes(extraction_id, judge, self.measure.name, self._settings_of_trial)
        outcomes = {unit: done[one.id] for unit, one in trials.told.items() if one.id in done}
        made_by = self.stage.made_by

        def save(unit: HeadId, outcome: Score | WrittenWords) -> None:
            if isinstance(outcome, Score):
                scores.save(trials.told[unit].id, judge, outcome, self._settings_of_trial, made_by)
            elif outcome.failure is None:  # put to the heads when all are there; the ledger has the reply
                self._written[trials.told[unit].id][unit] = outcome
            else:
                failed = Score(self.measure.name, None, failure=outcome.failure, detail=outcome.detail)
                save(unit, failed)

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
        from describe.pipeline.vocabulary import vocabulary_of
        from describe.scoring import StatisticsJudge, questions_of
        from describe.weights import open_model

        judges: list[StatisticsJudge] = []
        if self.measure.by == "weights":
            return self._written_by_statistics()
        if self.measure.by == "contexts":
            return _places_by_statistics
        questions = questions_of(self.measure)
        of_judgements = questions.of_judgements
        assert of_judgements is not None

        def judge_all(record: TaskRecord[Score]) -> None:
            task = record.task
            assert isinstance(task, JudgedTask)
            if not record.pending:
                return
            if not judges:
                judges.append(StatisticsJudge(vocabulary_of(open_model(self._model).tokens)))
            trials = task.trials
            assert isinstance(trials, Trials)
            for unit in record.pending:
                trial, told, wrong = questions.trial(trials.case(unit)), trials.told[unit], trials.wrong(unit)
                if not trial.enough:
                    record.keep(unit, too_few(trial, self.measure.name))
                    continue
                own = judges[0].judge(trial, told.claims)
                against = judges[0].judge(trial, wrong.claims) if wrong else None
                record.keep(unit, of_judgements(trial, own, against, wrong.head if wrong else None))

        return judge_all

    def _written_by_statistics(self) -> Callable[[TaskRecord[Score]], None]:
        """The judge that asks nobody, where words are to be written: members of the classes that are claimed."""
        from describe.pipeline.vocabulary import vocabulary_of
        from describe.scoring.evidence import StatisticsWriter
        from describe.weights import open_model

        writers: list[StatisticsWriter] = []

        def write_all(record: TaskRecord[Any]) -> None:
            task = record.task
            assert isinstance(task, JudgedTask)
            if record.pending and not writers:
                weights = open_model(self._model)
                writers.append(StatisticsWriter(vocabulary_of(weights.tokens), weights.pieces.order))
            for unit in record.pending:
                record.keep(unit, writers[0].write(unit, task.trials.told[unit].claims))

        return write_all

    def _inquiry(self, trials: Trials | LookTrials, unit: HeadId) -> Inquiry[Any]:
        """The judge's inquiry about one description, and about a wrong one."""
        from describe.scoring import questions_of
        from describe.scoring.attention import inquire_places
        from describe.scoring.write import inquire_words

        if isinstance(trials, LookTrials):
            return (yield from inquire_places(self.stage.template, trials.case(unit)))
        if self.measure.by == "weights":
            down = trials.rows.pushes_down(unit)
            return (yield from inquire_words(self.stage.template, words_of(trials.told[unit]), suppressed=down))
        case = trials.case(unit)
        if not case.trial.enough:
            return too_few(case.trial, self.measure.name)
        return (yield from questions_of(self.measure).inquire(self.stage.template, case))

    def put_to_heads(
        self, tasks: Sequence[JudgedTask], records: Sequence[TaskRecord[Any]], device: str, progress: Progress
    ) -> None:
        """Put what the judge wrote to the heads, and commit the scores: of measures by weights alone."""
        from describe.pipeline.written import put_to_heads

        sittings, places = [], []
        for task, record in zip(tasks, records, strict=True):
            for unit in task.units:
                words = self._written.get(task.trials.told[unit].id, {}).get(unit)
                if words is not None:
                    sittings.append(self._sitting(task, unit, words))
                    places.append((record, unit))
        scored = put_to_heads(self.catalogue, self._model, self.own, sittings, device, progress)
        for (_, outcome), (record, unit) in zip(scored, places, strict=True):
            record.task.save(unit, outcome)
            record.outcomes[unit] = outcome.failure

    def _sitting(self, task: JudgedTask, unit: HeadId, words: WrittenWords) -> Sitting:
        from describe.pipeline.written import Sitting

        trials = task.trials
        assert isinstance(trials, Trials)
        down, wrong = trials.rows.pushes_down(unit), trials.wrong(unit)
        shown = trials.rows.of(unit, suppressed=down).salient
        return Sitting(
            told=trials.told[unit],
            head=unit._replace(role=0),
            random=task.extraction_id != self.own,
            words=words,
            wrong=None if wrong is None else self._words_of(wrong),
            wrong_head=None if wrong is None else wrong.head,
            suppressed=down,
            shown=frozenset(row.token.strip().casefold() for row in shown),
        )

    def _words_of(self, told: Told) -> WrittenWords | None:
        """The words by another description: of this run, or of an earlier one."""
        from describe.scoring.write import WrittenWords

        here = self._written.get(told.id, {}).get(told.head)
        if here is not None:
            return here
        key = (told.id, json_hash(self._settings_of_trial))
        if self._earlier is None:
            self._earlier = self.catalogue.scores.by_judge(self.own, self.stage.labeller_id or 0, self.measure.name)
        row = self._earlier.get(key)
        said = row.found.get("written") if row is not None else None
        return WrittenWords(tuple((word, tuple(outputs)) for word, outputs in said)) if said else None


def _places_by_statistics(record: TaskRecord[Score]) -> None:
    """The judge that asks nobody, where a token is to be chosen: by what is claimed."""
    assert isinstance(record.task, JudgedTask)
    trials = record.task.trials
    assert isinstance(trials, LookTrials)
    for unit in record.pending:
        record.keep(unit, trials.by_statistics(unit))


def _method(judge: LLM, request: Request, template: str | None, measure: Measure) -> tuple[Template, dict[str, Any]]:
    """The judge's template, or the method of statistics, and the settings that the outcome depends on."""
    from describe.labelling import Template
    from describe.llm import identity
    from describe.scoring import METHOD, SETTINGS, questions_of

    questions = questions_of(measure)
    if judge.kind.asks:
        return questions.load(template or measure.prompt), request.provenance() | identity(judge)
    if questions.of_judgements is None and measure.by == "rows":
        raise InputError(f"--judge statistics cannot judge by {measure.name}: name an LLM, or leave out --measure")
    if template is not None:
        raise InputError("--judge statistics takes no --judge-prompt: it asks nobody")
    if measure.by == "contexts":
        from describe.scoring.attention import METHOD as BY_CLAIMS

        return Template("attention-judge-1", BY_CLAIMS), dict(SETTINGS)
    return Template("evidence-judge-1", METHOD), dict(SETTINGS)
