"""The measures of how far a description is true: one row each, and one file that asks for it.

What is known of a measure without judging anything stands here, for the command line, dry runs, reports, charts and
exports; its questions are in the module that the row names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

from describe.errors import InputError

__all__ = ["DEFAULT", "MEASURES", "VERDICTS", "Measure", "Verdict", "find_measure", "ranked"]


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        name: as ``--measure`` and the catalogue have it; at most 32 characters.
        value: what its value is called in the JSON of reports.
        title, unit: the value as people read it; ``unit`` stands behind each figure.
        axis, span: what a chart calls its mean, and from where to where it is drawn; None: as the values are.
        chance: the value of a description that says nothing.
        reply: tokens of one reply, where the ledger has none yet.
        prompt: the template that a judge is asked with by default.
        about: for ``--help``.
        questions: the module that asks, as `describe.scoring.questions.MeasureQuestions` says.
        by: what descriptions are judged by: rows of mappings that their authors did not see; the weights, to which
            what a judge writes is put (`describe.pipeline.written`); or contexts that the head looks from, of
            descriptions that say where it looks (`describe.pipeline.look_trials`).
    """

    name: str
    value: str
    title: str
    unit: str
    axis: str
    span: tuple[float, float] | None
    chance: float
    reply: float
    prompt: str
    about: str
    questions: str
    by: Literal["rows", "weights", "contexts"] = "rows"


class _Figure(TypedDict):
    value: str
    title: str
    unit: str
    axis: str
    span: tuple[float, float]
    chance: float


_AUROC: _Figure = {
    "value": "auroc",
    "title": "AUROC",
    "unit": "",
    "axis": "mean AUROC",
    "span": (0.4, 1.0),
    "chance": 0.5,
}
"""Of every measure that tells right from wrong."""

_ROWS = (
    Measure(
        name="write",
        reply=700.0,
        prompt="judge-write-1",
        about="write (the judge writes new words, and the weights test them)",
        questions="describe.scoring.write",
        by="weights",
        **_AUROC,
    ),
    Measure(
        name="detection",
        reply=600.0,
        prompt="judge-detection-1",
        about="detection",
        questions="describe.scoring.detection",
        **_AUROC,
    ),
    Measure(
        name="relation",
        reply=600.0,
        prompt="judge-relation-1",
        about="relation (which targets belong to which input)",
        questions="describe.scoring.relation",
        **_AUROC,
    ),
    Measure(
        name="masked",
        reply=600.0,
        prompt="judge-detection-1",
        about="masked (detection without the tokens that the description names)",
        questions="describe.scoring.masked",
        **_AUROC,
    ),
    Measure(
        name="inputs",
        reply=600.0,
        prompt="judge-detection-1",
        about="inputs (detection by what is said of the inputs alone)",
        questions="describe.scoring.inputs",
        **_AUROC,
    ),
    Measure(
        name="likelihood",
        value="bits",
        title="bits",
        unit=" bits",
        axis="mean bits saved a row",
        span=None,
        chance=0.0,
        reply=1.0,
        prompt="judge-likelihood-1",
        about="likelihood (a server with logprobs)",
        questions="describe.scoring.likelihood",
    ),
    Measure(
        name="attention",
        value="share_right",
        title="share right",
        unit=" right",
        axis="mean share of contexts told right",
        span=(0.0, 1.0),
        chance=0.2,
        reply=150.0,
        prompt="judge-attention-1",
        about="attention (at which of five tokens the head looks, by what was said of where it looks)",
        questions="describe.scoring.attention",
        by="contexts",
    ),
)

MEASURES: dict[str, Measure] = {row.name: row for row in _ROWS}
"""By name, the most telling first."""

DEFAULT = "detection"

Verdict = Literal["supported", "names outputs only", "not supported", "not judged"]

VERDICTS: tuple[Verdict, ...] = ("supported", "names outputs only", "not supported", "not judged")
"""On a description, by all its scores (`describe.head_record.verdicts`), the best first."""

STABILITY = "stability"
"""Kept as a score too: whether descriptions agree. It says nothing of whether they are true, so it is no row."""


def find_measure(name: str) -> Measure:
    """The measure of that name. Raises `InputError` where there is none."""
    if name not in MEASURES:
        raise InputError(f"there is no measure '{name}'; there are: {', '.join(MEASURES)}")
    return MEASURES[name]


def ranked() -> list[str]:
    """Names of all measures, the most telling first."""
    return [*MEASURES, STABILITY]
