"""Material for judges of where heads look: descriptions, held-out contexts of each head, and a wrong description."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from describe.attention import HeadAttention
from describe.catalog import Told
from describe.pipeline.held_out import words_of
from describe.records import HeadId, Score

if TYPE_CHECKING:
    from describe.scoring.attention import LooksCase

__all__ = ["FIVE", "LookTrials"]

FIVE = {"version": 1, "tokens": 5, "seed": 0}
"""Tokens of a context that a judge chooses among."""


@dataclass(frozen=True)
class LookTrials:
    """Descriptions of where heads look by one author, and what each is judged by.

    Attributes:
        told: those that can be judged, ``others``: all of the model's own heads, to draw wrong ones from.
        looks: where each of the heads that are judged looks; of placebos, elsewhere.
    """

    told: dict[HeadId, Told]
    others: dict[HeadId, Told]
    looks: dict[HeadId, HeadAttention]

    def case(self, unit: HeadId) -> LooksCase:
        """A head's description to be judged on its held-out contexts, beside a wrong one."""
        from describe.scoring.attention import LooksCase, choices

        wrong, head = self.wrong(unit), unit._replace(role=0)
        found = self.looks[head].held_out if head in self.looks else ()
        words = words_of(wrong) if wrong else None
        return LooksCase(unit, choices(head, found), words_of(self.told[unit]), words, wrong.head if wrong else None)

    def wrong(self, unit: HeadId) -> Told | None:
        """A description of another head by the same author, drawn at random among those of the same layer."""
        from describe.scoring import matched

        others = matched(unit, self.others)
        drawn = random.Random(f"{FIVE['seed']} {unit} wrong")  # noqa: S311  (no secret)
        return self.others[drawn.choice(others)] if others else None

    def by_statistics(self, unit: HeadId) -> Score:
        """The score by the claims of the description, and of the wrong one."""
        from describe.inference.attention.classes import CLASSES
        from describe.scoring.attention import choose_by_claims, looks_score

        case, wrong = self.case(unit), self.wrong(unit)
        classes = {name: of for name, (_, of) in CLASSES.items()}
        own = choose_by_claims(case, self.told[unit].claims, classes)
        return looks_score(case, own, choose_by_claims(case, wrong.claims, classes) if wrong else None)
