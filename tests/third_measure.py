"""A measure that headscribe does not have: one file, as `docs/extending.md` would have it, and one row."""

from __future__ import annotations

from describe.labelling import Inquiry, Template
from describe.measures import Measure
from describe.records import Score
from describe.scoring import Case, Judgement, JudgeQuestion
from describe.scoring import detection as _detection
from describe.scoring.detection import load

__all__ = ["ROW", "inquire", "load", "of_judgements"]

ROW = Measure(
    name="accuracy",
    value="accuracy",
    title="accuracy",
    unit=" right",
    axis="mean share of rows told right",
    span=(0.0, 1.0),
    chance=0.5,
    reply=600.0,
    prompt="judge-detection-1",
    about="accuracy",
    questions=__name__,
)

of_judgements = None


def inquire(template: Template, case: Case) -> Inquiry[Score]:
    """The share of rows that a judge tells right."""
    judged: Judgement = yield JudgeQuestion.of(template, case.trial, *case.words, suppressed=case.suppressed)
    if judged.failure is not None:
        return Score(ROW.name, None, n=len(case.trial.rows), failure=judged.failure, detail=judged.detail)
    value = _detection(case.trial, judged, None, None).found["balanced_accuracy"]
    return Score(ROW.name, value["value"], value["low"], value["high"], n=len(case.trial.rows))
