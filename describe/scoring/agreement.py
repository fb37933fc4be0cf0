"""Agreement: do two descriptions say the same? By an LLM that is asked, or by the words that they share."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from describe.errors import CallError
from describe.labelling import Kind, Template, first_reason, reply_object
from describe.scoring.detection import Judgement, load_chat_template
from describe.scoring.rows import Words

__all__ = ["WORDS_METHOD", "AgreementQuestion", "load_agreement_template", "shared_words"]

DEFAULT_PROMPT = "judge-agreement-1"

WORDS_METHOD = """How far two descriptions of a head agree: the words that both have, over the words that either has.

A word weighs log((1 + n) / m), where m of n descriptions have it. A quoted token is one word; what stands in
parentheses, figures and signs are none; capitals do not count. Two abstentions agree (1), an abstention and a
description do not (0). A description's own agreement is its mean over the others of its head; the representative has
the most.
"""
"""Stored where an LLM that judges has its prompt."""

_WORD = re.compile(r'("(?:[^"\\]|\\.)*")|\((?:[^()"]|"(?:[^"\\]|\\.)*")*\)|([^\W\d_]+)')


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": False})

    probability: float = Field(ge=0, le=1, allow_inf_nan=False)


_SCHEMA: dict[str, Any] = _Answer.model_json_schema()


@dataclass(frozen=True)
class AgreementQuestion:
    """Do these two descriptions say the same?"""

    prompt: str

    @classmethod
    def of(cls, template: Template, a: Words, b: Words, *, suppressed: bool) -> AgreementQuestion:
        """Ask of two descriptions. Raises `TemplateError` when the template cannot be rendered."""
        told = {name: dict(zip(("inputs", "pattern"), claim, strict=True)) for name, claim in (("a", a), ("b", b))}
        return cls(template.fill(told | {"suppressed": suppressed}))

    @property
    def form(self) -> dict[str, Any]:
        return _SCHEMA

    @property
    def assumed(self) -> Judgement:
        return Judgement((0.5,))

    def read(self, reply: str, usage: dict[str, Any]) -> Judgement:
        """The probability that they do. Raises ValueError where there is none."""
        try:
            answer = _Answer.model_validate({"probability": reply_object(reply, "probability")["probability"]})
        except ValidationError as error:
            raise ValueError(first_reason(error)) from error
        return Judgement((answer.probability,), usage=usage)

    def failed(self, failure: CallError, usage: dict[str, Any]) -> Judgement:
        return Judgement(failure=failure.cause, detail=str(failure), usage=usage)


def load_agreement_template(name: str | None) -> Template:
    """A template that asks whether two descriptions agree. Raises `TemplateError` as `load_template` does."""
    return load_chat_template(name or DEFAULT_PROMPT, _COMPARING)


def shared_words(descriptions: Sequence[str]) -> NDArray[np.float64]:
    """The agreement of every two descriptions, (n, n), as `WORDS_METHOD` says."""
    words = [
        {(token or word).casefold() for token, word in _WORD.findall(text) if token or word} for text in descriptions
    ]
    numbers = Counter(word for found in words for word in found)
    place = {word: i for i, word in enumerate(sorted(numbers))}
    weight = np.array([math.log((1 + len(words)) / numbers[word]) for word in place])
    has = np.zeros((len(words), len(place)))
    for row, found in enumerate(words):
        has[row, [place[word] for word in found]] = 1
    both = (has * weight) @ has.T
    either = both.diagonal()[:, None] + both.diagonal() - both
    shared: NDArray[np.float64] = np.divide(both, either, out=np.ones_like(both), where=either > 0)
    return shared


_COMPARING = Kind(
    fields={
        "a": "a description, `a.inputs` and `a.pattern`",
        "b": "another one, likewise",
        "suppressed": "whether they are about what heads push down",
    },
    shown=frozenset({"a", "b"}),
    sample={
        **{name: {"inputs": "letters", "pattern": "the next letter"} for name in ("a", "b")},
        "suppressed": False,
    },
)
"""Templates that ask a judge about two descriptions."""
