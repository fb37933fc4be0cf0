"""Likelihood: how many bits a description saves in telling a source's targets, for judges that follow no instructions.

Own rows of a trial are put beside rows of other heads: the LLM goes on with a text that shows an own row's source and
the targets of both under A and B, and the probabilities of the two letters tell which it takes for the source's. With p
the probability of the right letter, given the description, and p0 the same without any,

    bits saved by a row = log2 p - log2 p0

of which a coin knows none and the best description one. Only the first token that follows is looked at, and of that
only A against B: any server that gives log-probabilities of the tokens it generates can judge, base models too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from describe.errors import CallError
from describe.labelling import Inquiry, Kind, Template, first_reason, load_template, reply_object, shown_rows
from describe.llm import Choice
from describe.records import HeadId, MappingRow, Score
from describe.scoring.detection import Judgement
from describe.scoring.measures import mean_over_rows
from describe.scoring.rows import Case, Trial, Words

__all__ = ["ChoiceQuestion", "inquire", "likelihood", "load", "of_judgements"]

LETTERS = ("A", "B")

of_judgements = None
"""Bits are no probabilities of rows: the judge that asks nobody has none."""


class _Answer(BaseModel):
    A: float = Field(ge=0, le=1.01)  # a server's rounded log-probabilities may add up to a little more than 1
    B: float = Field(ge=0, le=1.01)


@dataclass(frozen=True)
class ChoiceQuestion:
    """Which of two lists are the targets of this source?"""

    prompt: str

    @classmethod
    def of(
        cls, template: Template, claim: Words | None, lists: Sequence[MappingRow], own: int, *, suppressed: bool
    ) -> ChoiceQuestion:
        """Ask about the source of the row ``own`` of the two in ``lists``. Raises `TemplateError`."""
        inputs, pattern = claim or (None, None)
        a, b = shown_rows((row.token, [target.token for target in row.targets]) for row in lists)
        told = {"inputs": inputs, "pattern": pattern, "suppressed": suppressed, "source": (a, b)[own]["source"]}
        return cls(template.fill(told | {"a": a["targets"], "b": b["targets"]}))

    @property
    def form(self) -> Choice:
        return Choice(LETTERS)

    @property
    def assumed(self) -> Judgement:
        return Judgement((0.5,) * len(LETTERS))

    def read(self, reply: str, usage: dict[str, Any]) -> Judgement:
        """The probabilities of A and of B, together 1. Raises ValueError when the LLM goes on with neither."""
        try:
            found = _Answer.model_validate(reply_object(reply, LETTERS[0]))
        except ValidationError as error:
            raise ValueError(first_reason(error)) from error
        total = found.A + found.B
        if not total:
            raise ValueError("neither A nor B is among the likeliest tokens: the LLM does not choose")
        return Judgement((found.A / total, found.B / total), usage=usage)

    def failed(self, failure: CallError, usage: dict[str, Any]) -> Judgement:
        return Judgement(failure=failure.cause, detail=str(failure), usage=usage)


Choose = Callable[[Words | None, Sequence[MappingRow], int], ChoiceQuestion]
"""The question about a description, or about none, two rows, and which of them is the head's own."""


def inquire(template: Template, case: Case) -> Inquiry[Score]:
    """Have a judge choose without a description, with it and with a wrong one."""

    def choose(*asked: Any) -> ChoiceQuestion:
        return ChoiceQuestion.of(template, *asked, suppressed=case.suppressed)

    return (yield from likelihood(choose, case.trial, case.words, case.wrong, case.wrong_head))


def likelihood(
    choose: Choose, trial: Trial, claim: Words, wrong: Words | None, wrong_head: HeadId | None
) -> Inquiry[Score]:
    """The mean of the bits that a description saves, over own rows, with Student's t interval; beside it what the
    description of ``wrong_head`` saves on the same rows, its own left out as the other choice.

    A failure on any row is the score's. Own rows stand under A and under B in turn, the same for all descriptions, so
    that a liking for a letter cancels.
    """
    own, others = trial.split(range(len(trial.rows)), without=wrong_head)
    pairs = [(trial.rows[int(i)], trial.rows[int(j)]) for i, j in zip(own, others, strict=False)]
    if len(pairs) < 2:
        detail = "too few rows of other heads are left without those of the head with the wrong description"
        return Score("likelihood", None, n=len(pairs), failure="no_rows", detail=detail)
    claims: list[Words | None] = [None, claim] if wrong is None else [None, claim, wrong]
    logs: list[list[float]] = [[] for _ in claims]
    for number, (row, other) in enumerate(pairs):
        place = number % 2
        for told, of_claim in zip(claims, logs, strict=True):
            judged: Judgement = yield choose(told, (row, other) if place == 0 else (other, row), place)
            if judged.failure is not None:
                return Score("likelihood", None, n=len(pairs), failure=judged.failure, detail=judged.detail)
            of_claim.append(math.log2(max(judged.probabilities[place], _LEAST)))
    saved, against = ([x - y for x, y in zip(logs[1], logs[k], strict=True)] for k in (0, -1))
    found: dict[str, Any] = {
        "right": sum(bits > -1 for bits in logs[1]) / len(pairs),
        "right_without": sum(bits > -1 for bits in logs[0]) / len(pairs),
        "bits": saved,
    }
    beside = None
    if wrong is not None:
        beside = mean_over_rows([x - y for x, y in zip(logs[2], logs[0], strict=True)]).value
        found["placebo"] = {"head": str(wrong_head), "against": mean_over_rows(against)._asdict()}
    return Score("likelihood", *mean_over_rows(saved), wrong=beside, n=len(pairs), found=found)


_LEAST = 1e-6
"""No probability is taken for smaller: a row costs 20 bits at most."""


def load(name: str) -> Template:
    """The template that a judge goes on with, by name or path. Raises `TemplateError` when it cannot be used."""
    from describe.errors import TemplateError

    template = load_template(name, _CHOOSING)
    if not template.completion:
        raise TemplateError(f"prompt template '{template.name}' is a chat: likelihood needs a text to go on with")
    return template


_CHOOSING = Kind(
    fields={
        "source": "the source, in quotes",
        "a": "the tokens of list A, in quotes",
        "b": "the tokens of list B",
        "inputs": "what the description says of the inputs; none where there is no description",
        "pattern": "what it says the head does; likewise",
        "suppressed": "whether the targets are what the head pushes down",
    },
    shown=frozenset({"a", "b"}),
    sample={"source": '" a"', "a": ['" b"'], "b": ['" c"'], "inputs": "x", "pattern": "y", "suppressed": False},
)
"""Templates that have a judge choose."""
