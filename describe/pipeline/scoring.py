"""``headscribe score``: how far descriptions are true of rows that their authors never saw, by a judge."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from describe.catalog import Caller, Catalogue, Told
from describe.errors import CatalogueError, InputError, RunEndedError
from describe.pipeline.common import Progress, find, silent
from describe.pipeline.limits import Limits
from describe.pipeline.work import Work, place_of, run_async, unfinished
from describe.records import Evidence, HeadId, HeadMapping, ModelInfo, Score, parse_heads
from describe.versions import versions

if TYPE_CHECKING:
    from describe.labelling import Template
    from describe.llm import LLM, Purse, Request
    from describe.scoring import Claim, Judgement, StatisticsJudge, Trial

__all__ = ["ScoreResult", "chosen_authors", "score"]

Measure = Literal["detection", "likelihood"]

TRIAL = {"version": 1, "rows": 15, "reach": 5, "seed": 0}
"""What rows are judged: so many of the head's next most salient, so many of its random ones, and as many of others."""

NO_ROWS = "no_rows"


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


@dataclass(frozen=True)
class _Part:
    """Descriptions of one extraction by one author."""

    told: dict[HeadId, Told]
    wrong: dict[HeadId, Told]
    suppressed: bool
    load: Callable[[HeadId], HeadMapping]
    peers: Callable[[HeadId], HeadMapping]
    all_heads: list[HeadId]
    pending: list[HeadId]
    work: Work[Score]


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
    progress: Progress = silent,
) -> ScoreResult:
    """Have a judge score the descriptions of a model, and those of its placebos, by held-out rows.

    ``measure``: by detection, or by the bits that they save (likelihood), for which the judge's server must give
    log-probabilities.

    ``llm``, ``prompt``: whose descriptions; all by default, by ``statistics`` only where that is the judge, which can
    judge no others. ``template``: what the judge is asked. What has a score is not judged again, what failed only with
    ``retry_failed``. Abstentions are not judged. Raises `InputError` where there is nothing to judge, rows to judge by
    were not kept, or judge or selection cannot be used; `CatalogueError` while another run judges the same.
    """
    limits = limits or Limits()
    info, own = find(catalogue, model)
    by_statistics = judge.provider == "statistics"
    method, settings = _method(judge, request, template, measure)
    if by_statistics:
        if llm not in (None, "statistics"):
            raise InputError(
                f"--judge statistics can judge the claims of --llm statistics only, not the words of {llm}: name an LLM"
            )
        llm = "statistics"
    purse = limits.purse(judge)
    authors = chosen_authors(catalogue.scores.descriptions(own), llm, prompt)
    if not authors:
        by = " ".join(filter(None, (llm, prompt))) or "anyone"
        raise InputError(f"no head of {model} is described by {by}: run headscribe describe {model}")
    _check_kept(catalogue, model, own)
    judge_id = catalogue.register_labeller(str(judge), method.name, method.text, settings)
    run = _Run(catalogue, info, own, judge, judge_id, request, method, settings, measure, limits, purse, progress)
    wanted = set(parse_heads(heads, info.n_layers, info.n_heads))
    parts = [part for author in authors for part in run.parts(author, wanted, retry_failed)]
    finished, stopped = True, None
    try:
        if by_statistics:
            run.by_statistics(model, parts)
        else:
            finished = run.by_llm(parts, concurrency)
    except RunEndedError as error:
        stopped = str(error)
    outcomes = [(told, part.work.outcomes.get(head, "missing")) for part in parts for head, told in part.told.items()]
    return ScoreResult(
        model=info,
        extraction_id=own,
        judged=len(outcomes),
        new=sum(part.work.done for part in parts),
        failures={f"{t.head} by {t.llm}": cause for t, cause in outcomes if cause not in (None, "missing")},
        missing=sum(cause == "missing" for _, cause in outcomes),
        interrupted=not finished,
        stopped=stopped,
        spent=purse.spent,
    )


def chosen_authors(descriptions: list[Told], llm: str | None = None, prompt: str | None = None) -> list[int]:
    """The labellers whose descriptions count: of namesakes the one with the most, the newer of equals."""
    numbers: dict[tuple[str, str], dict[int, int]] = {}
    for told in descriptions:
        if llm in (None, told.llm) and prompt in (None, told.prompt):
            of_name = numbers.setdefault((told.llm, told.prompt), {})
            of_name[told.labeller_id] = of_name.get(told.labeller_id, 0) + 1
    return sorted(max((number, id) for id, number in of_name.items())[1] for of_name in numbers.values())


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


def _check_kept(catalogue: Catalogue, model: str, own: int) -> None:
    older = catalogue.saved_heads(own) - catalogue.saved_heads(own, complete=True)
    if older:
        raise CatalogueError(
            f"an older headscribe kept no held-out rows of {len(older)} heads: run headscribe extract {model} again"
        )


@dataclass
class _Run:
    """One judge at work on the descriptions of several authors, with one purse for all."""

    catalogue: Catalogue
    info: ModelInfo
    own: int
    judge: LLM
    judge_id: int
    request: Request
    template: Template
    settings: dict[str, Any]
    measure: Measure
    limits: Limits
    purse: Purse
    progress: Progress
    made_by: dict[str, str] = field(default_factory=lambda: versions("openai"))

    def parts(self, author: int, wanted: set[HeadId], retry_failed: bool) -> list[_Part]:
        """What is to be judged of an author: descriptions of the model's own heads, then those of each placebo."""
        placebos = self.catalogue.placebos.of(self.own)
        found = [self._part(author, self.own, wanted, retry_failed)]
        return found + [self._part(author, placebo, None, retry_failed) for placebo in placebos.values()]

    def _part(self, author: int, extraction_id: int, wanted: set[HeadId] | None, retry_failed: bool) -> _Part:
        catalogue = self.catalogue
        by_author = [t for t in catalogue.scores.descriptions(extraction_id) if t.labeller_id == author and t.answers]
        told = {t.head: t for t in by_author if wanted is None or t.head in wanted}
        done = catalogue.scores.outcomes(extraction_id, self.judge_id, self.measure, TRIAL)
        outcomes = {head: done[t.id] for head, t in told.items() if t.id in done}
        pending = unfinished(list(told), {head: failure for head, (failure, _) in outcomes.items()}, retry_failed)
        suppressed = any(t.settings.get("shows") == "suppressed" for t in by_author)

        def save(head: HeadId, outcome: Score) -> None:
            catalogue.scores.save(told[head].id, self.judge_id, outcome, TRIAL, self.made_by)

        def reader(extraction: int) -> Callable[[HeadId], HeadMapping]:
            return lru_cache(256)(lambda head: _seen(catalogue.mapping(extraction, head, held_out=True), suppressed))

        work = Work(
            catalogue,
            Caller(self.judge_id, extraction_id, str(self.judge), place_of(self.settings), self.template.hash),
            save,
            outcomes={head: failure for head, (failure, _) in outcomes.items()},
            failed={head: at for head, (failure, at) in outcomes.items() if failure is not None},
            since=None,
            give_up_after=self.limits.give_up_after,
            stage="judge" if extraction_id == self.own else "placebos",
            total=len(pending),
            progress=self.progress,
        )
        wrong = {t.head: t for t in by_author} if extraction_id == self.own else {}
        peers = sorted(catalogue.saved_heads(self.own))
        return _Part(told, wrong, suppressed, reader(extraction_id), reader(self.own), peers, pending, work)

    def trial(self, part: _Part, head: HeadId) -> Trial:
        """The rows by which a head's description is judged."""
        from describe.scoring import draw_trial, matched

        others = {other: part.peers(other) for other in matched(head, part.all_heads)}
        n, reach, seed = (TRIAL[name] for name in ("rows", "reach", "seed"))
        return draw_trial(part.load(head), others, self.info.vocab_size, n=n, reach=reach, seed=seed)

    def by_statistics(self, model: str, parts: list[_Part]) -> None:
        """Judge all that is pending."""
        from describe.evidence import Vocabulary
        from describe.scoring import StatisticsJudge, detection
        from describe.weights import open_model

        if not any(part.pending for part in parts):
            return
        judge = StatisticsJudge(Vocabulary(open_model(model).tokens))
        for part in parts:
            own_evidence = _evidence_of(self.catalogue, self.own, part)
            evidence = _evidence_of(self.catalogue, part.work.caller.extraction_id, part)
            for head in part.pending:
                trial, told, wrong = self.trial(part, head), part.told[head], _wrong(part, head)
                if not trial.enough:
                    part.work.keep(head, _too_few(trial))
                    continue
                own = _stated(judge, trial, told, evidence)
                against = _stated(judge, trial, wrong, own_evidence) if wrong else None
                part.work.keep(head, detection(trial, own, against, wrong.head if wrong else None))

    def by_llm(self, parts: list[_Part], concurrency: int) -> bool:
        """Ask about one part after the other. Returns whether all were done: False after an interrupt."""

        async def run() -> bool:
            from describe.labelling import work_through
            from describe.llm import Oversight, connect

            pacer = self.limits.pacer(concurrency, self.request.longest_wait)
            taken = f"another run has {self.judge} judge these descriptions in the same way: let it finish"
            for part in (part for part in parts if part.pending):
                with part.work.alone(taken):
                    oversight = Oversight(pacer, self.purse, part.work)
                    async with connect(self.judge, self.request, concurrency, oversight) as client:
                        find_out = self._judging(part, client)
                        if not await work_through(part.pending, find_out, part.work.commit, concurrency):
                            return False
                    part.work.keep_unanswered()
            return True

        return run_async(run)

    def _judging(self, part: _Part, client: Any) -> Callable[[HeadId], Awaitable[Score]]:
        from describe.labelling import ask
        from describe.scoring import ChoiceQuestion, JudgeQuestion, detection, likelihood

        down = part.suppressed

        async def judged(head: HeadId, trial: Trial, told: Told) -> Judgement:
            return await ask(client, JudgeQuestion.of(self.template, trial, *_words(told), suppressed=down), head)

        def choose(head: HeadId) -> Callable[..., Awaitable[Judgement]]:
            return lambda *asked: ask(client, ChoiceQuestion.of(self.template, *asked, suppressed=down), head)

        async def find_out(head: HeadId) -> Score:
            trial, wrong = self.trial(part, head), _wrong(part, head)
            if not trial.enough:
                return replace(_too_few(trial), measure=self.measure)
            if self.measure == "likelihood":
                words, other = (_words(wrong), wrong.head) if wrong else (None, None)
                return await likelihood(choose(head), trial, _words(part.told[head]), words, other)
            own = await judged(head, trial, part.told[head])
            against = await judged(head, trial, wrong) if wrong and own.failure is None else None
            return detection(trial, own, against, wrong.head if wrong else None)

        return find_out


def _words(told: Told) -> Claim:
    return told.inputs or "", told.pattern or ""


def _wrong(part: _Part, head: HeadId) -> Told | None:
    """Another head's description by the same author, drawn at random among those of the same layer."""
    from describe.scoring import matched

    others = matched(head, part.wrong) if part.wrong else []
    drawn = random.Random(f"{TRIAL['seed']} {head} wrong")  # noqa: S311  (no secret)
    return part.wrong[drawn.choice(others)] if others else None


def _too_few(trial: Trial) -> Score:
    detail = "too few rows are left without the tokens that many heads of the layer share"
    return Score("detection", None, n=len(trial.rows), failure=NO_ROWS, detail=detail)


def _seen(mapping: HeadMapping, suppressed: bool) -> HeadMapping:
    from describe.scoring import seen

    salient, held_out, sampled = (
        tuple(seen(row, suppressed=suppressed) for row in rows)
        for rows in (mapping.salient, mapping.held_out, mapping.sampled)
    )
    return HeadMapping(mapping.id, salient, held_out=held_out, sampled=sampled)


def _stated(judge: StatisticsJudge, trial: Trial, told: Told, evidence: dict[HeadId, list[Evidence]]) -> Judgement:
    return judge.judge(trial, *_words(told), evidence.get(told.head, []))


def _evidence_of(catalogue: Catalogue, extraction_id: int, part: _Part) -> dict[HeadId, list[Evidence]]:
    author = next(iter(part.told.values()), None)
    return catalogue.evidence.of_extraction(extraction_id, author.settings) if author else {}
