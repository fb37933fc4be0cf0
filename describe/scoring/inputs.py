"""Detection by what a description says of the inputs alone."""

from __future__ import annotations

from describe.labelling import Inquiry, Template
from describe.records import Score
from describe.scoring.detection import judge_rows, load
from describe.scoring.rows import Case, Words

__all__ = ["inquire", "load", "of_judgements"]

of_judgements = None

NOT_TOLD = "(not told: judge by the inputs)"


def inquire(template: Template, case: Case) -> Inquiry[Score]:
    """Ask about the rows by the sentence on the inputs."""

    def inputs_alone(words: Words) -> Words:
        return words[0], NOT_TOLD

    return (yield from judge_rows("inputs", template, case, lambda words: (case.trial, inputs_alone(words))))
