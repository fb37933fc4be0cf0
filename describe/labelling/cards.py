"""A head's card as an LLM words it: numbered evidence goes in, statements come out that name it, and are held to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from describe.errors import CallError, TemplateError
from describe.labelling.exchange import Inquiry
from describe.labelling.json_reply import first_reason, reply_object
from describe.labelling.template import CARDS, Kind, Template, load_template, text_hash
from describe.records import Statement, WordedCard

__all__ = ["CardQuestion", "load_card_template", "objection", "passes"]

DEFAULT_PROMPT = "card-1"

PLACES = ("the headline", "sentence 1", "sentence 2")
"""The statements of a card, in their order."""


class _Statement(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": False})

    text: str = Field(max_length=500)
    evidence: list[int] = Field(max_length=100)


class _Headline(_Statement):
    text: str = Field(max_length=160)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": False})

    headline: _Headline
    sentences: list[_Statement] = Field(min_length=2, max_length=2)


_SCHEMA: dict[str, Any] = _Answer.model_json_schema()


@dataclass(frozen=True)
class CardQuestion:
    """How is all that is known of a head said in a headline and two sentences? ``lines``: the evidence, in order."""

    prompt: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, template: Template, lines: Sequence[str]) -> CardQuestion:
        """Ask about a head. Raises `TemplateError` when the template cannot be rendered."""
        return cls(template.fill({"known": list(lines)}), tuple(lines))

    def alone(self) -> Inquiry[WordedCard]:
        """The inquiry of this one question."""
        answer: WordedCard = yield self
        return answer

    @property
    def form(self) -> dict[str, Any]:
        return _SCHEMA

    @property
    def assumed(self) -> WordedCard:
        return WordedCard()

    def read(self, reply: str, usage: dict[str, Any]) -> WordedCard:
        """The statements in a reply. Raises ValueError where one does not rest on the evidence that it names."""
        found = reply_object(reply, "headline")
        try:
            answer = _Answer.model_validate({name: found[name] for name in _Answer.model_fields if name in found})
        except ValidationError as error:
            raise ValueError(first_reason(error)) from error
        statements = tuple(
            Statement(_without_numbers(one.text), tuple(dict.fromkeys(one.evidence)))
            for one in (answer.headline, *answer.sentences)
        )
        for place, one in zip(PLACES, statements, strict=True):
            named = self._named(place, one)
            wrong = objection(one.text, named, figure=place != PLACES[0])
            if wrong is not None:
                raise ValueError(f"{place} {wrong} (it names {', '.join(map(str, one.evidence))})")
        return WordedCard(statements, reply=reply, prompt_hash=text_hash(self.prompt), usage=usage)

    def failed(self, failure: CallError, usage: dict[str, Any]) -> WordedCard:
        return WordedCard(
            failure=failure.cause,
            detail=str(failure),
            reply=failure.reply,
            prompt_hash=text_hash(self.prompt),
            usage=usage,
        )

    def _named(self, place: str, one: Statement) -> list[str]:
        """The lines that a statement names. Raises ValueError where there are none, or one that is not there."""
        if not one.evidence:
            raise ValueError(f"{place} names no evidence")
        for number in one.evidence:
            if not 1 <= number <= len(self.lines):
                raise ValueError(f"{place} names evidence {number}, and there are 1 to {len(self.lines)}")
        return [self.lines[number - 1] for number in one.evidence]


def load_card_template(name: str | None) -> Template:
    """A template that asks for a card's words. Raises `TemplateError` as `load_template` does."""
    template = load_template(name or DEFAULT_PROMPT, _WORDING)
    if template.completion:
        raise TemplateError(f"prompt template '{template.name}' is a text to go on with; cards are asked for in chats")
    return template


def objection(text: str, lines: Sequence[str], *, figure: bool) -> str | None:
    """Why a statement does not rest on some lines of evidence; None where nothing speaks against it.

    Each of its figures, rounded as it is, and each thing that it quotes must stand in the lines, and of its other words
    one that not every head's evidence has. ``figure``: it must name one, where the lines have any.

    What cannot be looked up, such as whether a verb turns the evidence round, is not seen.
    """
    known = " ".join(lines)
    told = text.casefold()
    for quote in _QUOTED.findall(told):
        if quote.strip() and quote.strip() not in known.casefold():
            return f'quotes "{quote}", which does not stand in the evidence that it names'
    there = {value for _, value, _ in _figures(known)}
    named = list(_figures(_QUOTED.sub(" ", text)))
    for shown, value, decimals in named:
        if not any(_same(value, decimals, one) for one in there):
            return f"has the figure {shown}, which does not stand in the evidence that it names"
    if figure and there and not named:
        return "has no figure of the evidence that it names"
    words = _stems(told)
    if not words:
        return "says nothing"
    if not words & _stems(known) - _COMMON and _NOTHING.search(text) is None:
        return "has no word of the evidence that it names"
    return None


def passes(statements: Sequence[Statement], lines: Sequence[str]) -> bool:
    """Whether the check lets statements pass under all lines of some evidence: that of another head is a placebo."""
    return all(
        objection(one.text, lines, figure=place != PLACES[0]) is None
        for place, one in zip(PLACES, statements, strict=False)
    )


_NUMBERS = re.compile(r"\s*(?:\[\d+(?:\s*,\s*\d+)*\]|\((?:evidence|lines?) \d+(?:\s*,\s*\d+)*\))", re.IGNORECASE)
_QUOTED = re.compile(r'"([^"]*)"')
_FIGURE = re.compile(r"(?<![\w.])(\d+(?:,\d{3})*(?:\.\d+)?)(\s?%)?(?![\w])")
_WORD = re.compile(r"[^\W\d_]{4,}")
_NOTHING = re.compile(r"\b(unclear|unknown|nothing|no (clear|known)|not known)\b", re.IGNORECASE)


def _without_numbers(text: str) -> str:
    """A statement in one line, without the numbers of evidence that an LLM may write into it."""
    return " ".join(_NUMBERS.sub("", text).split())


def _figures(text: str) -> Iterator[tuple[str, float, int]]:
    """Figures as they are written, each with its value and its decimals; per cent as shares."""
    for digits, per_cent in _FIGURE.findall(text):
        value, decimals = float(digits.replace(",", "")), len(digits.partition(".")[2])
        yield digits + per_cent, value / 100 if per_cent else value, decimals + 2 if per_cent else decimals


def _same(value: float, decimals: int, known: float) -> bool:
    """A figure with so many decimals is the known one, to the letter or rounded; whole numbers are not rounded."""
    return abs(known - value) <= (0.5 * 10**-decimals if decimals else 0.0) + 1e-9


def _stems(text: str) -> set[str]:
    """The words of four letters or more, so that names and suppressed are name and suppresses."""
    return {re.sub(r"ies$", "y", word).rstrip("s")[:5] for word in _WORD.findall(text.casefold())}


_COMMON = _stems(
    "operation operations weights attention mappings beside random heads description what writes where looks inputs"
    " score prompts head with that this from when than under most more less token tokens words above nothing chance"
    " shares role rows none nearest supported verdict said text model which their other also into only about"
)
"""Words that every head's evidence may have: a statement that shares these alone could be of any head."""

_WORDING = Kind(
    fields={"known": "everything known of the head, lines that are numbered from 1"},
    shown=frozenset({"known"}),
    sample={"known": ["operation, by its weights: suppresses names: 0.90 of 325 pairs"]},
    prefix=CARDS,
)
"""Templates that ask for a card's words."""
