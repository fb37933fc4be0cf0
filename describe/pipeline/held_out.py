"""Material for judges: descriptions of heads and roles, the rows to judge each by, and a wrong description of each."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from describe.catalog import Catalogue, Told
from describe.errors import CatalogueError
from describe.labelling.looks import ATTENTION
from describe.pipeline.role_rows import of_role
from describe.records import HeadId, HeadMapping, Score

if TYPE_CHECKING:
    from describe.scoring import Case, Trial, Words
    from describe.scoring.company import Company

__all__ = ["TRIAL", "RowsOf", "Trials", "check_kept", "chosen_authors", "too_few", "words_of"]

TRIAL = {"version": 2, "rows": 15, "reach": 5, "near": 5, "seed": 0}
"""Rows judged: so many of the head's next most salient, so many of its random ones, and as many of others: of so many
heads that are nearest by their outputs, and of those of the layer, in turn."""

NO_ROWS = "no_rows"


class RowsOf:
    """The rows of an extraction's heads and roles, each with what its description is about as targets.

    ``suppressed``: descriptions of whole heads are about what these push down; those of roles go by the role's sign.
    """

    def __init__(self, catalogue: Catalogue, extraction_id: int, *, suppressed: bool) -> None:
        found = catalogue.roles.of_extraction(extraction_id, None)
        self._roles = {unit: role for of_head in found.values() for unit, role in of_head.items()}
        self._whole = lru_cache(256)(lambda head: catalogue.mapping(extraction_id, head, held_out=True))
        self.suppressed = suppressed
        self._company: dict[bool, Company] = {}

    def pushes_down(self, unit: HeadId) -> bool:
        """Whether a description of a head or role is about what it pushes down."""
        role = self._roles.get(unit)
        return self.suppressed if role is None else role.sign == "suppresses"

    def of(self, unit: HeadId, *, suppressed: bool) -> HeadMapping:
        """The rows of a head or role; none of a role that the catalogue does not hold."""
        from describe.scoring import seen

        role, mapping = self._roles.get(unit), self._whole(unit._replace(role=0))
        if unit.role:
            mapping = HeadMapping(unit, ()) if role is None else of_role(mapping, unit, role)
        salient, held_out, sampled = (
            tuple(seen(row, suppressed=suppressed) for row in rows)
            for rows in (mapping.salient, mapping.held_out, mapping.sampled)
        )
        return HeadMapping(unit, salient, held_out=held_out, sampled=sampled)

    def company(self, heads: list[HeadId], *, suppressed: bool) -> Company:
        """Which of these heads are nearest to which, by what is described of them."""
        from describe.scoring.company import Company

        if suppressed not in self._company:
            self._company[suppressed] = Company({head: self.of(head, suppressed=suppressed) for head in heads})
        return self._company[suppressed]


@dataclass(frozen=True)
class Trials:
    """Descriptions of one extraction by one author, and what each is judged by.

    Attributes:
        told: those that can be judged, ``others``: all of the model's own heads, to draw wrong ones from.
        rows: of this extraction, ``own_rows``: of the model's own heads, all of which are ``heads``.
    """

    told: dict[HeadId, Told]
    others: dict[HeadId, Told]
    rows: RowsOf
    own_rows: RowsOf
    heads: list[HeadId]
    vocab_size: int

    def trial(self, unit: HeadId) -> Trial:
        """The rows to judge a head's or role's description by: held-out ones of its own, and of other heads."""
        from describe.scoring import draw_trial, matched

        down = self.rows.pushes_down(unit)
        own, company = self.rows.of(unit, suppressed=down), self.own_rows.company(self.heads, suppressed=down)
        others, near = (
            {other: self.own_rows.of(other, suppressed=down) for other in some}
            for some in (matched(unit, self.heads), company.nearest(own, TRIAL["near"]))
        )
        n, reach, seed = (TRIAL[name] for name in ("rows", "reach", "seed"))
        return draw_trial(own, others, self.vocab_size, n=n, reach=reach, seed=seed, near=near)

    def case(self, unit: HeadId) -> Case:
        """A head's or role's description to be judged, beside a wrong one."""
        from describe.scoring import Case

        wrong, down = self.wrong(unit), self.rows.pushes_down(unit)
        words = words_of(wrong) if wrong else None
        own = self.rows.of(unit, suppressed=down)
        return Case(self.trial(unit), words_of(self.told[unit]), words, wrong.head if wrong else None, down, own)

    def wrong(self, unit: HeadId) -> Told | None:
        """A description of another head or role by the same author, drawn at random among those of the same layer.

        It is about what that head promotes if this one's is, so that it is not known for wrong by this alone.
        """
        from describe.scoring import matched

        down = self.rows.pushes_down(unit)
        others = matched(unit, [other for other in self.others if self.own_rows.pushes_down(other) == down])
        drawn = random.Random(f"{TRIAL['seed']} {unit} wrong")  # noqa: S311  (no secret)
        return self.others[drawn.choice(others)] if others else None


def words_of(told: Told) -> Words:
    """A description's sentences on inputs and pattern."""
    return told.inputs or "", told.pattern or ""


def chosen_authors(
    descriptions: list[Told], llm: str | None = None, prompt: str | None = None, *, looks: bool = False
) -> list[int]:
    """The labellers whose descriptions count: of namesakes the one with the most, the newer of equals.

    Not those who say where heads look: no mapping row tells whether that is true. ``looks``: those alone.
    """
    numbers: dict[tuple[str, str], dict[int, int]] = {}
    for told in descriptions:
        if (told.settings.get("shows") == ATTENTION) != looks:
            continue
        if llm in (None, told.llm) and prompt in (None, told.prompt):
            of_name = numbers.setdefault((told.llm, told.prompt), {})
            of_name[told.labeller_id] = of_name.get(told.labeller_id, 0) + 1
    return sorted(max((number, id) for id, number in of_name.items())[1] for of_name in numbers.values())


def check_kept(catalogue: Catalogue, model: str, own: int) -> None:
    """Raises `CatalogueError` where the catalogue holds no rows to judge by."""
    older = catalogue.saved_heads(own) - catalogue.saved_heads(own, complete=True)
    if older:
        raise CatalogueError(
            f"an older headscribe kept no held-out rows of {len(older)} heads: run headscribe extract {model} again"
        )


def too_few(trial: Trial, measure: str) -> Score:
    """The outcome where there are no rows to judge by."""
    detail = "too few held-out rows are left without the tokens that many heads of the layer share"
    return Score(measure, None, n=len(trial.rows), failure=NO_ROWS, detail=detail)
