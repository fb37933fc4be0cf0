"""``headscribe stability --judge LLM``: an LLM is asked whether two descriptions of a head say the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Row

from describe.catalog import Catalogue
from describe.catalog.rows import aware, json_hash
from describe.pipeline.description_groups import Group, Said, Stable, save_stable, stable
from describe.pipeline.llm_stage.limits import Terms
from describe.pipeline.llm_stage.run import LLMStage
from describe.pipeline.llm_stage.task import Task
from describe.records import HeadId, Score

if TYPE_CHECKING:
    from describe.labelling import Inquiry
    from describe.llm import LLM, Request
    from describe.scoring import Judgement

__all__ = ["Comparing"]

Kept = Mapping[tuple[int, str], Row[Any]]
SETTINGS = {"version": 1, "seed": 0}
"""Settings that a comparison depends on besides judge and descriptions."""


@dataclass(frozen=True)
class Compared:
    """The comparison of the descriptions of one head: ``stable``, or why there is nothing."""

    stable: Stable | None = None
    failure: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Pairs:
    """The pairs compared of a group: every two of its descriptions, and as many pairs with others', by their places."""

    group: Group
    own: list[tuple[int, int]]
    others: list[tuple[int, int]]
    settings: dict[str, Any]


class Comparing:
    """One LLM that compares the descriptions of an extraction: those of each group, and each with another head's.

    ``groups``: all with two descriptions or more. Raises `InputError` where LLM, template or terms cannot be used.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        extraction_id: int,
        said: list[Said],
        groups: list[Group],
        judge: LLM,
        request: Request,
        template: str | None,
        terms: Terms,
    ) -> None:
        from describe.llm import identity
        from describe.scoring import load_agreement_template

        self.stage = LLMStage(catalogue, judge, request, load_agreement_template(template), terms)
        self._settings = request.provenance() | identity(judge)
        self._catalogue = catalogue
        self._extraction_id = extraction_id
        self._said = said
        self._groups = {(group.unit, group.suppressed): group for group in groups}
        self._pairs = lru_cache(None)(lambda unit, way: _pairs(self._groups[unit, way], said))

    def tasks(self, groups: list[Group], *, keep: bool = True) -> list[Task[Compared]]:
        """Questions about some groups, by what heads promote and by what they suppress.

        Unless ``keep``, nothing is entered in the catalogue.
        """
        self.stage.enter(self._settings, keep=keep)
        return [self._task([group.unit for group in groups if group.suppressed == way], way) for way in (False, True)]

    def found(self, group: Group) -> Stable:
        """The stored result of a group that was compared."""
        pairs = self._pairs(group.unit, group.suppressed)
        rows = [row for row in self._of_group(pairs, self._kept()) if row is not None]
        central = next(row.description_id for row in rows if row.found["representative"])
        own = tuple(row.found["own"] for row in rows)
        return Stable(rows[0].value, rows[0].wrong, central, tuple(row.description_id for row in rows), own)

    def _task(self, units: list[HeadId], way: bool) -> Task[Compared]:
        kept = self._kept()
        found = {unit: self._outcome(self._pairs(unit, way), kept) for unit in units}
        outcomes = {unit: outcome for unit, outcome in found.items() if outcome is not None}
        made_by = self.stage.made_by
        return Task(
            name="suppressed" if way else "stability",
            shown="suppressed" if way else "compare",
            extraction_id=self._extraction_id,
            units=units,
            inquire=lambda unit: self._inquiry(self._pairs(unit, way)),
            save=lambda unit, outcome: self._save(self._pairs(unit, way), outcome, made_by),
            outcomes={unit: failure for unit, (failure, _) in outcomes.items()},
            failed={unit: at for unit, (failure, at) in outcomes.items() if failure is not None},
        )

    def _kept(self) -> Kept:
        """All that this LLM has found of the extraction's descriptions."""
        if self.stage.labeller_id is None:
            return {}
        return self._catalogue.scores.by_judge(self._extraction_id, self.stage.labeller_id, "stability")

    def _of_group(self, pairs: Pairs, kept: Kept) -> list[Row[Any] | None]:
        """The score kept of each description of a group, compared as now."""
        key = json_hash(pairs.settings)
        return [kept.get((self._said[place].id, key)) for place in pairs.group.own]

    def _outcome(self, pairs: Pairs, kept: Kept) -> tuple[str | None, datetime] | None:
        """The cause of failure, or None, and when; None where a description of the group has no score."""
        rows = [row for row in self._of_group(pairs, kept) if row is not None]
        if len(rows) < len(pairs.group.own):
            return None
        first = next((row for row in rows if row.failure is not None), rows[0])
        return first.failure, aware(first.created)

    def _save(self, pairs: Pairs, outcome: Compared, made_by: dict[str, str]) -> None:
        judge = self.stage.labeller_id or 0
        if outcome.stable is not None:
            save_stable(self._catalogue, judge, outcome.stable, pairs.settings, made_by)
            return
        failed = Score("stability", None, n=len(pairs.group.own), failure=outcome.failure, detail=outcome.detail)
        for place in pairs.group.own:
            self._catalogue.scores.save(self._said[place].id, judge, failed, pairs.settings, made_by)

    def _inquiry(self, asked: Pairs) -> Inquiry[Compared]:
        said, found = self._said, list[float]()
        for number, (i, j) in enumerate(asked.own + asked.others):
            first, second = (i, j) if number % 2 == 0 else (j, i)  # a liking for either place cancels
            judged = yield from self._agreement(said[first], said[second], suppressed=asked.group.suppressed)
            if judged.failure is not None:
                return Compared(failure=judged.failure, detail=judged.detail)
            found.append(judged.probabilities[0])
        inside = np.eye(len(asked.group.own))
        place = {where: i for i, where in enumerate(asked.group.own)}
        for (i, j), value in zip(asked.own, found, strict=False):
            inside[place[i], place[j]] = inside[place[j], place[i]] = value
        outside = float(np.mean(found[len(asked.own) :])) if asked.others else None
        return Compared(stable(inside, outside, [said[where].id for where in asked.group.own]))

    def _agreement(self, a: Said, b: Said, *, suppressed: bool) -> Inquiry[Judgement]:
        """Of an abstention, and of what is the same to the letter, nobody is asked."""
        from describe.scoring import AgreementQuestion, Judgement

        if a.unclear or b.unclear or a.sentence == b.sentence:
            return Judgement((float(a.unclear == b.unclear),))
        claims = (a.inputs, a.pattern), (b.inputs, b.pattern)
        judged: Judgement = yield AgreementQuestion.of(self.stage.template, *claims, suppressed=suppressed)
        return judged


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
