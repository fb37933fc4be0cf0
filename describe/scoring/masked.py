"""Detection without the tokens that the description names: what is left is what it says beyond a list."""

from __future__ import annotations

from describe.labelling import Inquiry, Template
from describe.records import Score
from describe.scoring.detection import judge_rows, load
from describe.scoring.rows import Case, without_named

__all__ = ["inquire", "load", "of_judgements"]

of_judgements = None


def inquire(template: Template, case: Case) -> Inquiry[Score]:
    """Ask about the rows without the tokens that the description names; a wrong one's rows are without its own."""
    return (yield from judge_rows("masked", template, case, lambda words: (without_named(case.trial, words), words)))
