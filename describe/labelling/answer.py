"""Reading an LLM's reply as an answer: what the inputs share, what the head does, or "Unclear"."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from describe.kinds import NO_PATTERN, Kind
from describe.labelling.json_reply import first_reason, reply_object, without_thinking

__all__ = [
    "ANSWER_SCHEMA",
    "GROUPED_SCHEMA",
    "LOOKS_SCHEMA",
    "UNCLEAR",
    "Answer",
    "GroupAnswer",
    "GroupedAnswer",
    "LooksAnswer",
    "looks_like_refusal",
    "parse_answer",
    "parse_completion",
    "parse_grouped",
    "parse_looks",
]

UNCLEAR = "Unclear"

A = TypeVar("A", bound="Answer")

_WHAT = (
    r"(?:inputs?|patterns?|mappings?|relations?|relationships?|functions?|themes?|structures?|propert(?:y|ies)|role)"
)

_ABSTENTIONS = (
    # It is unclear, with a reason behind it perhaps.
    rf"(?:it is |(?:the |its )?{_WHAT}(?: is| are)? |(?:mixed|noisy)(?: and | or | ?/ ?|, ))?"
    rf"(?:unclear|not clear|uncertain|inconclusive|indeterminate)(?: {_WHAT})?(?:\s*[–—:;,.(/].*|\s+-.*|-\s.*)?",
    # There is none.
    r"none(?: (?:found|identified|apparent|discernible|clear|obvious))?|null|nil|not applicable|no answer",
    r"n ?/?\s?a(?:\s+[-–—(].*)?|n\.a",
    r"nothing(?: (?:consistent|clear|obvious|in common|specific|discernible))?",
    rf"(?:there (?:is|are) )?no {_WHAT}(?: (?:is )?(?:found|apparent|identified|discernible|evident))?",
    rf"there (?:does not|doesn't) (?:seem|appear) to be (?:a|any)(?: [\w-]+)? {_WHAT}",
    r"(?:there (?:is|are|seems to be|appears to be) |(?:the|this) head (?:has|shows) |i (?:see|find) )?no"
    r" (?:clear|consistent|obvious|discern[ai]ble|apparent|identifiable|coherent|single|common|specific|meaningful"
    rf"|systematic|strong|significant|unifying|evident|recognis?z?able)[\w ,/-]{{0,40}}{_WHAT}"
    r"(?: (?:(?:is|was|can be|could be|to be) \w+|emerges|found|identified|apparent|evident|discern[ai]ble))?"
    r"(?: (?:between|among|across|in|of|for) [\w /-]{0,60})?",
    # Who says it cannot tell.
    r"unknown|undetermined|unsure|not (?:identifiable|discern[ai]ble|determinable)|(?:i )?(?:do not|don't) know",
    r"(?:i |we )?(?:cannot|can't|could not|unable to)(?: be)? (?:determine|identify|identifie|tell|say|discern)\w*"
    r"(?: \w+){0,6}",
    r"(?:insufficient|not enough) (?:evidence|data|information)(?: \w+){0,5}",
)

_ABSTAINED = re.compile(rf"\W*(?:{'|'.join(_ABSTENTIONS)})\W*", re.IGNORECASE | re.DOTALL)
"""Ways to say that there is nothing to say."""


class Answer(BaseModel):
    """The answer asked for; reasoning comes first so that the LLM thinks before it says."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": False})

    reasoning: str = Field(max_length=4000)
    inputs: str = Field(max_length=600)
    pattern: str = Field(max_length=600)

    @field_validator("inputs", "pattern")
    @classmethod
    def _one_way_to_abstain(cls, value: str) -> str:
        value = " ".join(value.split())
        if not any(char.isalnum() for char in value):
            raise ValueError("says nothing")
        return UNCLEAR if _ABSTAINED.fullmatch(value) else value

    @property
    def unclear(self) -> bool:
        """The LLM abstained from saying what the head does."""
        return self.pattern == UNCLEAR


ANSWER_SCHEMA: dict[str, Any] = Answer.model_json_schema()

MOST_GROUPS = 3


class GroupAnswer(BaseModel):
    """Lines that do one thing together."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": False})

    inputs: str = Field(max_length=600)
    promoted: str = Field(max_length=600)
    lines: list[int] = Field(max_length=200)


class GroupedAnswer(Answer):
    """An answer that names the kind of head and groups of lines before it says the two sentences."""

    kind: Kind
    groups: list[GroupAnswer] = Field(max_length=MOST_GROUPS)

    @property
    def unclear(self) -> bool:
        """The LLM abstained, or named a kind of head that has no pattern."""
        return self.pattern == UNCLEAR or self.kind in NO_PATTERN


class LookGroup(BaseModel):
    """Lines in which a head looks from one sort of token at one sort of token."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"additionalProperties": False})

    source: str = Field(alias="from", max_length=600)
    target: str = Field(alias="at", max_length=600)
    lines: list[int] = Field(max_length=200)


class LooksAnswer(Answer):
    """An answer on where a head looks, with groups of lines before the two sentences."""

    groups: list[LookGroup] = Field(max_length=MOST_GROUPS)


_ORDER = ("reasoning", "kind", "groups", "inputs", "pattern")


def _ordered_schema(answer: type[Answer]) -> dict[str, Any]:
    """The schema with its keys in the order in which they are to be thought of."""
    schema = answer.model_json_schema()
    names = [name for name in _ORDER if name in schema["properties"]]
    schema["properties"] = {name: schema["properties"][name] for name in names}
    schema["required"] = names
    return schema


GROUPED_SCHEMA = _ordered_schema(GroupedAnswer)
LOOKS_SCHEMA = _ordered_schema(LooksAnswer)

_REFUSAL = re.compile(
    r"\W*(i['’]?m (very |so )?sorry|sorry,|i (can['’]?t|cannot|can not|am unable|am not able|won['’]?t))", re.I
)


def parse_answer(text: str) -> Answer:
    """The answer in a reply: JSON, bare or in a code fence, before or after other words, after ``<think>``.

    Raises ValueError with a reason that can be sent back to the LLM.
    """
    found = reply_object(text, "pattern", tuple(Answer.model_fields))
    known = {name: found[name] for name in Answer.model_fields if name in found}
    try:
        return Answer.model_validate({"reasoning": ""} | known)
    except ValidationError as error:
        raise ValueError(first_reason(error)) from error


def parse_grouped(text: str) -> GroupedAnswer | Answer:
    """The answer with groups in a reply, as `parse_answer` reads one. Raises ValueError likewise.

    The two sentences alone are an answer too: small LLMs, and servers that take no schema, leave it at that.
    """
    return _parsed(text, GroupedAnswer)


def parse_looks(text: str) -> LooksAnswer | Answer:
    """The answer on where a head looks in a reply, as `parse_grouped` reads one. Raises ValueError likewise."""
    return _parsed(text, LooksAnswer)


def _parsed(text: str, answer: type[A]) -> A | Answer:
    found = reply_object(text, "pattern")
    if not {"kind", "groups"} & set(found):
        return parse_answer(text)
    known = {name: found[name] for name in answer.model_fields if name in found}
    try:
        return answer.model_validate({"reasoning": ""} | known)
    except ValidationError as error:
        raise ValueError(first_reason(error)) from error


def parse_completion(text: str) -> Answer:
    """The answer in a text that goes on from ``inputs:``, its second line ``pattern:``; what follows is left out.

    Raises ValueError with the reason.
    """
    lines = [line.strip() for line in text.strip().splitlines()]
    if len(lines) < 2 or not lines[1].lower().startswith("pattern:"):
        raise ValueError("the text does not go on with a line of inputs and a line 'pattern: ...'")
    inputs, pattern = lines[0].removeprefix("inputs:"), lines[1][len("pattern:") :]
    try:
        return Answer(reasoning="", inputs=inputs, pattern=pattern)
    except ValidationError as error:
        raise ValueError(first_reason(error)) from error


def looks_like_refusal(text: str) -> bool:
    """A reply in words that declines the task instead of answering it."""
    return "{" not in text and _REFUSAL.match(without_thinking(text).strip()) is not None
