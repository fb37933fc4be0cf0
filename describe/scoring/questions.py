"""The interface of a measure's module: how its judge is asked, and what the answers come to."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast

from describe.labelling import Inquiry, Template
from describe.measures import Measure
from describe.records import HeadId, Score
from describe.scoring.detection import Judgement
from describe.scoring.rows import Case, Trial

__all__ = ["MeasureQuestions", "questions_of"]


class MeasureQuestions(Protocol):
    """The module that a row of `describe.measures.MEASURES` names, such as `describe.scoring.detection`."""

    of_judgements: Callable[[Trial, Judgement, Judgement | None, HeadId | None], Score] | None
    """The score by probabilities of a trial's rows, for the judge that asks nobody (statistics); None where the measure
    is not of such: those of the description, those of a wrong one, and that one's head."""

    def trial(self, case: Case) -> Trial:
        """The rows of those probabilities, where ``of_judgements`` is not None."""
        ...

    def load(self, name: str) -> Template:
        """The template that a judge is asked with. Raises `TemplateError` for one that is not for this measure."""
        ...

    def inquire(self, template: Template, case: Case) -> Inquiry[Score]:
        """The judge's inquiry about a description, and the score of its answers, under the measure's own name."""
        ...


def questions_of(measure: Measure) -> MeasureQuestions:
    """The questions of a measure."""
    return cast("MeasureQuestions", import_module(measure.questions))
