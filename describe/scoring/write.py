"""Write and test: what a judge, given a description alone, expects the head to do with words of its own choosing.

The weights answer (`describe.maps.written`): no row is shown to the judge and no string is matched. One call a
description.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from describe.errors import CallError
from describe.labelling import Inquiry, Kind, Template, first_reason, load_template, reply_object
from describe.scoring.rows import Words

__all__ = ["LEAST", "WORDS", "WriteQuestion", "WrittenWords", "inquire_words", "load", "of_judgements"]

WORDS = 20
"""Input words that are asked for."""

LEAST = 5
"""Fewer that count say too little."""

_LONGEST, _MOST = 60, 60
"""Characters of a word, and words of a reply, that are looked at."""

of_judgements = None


@dataclass(frozen=True)
class WrittenWords:
    """A judge's words for a description, or why there are none.

    Attributes:
        words: each input with the outputs expected of it, as written.
    """

    words: tuple[tuple[str, tuple[str, ...]], ...] = ()
    failure: str | None = None
    detail: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)


class _Word(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": False})

    input: str = Field(min_length=1, max_length=_LONGEST)
    outputs: list[str]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": False})

    words: list[_Word] = Field(min_length=1, max_length=_MOST)


_SCHEMA: dict[str, Any] = _Answer.model_json_schema()
_LINE = re.compile(r"^\s*(?:\d+[.)]\s*)?(.+?)\s*->\s*(.*)$")


@dataclass(frozen=True)
class WriteQuestion:
    """Which new words does the head act on, and with which outputs? ``chat``: asked for JSON, not for lines."""

    prompt: str
    chat: bool = True

    @property
    def form(self) -> dict[str, Any] | None:
        return _SCHEMA if self.chat else None

    @property
    def assumed(self) -> WrittenWords:
        return WrittenWords()

    def read(self, reply: str, usage: dict[str, Any]) -> WrittenWords:
        """The words written. Raises ValueError where there are none."""
        found = reply_object(reply, "words") if self.chat else {"words": _lines(reply)}
        try:
            answer = _Answer.model_validate({"words": found["words"]})
        except ValidationError as error:
            raise ValueError(first_reason(error)) from error
        written = ((word.input, tuple(o for o in word.outputs if 0 < len(o) <= _LONGEST)) for word in answer.words)
        return WrittenWords(tuple(dict(written).items())[:WORDS], usage=usage)

    def failed(self, failure: CallError, usage: dict[str, Any]) -> WrittenWords:
        return WrittenWords(failure=failure.cause, detail=str(failure), usage=usage)


def inquire_words(template: Template, words: Words, *, suppressed: bool) -> Inquiry[WrittenWords]:
    """Ask for words, by what a description says alone; ``suppressed``: of what the head pushes down."""
    inputs, pattern = words
    told = {"inputs": inputs, "pattern": pattern, "suppressed": suppressed, "n": WORDS}
    written: WrittenWords = yield WriteQuestion(template.fill(told), chat=not template.completion)
    return written


def _lines(reply: str) -> list[dict[str, Any]]:
    """Lines ``input -> output, output`` of a text that a model without a chat format went on with."""
    found = []
    for line in reply.splitlines():
        parts = _LINE.match(line)
        if parts is None:
            continue
        outputs = [part.strip().strip('"') for part in parts[2].split(",")]
        found.append({"input": parts[1].strip('"'), "outputs": [output for output in outputs if output]})
    if not found:
        raise ValueError("the text does not go on with lines 'input -> output, output'")
    return found[:_MOST]


def load(name: str) -> Template:
    """A template that asks for words, in a chat or as a text to go on with. Raises `TemplateError`."""
    return load_template(name, _WRITING)


_WRITING = Kind(
    fields={
        "inputs": "what the description says of the inputs",
        "pattern": "what it says the head does",
        "suppressed": "whether it is about what the head pushes down",
        "n": "how many words are asked for",
    },
    shown=frozenset({"pattern"}),
    sample={"inputs": "letters", "pattern": "the next letter", "suppressed": False, "n": WORDS},
)
"""Templates that ask for words."""
