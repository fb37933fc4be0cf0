"""``headscribe stability --judge LLM``: an LLM is asked whether two descriptions of a head say the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Row

from describe.catalog import Caller, Catalogue
from describe.catalog.rows import aware, json_hash, now
from describe.errors import RunEndedError
from describe.pipeline.common import Progress, silent
from describe.pipeline.description_groups import Group, Said, Stable, save_stable, stable
from describe.pipeline.llm_stage.limits import Limits
from describe.pipeline.llm_stage.record import Work, place_of, unfinished
from describe.pipeline.llm_stage.run import Part, ask_about
from describe.pipeline.stability import StabilityResult
from describe.records import HeadId, Score
from describe.versions import versions

if TYPE_CHECKING:
    from describe.labelling import Inquiry, Template
    from describe.llm import LLM, Request
    from describe.scoring import Judgement

__all__ = ["by_llm", "comparing"]

Kept = Mapping[tuple[int, str], Row[Any]]
SETTINGS = {"version": 1, "seed": 0}
"""What a comparison depends on besides judge and descriptions."""


@dataclass(frozen=True)
class Compared:
    """What comparing the descriptions of one head came to: ``stable``, or why there is nothing."""

    stable: Stable | None = None
    failure: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Pairs:
    """What is compared of a group: every two of its descriptions, and as many pairs with others', by their places."""

    group: Group
    own: list[tuple[int, int]]
    others: list[tuple[int, int]]
    settings: dict[str, Any]


def by_llm(
    catalogue: Catalogue,
    result: StabilityResult,
    said: list[Said],
    several: list[Group],
    judge: LLM,
    request: Request | None,
    template: str | None,
    concurrency: int,
    limits: Limits | None,
    retry_failed: bool,
    fresh: bool,
    progress: Progress,
) -> StabilityResult:
    """Have an LLM compare the descriptions of each group, and each of these with one of another head."""
    from describe.llm import Request

    request, limits = request or Request(), limits or Limits()
    purse = limits.purse(judge)
    run, parts = comparing(
        catalogue, result.extraction_id, said, several, judge, request, template, limits, retry_failed, fresh, progress
    )
    finished, stopped = True, None
    taken = f"another run has {judge} compare these descriptions: let it finish"
    try:
        finished = ask_about([part for _, part in parts], judge, request, limits, purse, concurrency, taken=taken)
    except RunEndedError as error:
        stopped = str(error)
    ended = [(p, part.work.outcomes.get(unit, "missing")) for pairs, part in parts for unit, p in pairs.items()]
    kept = run.kept()
    found = [(p.group.unit, _stable(p, kept, said)) for p, cause in ended if cause is None]
    return replace(
        result,
        judge=str(judge),
        heads=sorted(found, key=lambda one: one[0]),
        failures={str(p.group.unit): cause for p, cause in ended if cause not in (None, "missing")},
        missing=sum(cause == "missing" for _, cause in ended),
        interrupted=not finished,
        stopped=stopped,
        spent=purse.spent,
    )


def comparing(
    catalogue: Catalogue,
    extraction_id: int,
    said: list[Said],
    several: list[Group],
    judge: LLM,
    request: Request,
    template: str | None,
    limits: Limits,
    retry_failed: bool,
    fresh: bool = False,
    progress: Progress = silent,
    *,
    keep: bool = True,
) -> tuple[Comparing, list[tuple[dict[HeadId, Pairs], Part[Compared]]]]:
    """An LLM that compares, and what it is to be asked, of what heads promote and of what they suppress.

    Unless ``keep``, nothing is entered in the catalogue.
    """
    from describe.llm import identity
    from describe.scoring import load_agreement_template

    method, settings = load_agreement_template(template), request.provenance() | identity(judge)
    known = catalogue.register_labeller if keep else catalogue.find_labeller
    judge_id = known(str(judge), method.name, method.text, settings)
    run = Comparing(catalogue, extraction_id, judge, judge_id, method, settings, limits, retry_failed, fresh, progress)
    compared = {way: {g.unit: _pairs(g, said) for g in several if g.suppressed == way} for way in (False, True)}
    return run, [(pairs, run.part(said, pairs, suppressed=way)) for way, pairs in compared.items()]


def _pairs(group: Group, said: list[Said]) -> Pairs:
    """The pairs of a group. Which descriptions of others is drawn by hash, so that new ones change little."""
    from describe.scoring import matched

    layer = set(matched(group.unit, {said[place].unit for place in group.others}))
    near = [place for place in group.others if said[place].unit in layer]
    own = list(combinations(group.own, 2))

    def luck(number: int, place: int) -> bytes:
        return hashlib.sha256(f"{SETTINGS['seed']} {group.unit} {number} {said[place].id}".encode()).digest()

    others = (
        [(i, min(near, key=lambda place: luck(number, place))) for number, (i, _) in enumerate(own)] if near else []
    )
    compared = {
        "descriptions": [said[place].id for place in group.own],
        "others": [said[place].id for _, place in others],
    }
    return Pairs(group, own, others, SETTINGS | compared)


@dataclass(frozen=True)
class Comparing:
    """One LLM that compares; ``judge_id``: None where it is new, and not kept."""

    catalogue: Catalogue
    extraction_id: int
    judge: LLM
    judge_id: int | None
    template: Template
    settings: dict[str, Any]
    limits: Limits
    retry_failed: bool
    fresh: bool
    progress: Progress

    def part(self, said: list[Said], pairs: dict[HeadId, Pairs], *, suppressed: bool) -> Part[Compared]:
        """What is to be asked of descriptions of what heads promote, or of what they suppress."""
        kept = self.kept()
        found = {unit: _outcome(one, kept, said) for unit, one in pairs.items()}
        outcomes = {unit: outcome for unit, outcome in found.items() if outcome is not None}
        causes = {unit: failure for unit, (failure, _) in outcomes.items()}
        pending = unfinished(list(pairs), causes, self.retry_failed)
        judge_id = self.judge_id or 0
        work = Work(
            self.catalogue,
            Caller(judge_id, self.extraction_id, str(self.judge), place_of(self.settings), self.template.hash),
            _saving(self.catalogue, judge_id, pairs, said),
            outcomes=causes,
            failed={unit: at for unit, (failure, at) in outcomes.items() if failure is not None},
            since=now() if self.fresh else None,
            give_up_after=self.limits.give_up_after,
            stage="suppressed" if suppressed else "compare",
            total=len(pending),
            progress=self.progress,
        )
        return Part(pending, _inquiring(self.template, said, pairs, suppressed), work)

    def kept(self) -> Kept:
        """All that this LLM has found of the extraction's descriptions."""
        if self.judge_id is None:
            return {}
        return self.catalogue.scores.by_judge(self.extraction_id, self.judge_id, "stability")


def _of_group(pairs: Pairs, kept: Kept, said: list[Said]) -> list[Row[Any] | None]:
    """What is kept of each description of a group, compared as now."""
    key = json_hash(pairs.settings)
    return [kept.get((said[place].id, key)) for place in pairs.group.own]


def _outcome(pairs: Pairs, kept: Kept, said: list[Said]) -> tuple[str | None, datetime] | None:
    """The cause of failure, or None, and when; None where a description of the group has no score."""
    rows = [row for row in _of_group(pairs, kept, said) if row is not None]
    if len(rows) < len(pairs.group.own):
        return None
    first = next((row for row in rows if row.failure is not None), rows[0])
    return first.failure, aware(first.created)


def _saving(
    catalogue: Catalogue, judge_id: int, pairs: dict[HeadId, Pairs], said: list[Said]
) -> Callable[[HeadId, Compared], None]:
    made_by = versions("openai")

    def save(unit: HeadId, outcome: Compared) -> None:
        settings = pairs[unit].settings
        if outcome.stable is not None:
            save_stable(catalogue, judge_id, outcome.stable, settings, made_by)
            return
        failed = Score("stability", None, n=len(pairs[unit].group.own), failure=outcome.failure, detail=outcome.detail)
        for place in pairs[unit].group.own:
            catalogue.scores.save(said[place].id, judge_id, failed, settings, made_by)

    return save


def _inquiring(
    template: Template, said: list[Said], pairs: dict[HeadId, Pairs], suppressed: bool
) -> Callable[[HeadId], Inquiry[Compared]]:
    from describe.scoring import AgreementQuestion, Judgement

    def agreement(a: Said, b: Said) -> Inquiry[Judgement]:
        """Of an abstention, and of what is the same to the letter, nobody is asked."""
        if a.unclear or b.unclear or a.sentence == b.sentence:
            return Judgement((float(a.unclear == b.unclear),))
        claims = (a.inputs, a.pattern), (b.inputs, b.pattern)
        judged: Judgement = yield AgreementQuestion.of(template, *claims, suppressed=suppressed)
        return judged

    def inquire(unit: HeadId) -> Inquiry[Compared]:
        asked = pairs[unit]
        found: list[float] = []
        for number, (i, j) in enumerate(asked.own + asked.others):
            first, second = (i, j) if number % 2 == 0 else (j, i)  # a liking for either place cancels
            judged = yield from agreement(said[first], said[second])
            if judged.failure is not None:
                return Compared(failure=judged.failure, detail=judged.detail)
            found.append(judged.probabilities[0])
        inside = np.eye(len(asked.group.own))
        place = {where: i for i, where in enumerate(asked.group.own)}
        for (i, j), value in zip(asked.own, found, strict=False):
            inside[place[i], place[j]] = inside[place[j], place[i]] = value
        outside = float(np.mean(found[len(asked.own) :])) if asked.others else None
        return Compared(stable(inside, outside, [said[where].id for where in asked.group.own]))

    return inquire


def _stable(pairs: Pairs, kept: Kept, said: list[Said]) -> Stable:
    """What the catalogue holds of a group that was compared."""
    rows = [row for row in _of_group(pairs, kept, said) if row is not None]
    central = next(row.description_id for row in rows if row.found["representative"])
    own = tuple(row.found["own"] for row in rows)
    return Stable(rows[0].value, rows[0].placebo, central, tuple(row.description_id for row in rows), own)
