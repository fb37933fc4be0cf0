"""Attention: can a judge that is given a description tell at which of five tokens a head looks?

The contexts are of documents that no describer saw. One of the five is the token at which the head looks hardest; the
other four are those next to it, so many before and so many behind as is drawn: as far away as the text allows, and
never the same place among the five. A guess is right in one of five.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from describe.attention import FITS, Context
from describe.errors import CallError
from describe.labelling import Inquiry, Kind, Template, once_each
from describe.labelling.looks import context_line
from describe.records import Claim, HeadId, Score
from describe.scoring.detection import load_chat_template
from describe.scoring.rows import Words
from describe.statistics import Estimate, wilson

__all__ = [
    "LEAST",
    "METHOD",
    "Choice",
    "ChosenPlaces",
    "LooksCase",
    "PlaceQuestion",
    "choices",
    "choose_by_claims",
    "inquire_places",
    "load",
    "looks_score",
]

POSITIONS, SEED = 5, 0

LEAST = 5
"""Fewer contexts say too little."""

of_judgements = None

_Object = dict[str, Any]

METHOD = """The token at which a head looks, of five, by the claims that its description makes, without an LLM.

Each claim was counted on where the head looks (k of n) and is expected by chance with a share e. With s =
(k + 1/2) / (n + 1), a token that shows it weighs log(s / e), one that does not log((1 - s) / (1 - e)); the token with
the largest sum is named, one of those drawn at random where several have it.
"""
"""Stored where an LLM that judges has its prompt."""


@dataclass(frozen=True)
class Choice:
    """A context and five of its tokens, in the order of the text; ``real``: which of them the head looks at, from 0."""

    context: Context
    places: tuple[int, ...]
    real: int

    @property
    def line(self) -> str:
        """As a judge sees it."""
        numbers = {place: number for number, place in enumerate(self.places, 1)}

        def marked(place: int, seen: str) -> str:
            return f"⟦{numbers[place]}:{seen}⟧" if place in numbers else seen

        return context_line(self.context, marked)


@dataclass(frozen=True)
class LooksCase:
    """A description of where a head looks, to be judged.

    Attributes:
        words: what it says; ``wrong``: what that of ``wrong_head`` says, None where there is none.
    """

    head: HeadId
    choices: tuple[Choice, ...]
    words: Words
    wrong: Words | None
    wrong_head: HeadId | None


@dataclass(frozen=True)
class ChosenPlaces:
    """The numbers, from 0, of the tokens that a judge named, a context each, or why there are none."""

    places: tuple[int, ...] = ()
    failure: str | None = None
    detail: str | None = None
    usage: _Object = field(default_factory=dict)


def choices(head: HeadId, contexts: Sequence[Context]) -> tuple[Choice, ...]:
    """Five tokens of each context that has so many; the same for every description of a head.

    Tokens that get at least half as much of the attention as the real one are none of the other four.
    """
    luck = random.Random(f"{SEED} {head} five")  # noqa: S311  (no secret)
    found = []
    for context in contexts:
        if not context.attended:
            continue
        key, share = context.attended[0].place, context.attended[0].attention
        as_real = {one.place for one in context.attended if one.attention >= share / 2}
        others = [place for place in range(context.query + 1) if place not in as_real]
        before, behind = [p for p in others if p < key], [p for p in others if p > key]
        least, most = max(0, POSITIONS - 1 - len(behind)), min(POSITIONS - 1, len(before))
        if least > most:
            continue
        number = luck.randint(least, most)
        places = (*before[len(before) - number :], key, *behind[: POSITIONS - 1 - number])
        found.append(Choice(context, places, number))
    return tuple(found)


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": False})

    line: int
    token: int = Field(ge=1, le=POSITIONS)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": False})

    lines: list[_Line]


_SCHEMA: _Object = _Answer.model_json_schema()


@dataclass(frozen=True)
class PlaceQuestion:
    """At which of five tokens does the head that this description is of look, in each of these contexts?"""

    prompt: str
    n: int

    @property
    def form(self) -> _Object:
        return _SCHEMA

    @property
    def assumed(self) -> ChosenPlaces:
        return ChosenPlaces((0,) * self.n)

    def read(self, reply: str, usage: _Object) -> ChosenPlaces:
        """The numbers. Raises ValueError unless there is one for each line."""

        def items(listed: object) -> list[_Line]:
            return _Answer.model_validate({"lines": listed}).lines

        ordered = once_each(reply, "lines", self.n, items, lambda found: found.line)
        return ChosenPlaces(tuple(found.token - 1 for found in ordered), usage=usage)

    def failed(self, failure: CallError, usage: _Object) -> ChosenPlaces:
        return ChosenPlaces(failure=failure.cause, detail=str(failure), usage=usage)


def inquire_places(template: Template, case: LooksCase) -> Inquiry[Score]:
    """Ask by a description and by a wrong one, in random order: a judge is not to know the right one by it."""
    if len(case.choices) < LEAST:
        return looks_score(case, ChosenPlaces(), None)
    said = {"own": case.words} | ({} if case.wrong is None else {"wrong": case.wrong})
    order = sorted(said)
    random.Random(f"attention {case.head}").shuffle(order)  # noqa: S311  (no secret)
    chosen: dict[str, ChosenPlaces] = {}
    for side in order:
        inputs, pattern = said[side]
        told = {"lines": [choice.line for choice in case.choices], "inputs": inputs, "pattern": pattern}
        chosen[side] = yield PlaceQuestion(template.fill(told), len(case.choices))
        if chosen[side].failure is not None:
            break
    return looks_score(case, chosen.get("own", chosen[order[0]]), chosen.get("wrong"))


def looks_score(case: LooksCase, own: ChosenPlaces, wrong: ChosenPlaces | None) -> Score:
    """The share of contexts in which the right one of five tokens was named, with Wilson's interval.

    A failure of either judgement is the score's. Beside it stand what a wrong description gets, and what naming the
    nearest of the five gets without any description.
    """
    n = len(case.choices)
    if n < LEAST:
        detail = f"fewer than {LEAST} held-out contexts have five tokens to choose from"
        return Score("attention", None, n=n, failure="no_contexts", detail=detail)
    failed = next((one for one in (own, wrong) if one is not None and one.failure is not None), None)
    if failed is not None:
        return Score("attention", None, n=n, failure=failed.failure, detail=failed.detail)
    value, beside = _accuracy(case, own.places), None if wrong is None else _accuracy(case, wrong.places)
    found: _Object = {
        "right": [place == choice.real for place, choice in zip(own.places, case.choices, strict=True)],
        "nearest": _accuracy(case, [POSITIONS - 1] * n)._asdict(),
        "usage": own.usage,
    }
    if beside is not None and wrong is not None:
        found["placebo"] = {"head": str(case.wrong_head), **beside._asdict(), "usage": wrong.usage}
    against = None if beside is None else beside.value
    return Score("attention", value.value, value.low, value.high, wrong=against, n=n, found=found)


def _accuracy(case: LooksCase, places: Sequence[int]) -> Estimate:
    right = sum(place == choice.real for place, choice in zip(places, case.choices, strict=True))
    return wilson(right, len(case.choices))


def choose_by_claims(
    case: LooksCase, claims: Sequence[Claim], classes: Mapping[str, Callable[[str], bool]]
) -> ChosenPlaces:
    """The tokens that the claims of a description name (`METHOD`); ``classes``: which tokens are of each class."""
    luck = random.Random(f"{SEED} {case.head} claims")  # noqa: S311  (no secret)
    found = []
    for choice in case.choices:
        weights = [_weight(choice.context, place, claims, classes) for place in choice.places]
        best = max(weights)
        found.append(luck.choice([i for i, weight in enumerate(weights) if weight >= best - 1e-9]))
    return ChosenPlaces(tuple(found))


def _weight(
    context: Context, place: int, claims: Sequence[Claim], classes: Mapping[str, Callable[[str], bool]]
) -> float:
    total = 0.0
    for claim in claims:
        if claim.kind == "pairing":
            shows = claim.name in FITS and FITS[claim.name](context, place)
        else:
            of = classes.get(claim.name)
            shows = of is not None and of(context.tokens[place])
        if claim.kind != "inputs":  # these are of the token from which it looks: the same of all five
            share = (claim.count + 0.5) / (claim.rows + 1)
            expected = min(max(claim.expected, 1e-4), 1 - 1e-4)
            total += log(share / expected) if shows else log((1 - share) / (1 - expected))
    return total


def load(name: str) -> Template:
    """A template that asks for one of five tokens. Raises `TemplateError`, also for a text to go on with."""
    return load_chat_template(name, _CHOOSING)


_CHOOSING = Kind(
    fields={
        "lines": "contexts, a line each: the token looked from in ⟪⟫, five tokens numbered in ⟦⟧",
        "inputs": "what the description says of the tokens from which the head looks",
        "pattern": "what it says of those at which it looks",
    },
    shown=frozenset({"lines"}),
    sample={"lines": ["⟦1:a⟧⟦2:b⟧⟦3:c⟧⟦4:d⟧⟦5:e⟧⟪f⟫"], "inputs": "letters", "pattern": "the letter before"},
)
"""Templates that ask a judge at which token a head looks."""
