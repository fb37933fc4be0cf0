"""Relation: can a judge that is given a description tell which targets belong to which source?

All rows are of the head's own sources; half of them have the targets of another of its rows. So a description that
lists the head's outputs tells nothing, and where the output does not follow from the input nothing can: 0.5.
"""

from __future__ import annotations

from describe.labelling import Inquiry, Template
from describe.records import HeadId, Score
from describe.scoring.detection import Judgement, judge_rows, load, row_score
from describe.scoring.rows import LEAST, Case, Trial, swapped_trial

__all__ = ["inquire", "load", "of_judgements", "trial"]

ROWS, SEED = 15, 0
"""Rows of either kind, at most."""


def trial(case: Case) -> Trial:
    """Own rows as they are, and as many with the targets of another."""
    return swapped_trial(case.own, n=ROWS, seed=SEED)


def inquire(template: Template, case: Case) -> Inquiry[Score]:
    """Ask which rows are as they are, by a description and by a wrong one."""
    rows = trial(case)
    if len(rows.rows) < 2 * LEAST:
        detail = "too few held-out rows of the head are left to exchange their targets"
        return Score("relation", None, n=len(rows.rows), failure="no_rows", detail=detail)
    return (yield from judge_rows("relation", template, case, lambda words: (rows, words)))


def of_judgements(trial: Trial, own: Judgement, wrong: Judgement | None, wrong_head: HeadId | None) -> Score:
    """The score by probabilities of the rows to be as they are."""
    return row_score("relation", (trial, own), None if wrong is None else (trial, wrong), wrong_head)
