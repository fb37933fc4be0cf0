"""Detection: can a judge that is given a description tell rows of the head from rows of others?

The other measures by rows ask in the same way, and differ in the rows and words that the judge is shown (`Shown`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from describe.errors import CallError
from describe.labelling import Inquiry, Kind, Template, load_template, once_each, shown_rows
from describe.records import HeadId, Score
from describe.scoring.measures import balanced_accuracy, grouping
from describe.scoring.rows import Case, Trial, Words
from describe.statistics import Estimate, auroc_of

__all__ = [
    "JudgeQuestion",
    "Judgement",
    "Shown",
    "detection",
    "inquire",
    "judge_rows",
    "load",
    "load_chat_template",
    "of_judgements",
    "row_score",
    "trial",
]

Shown = Callable[[Words], tuple[Trial, Words]]
"""The rows and the words that a judge is shown of a description, by what the description says."""


@dataclass(frozen=True)
class Judgement:
    """A judge's probability of each row of a trial to be of the described head, or why there is none."""

    probabilities: tuple[float, ...] = ()
    failure: str | None = None
    detail: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": False})

    row: int
    probability: float = Field(ge=0, le=1, allow_inf_nan=False)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": False})

    rows: list[_Row]


_SCHEMA: dict[str, Any] = _Answer.model_json_schema()


@dataclass(frozen=True)
class JudgeQuestion:
    """Which of these rows are of the head that this description is of?"""

    prompt: str
    n: int

    @classmethod
    def of(cls, template: Template, trial: Trial, inputs: str, pattern: str, *, suppressed: bool) -> JudgeQuestion:
        """Ask of a trial's rows. Raises `TemplateError` when the template cannot be rendered."""
        rows = shown_rows((row.token, [target.token for target in row.targets]) for row in trial.rows)
        told = {"rows": rows, "inputs": inputs, "pattern": pattern, "suppressed": suppressed}
        return cls(template.fill(told), len(rows))

    @property
    def form(self) -> dict[str, Any]:
        return _SCHEMA

    @property
    def assumed(self) -> Judgement:
        return Judgement((0.5,) * self.n)

    def read(self, reply: str, usage: dict[str, Any]) -> Judgement:
        """The probabilities. Raises ValueError unless there is one for each row."""

        def items(listed: object) -> list[_Row]:
            return _Answer.model_validate({"rows": listed}).rows

        ordered = once_each(reply, "rows", self.n, items, lambda found: found.row)
        return Judgement(tuple(found.probability for found in ordered), usage=usage)

    def failed(self, failure: CallError, usage: dict[str, Any]) -> Judgement:
        return Judgement(failure=failure.cause, detail=str(failure), usage=usage)


def load(name: str) -> Template:
    """A template for judges, as `load_template` finds it. Raises `TemplateError`, also for a text to go on with."""
    return load_chat_template(name, _JUDGING)


def load_chat_template(name: str, kind: Kind) -> Template:
    """A template for judges that are asked in a chat. Raises `TemplateError`."""
    template = load_template(name, kind)
    if template.completion:
        from describe.errors import TemplateError

        raise TemplateError(f"prompt template '{template.name}' is a text to go on with, and judges are asked in chats")
    return template


def trial(case: Case) -> Trial:
    """The rows by which a description is judged."""
    return case.trial


def inquire(template: Template, case: Case) -> Inquiry[Score]:
    """Ask about a description's rows by it, and by a wrong one."""
    return (yield from judge_rows("detection", template, case, lambda words: (case.trial, words)))


def judge_rows(measure: str, template: Template, case: Case, shown: Shown) -> Inquiry[Score]:
    """Ask about a description and about a wrong one, in random order: a judge is not to know the right one by it."""
    said = {"own": case.words} | ({} if case.wrong is None else {"wrong": case.wrong})
    order = sorted(said)
    random.Random(f"{measure} {case.trial.head}").shuffle(order)  # noqa: S311  (no secret)
    trials: dict[str, Trial] = {}
    judged: dict[str, Judgement] = {}
    for side in order:
        trials[side], words = shown(said[side])
        judged[side] = yield JudgeQuestion.of(template, trials[side], *words, suppressed=case.suppressed)
        if judged[side].failure is not None:
            return _failed(measure, trials[side], judged[side])
    beside = None if "wrong" not in judged or case.wrong_head is None else (trials["wrong"], judged["wrong"])
    return row_score(measure, (trials["own"], judged["own"]), beside, case.wrong_head)


def detection(trial: Trial, own: Judgement, wrong: Judgement | None, wrong_head: HeadId | None) -> Score:
    """The score of a description by what a judge made of it, and of a ``wrong`` one, that of ``wrong_head``."""
    return row_score("detection", (trial, own), None if wrong is None else (trial, wrong), wrong_head)


of_judgements = detection


def row_score(
    measure: str, own: tuple[Trial, Judgement], wrong: tuple[Trial, Judgement] | None, wrong_head: HeadId | None
) -> Score:
    """The AUROC of own rows against others, by a judge's probabilities, with that of a wrong description.

    A failure of either judgement is the score's: no score stands without that of a wrong description where there can
    be one. Rows of ``wrong_head`` itself, of which its description is true, are left out of it. Beside the score
    stands what grouping the rows by shared tokens gives without any description.
    """
    failed = next((side for side in (own, wrong) if side is not None and side[1].failure is not None), None)
    if failed is not None:
        return _failed(measure, *failed)
    trial, judged = own
    ours, others = trial.split(judged.probabilities)
    if not (ours and others):
        return Score(measure, None, n=len(trial.rows), failure="no_rows", detail="too few rows are left to judge by")
    value = auroc_of(ours, others)
    reach = trial.split(judged.probabilities, reach=True)
    found: dict[str, Any] = {
        "balanced_accuracy": balanced_accuracy(ours, others)._asdict(),
        "reach": auroc_of(*reach)._asdict() if all(reach) else None,
        "grouping": auroc_of(*trial.split(grouping(trial.rows)))._asdict(),
        "own": ours,
        "others": others,
        "usage": judged.usage,
    }
    beside = None if wrong is None else _of_wrong(*wrong, wrong_head)
    if beside is not None and wrong is not None:
        found["placebo"] = {"head": str(wrong_head), **beside._asdict(), "usage": wrong[1].usage}
    return Score(
        measure,
        value.value,
        value.low,
        value.high,
        wrong=beside.value if beside else None,
        n=len(ours) + len(others),
        found=found,
    )


def _failed(measure: str, trial: Trial, judged: Judgement) -> Score:
    return Score(measure, None, n=len(trial.rows), failure=judged.failure, detail=judged.detail)


def _of_wrong(trial: Trial, wrong: Judgement, head: HeadId | None) -> Estimate | None:
    sides = trial.split(wrong.probabilities, without=head)
    return auroc_of(*sides) if all(sides) else None


_JUDGING = Kind(
    fields={
        "rows": "rows to be judged: each with `source` and `targets`, tokens in quotes",
        "inputs": "what the description says of the inputs",
        "pattern": "what it says the head does",
        "suppressed": "whether the targets are what the head pushes down",
    },
    shown=frozenset({"rows"}),
    sample={
        "rows": shown_rows([(" a", [" b"]), (" c", [" d"])]),
        "inputs": "letters",
        "pattern": "the next letter",
        "suppressed": False,
    },
)
"""Templates that ask a judge."""
