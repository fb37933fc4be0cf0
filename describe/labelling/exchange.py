"""One exchange with an LLM about a head as pure steps: a question, a reply, at most one repair, an outcome."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from describe.errors import CallError
from describe.labelling.answer import (
    ANSWER_SCHEMA,
    GROUPED_SCHEMA,
    LOOKS_SCHEMA,
    UNCLEAR,
    GroupAnswer,
    GroupedAnswer,
    LooksAnswer,
    looks_like_refusal,
    parse_answer,
    parse_completion,
    parse_grouped,
    parse_looks,
)
from describe.labelling.groups import checked_groups
from describe.labelling.json_reply import LONGEST
from describe.labelling.looks import look_rows
from describe.labelling.template import AnswerForm, Template, text_hash
from describe.llm import Form, Message, Reply
from describe.records import Description, HeadMapping, MappingRow
from describe.text import encodable

__all__ = ["DescribeQuestion", "Exchange", "Inquiry", "Question", "run_ahead"]

REPAIRS = 1
"""So many times a reply that cannot be read goes back, with the reason."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Question(Protocol[T_co]):
    """Questions to an LLM about a head, and outcomes of its replies; a stage that asks has one of its own.

    Attributes:
        prompt: the first message.
        form: what the reply is to be, such as the JSON schema of it.
    """

    @property
    def prompt(self) -> str: ...

    @property
    def form(self) -> Form: ...

    @property
    def assumed(self) -> T_co:
        """An answer like any other, to go on with where there is none yet: by this it is known what else is asked."""
        ...

    def read(self, reply: str, usage: dict[str, Any]) -> T_co:
        """The answer in a reply. Raises ValueError with a reason to send back, `CallError` where it is no use."""
        ...

    def failed(self, failure: CallError, usage: dict[str, Any]) -> T_co:
        """The outcome when there is no answer; ``failure`` carries the last reply, if one came."""
        ...


Inquiry = Generator[Question[Any], Any, T]
"""Questions about one head, one after the other: each is sent what came of the one before; the outcome is returned."""


def run_ahead(inquiry: Inquiry[T], answered: Callable[[Question[Any]], Any]) -> T | None:
    """Run an inquiry by the answers there are; a question without one (None) is taken for answered as it assumes.

    Returns the outcome; None where it rests on something assumed.
    """
    answer, certain = None, True
    while True:
        try:
            question = inquiry.send(answer)
        except StopIteration as done:
            return done.value if certain else None
        answer = answered(question)
        if answer is None:
            answer, certain = question.assumed, False


_SCHEMAS: dict[AnswerForm, Form] = {"pattern": ANSWER_SCHEMA, "groups": GROUPED_SCHEMA, "looks": LOOKS_SCHEMA}


@dataclass(frozen=True)
class DescribeQuestion:
    """The question of what a head does."""

    template: Template
    prompt: str
    rows: tuple[MappingRow, ...] = ()

    @classmethod
    def of(cls, template: Template, mapping: HeadMapping) -> DescribeQuestion:
        """Ask about a head. Raises `TemplateError` as `Template.render` does."""
        looks = mapping.attention if template.answer == "looks" else None
        return cls(template, template.render(mapping), look_rows(looks) if looks else mapping.salient)

    def alone(self) -> Inquiry[Description]:
        """The inquiry of this one question."""
        answer: Description = yield self
        return answer

    @property
    def form(self) -> Form:
        if self.template.completion:
            return None
        return _SCHEMAS[self.template.answer]

    @property
    def assumed(self) -> Description:
        return Description(UNCLEAR, UNCLEAR, unclear=True)

    def read(self, reply: str, usage: dict[str, Any]) -> Description:
        """A description or an abstention. Raises `CallError` when the reply repeats an example of the prompt."""
        if self.template.answer != "pattern":
            return self._grouped(reply, usage)
        answer = parse_completion(reply) if self.template.completion else parse_answer(reply)
        echo = self.template.echoed(answer)
        if echo is not None:
            raise CallError("echo", f"the reply repeats the answer of an example in the prompt: {echo}", reply=reply)
        return Description(
            inputs=answer.inputs,
            pattern=answer.pattern,
            reasoning=answer.reasoning,
            unclear=answer.unclear,
            reply=reply,
            prompt_hash=text_hash(self.prompt),
            usage=usage,
        )

    def _grouped(self, reply: str, usage: dict[str, Any]) -> Description:
        """An answer with groups, whose lines are looked up; or of the two sentences alone."""
        answer = parse_grouped(reply) if self.template.answer == "groups" else parse_looks(reply)
        named: list[GroupAnswer] = []
        if isinstance(answer, GroupedAnswer):
            named = answer.groups
        elif isinstance(answer, LooksAnswer):
            named = [GroupAnswer(inputs=one.source, promoted=one.target, lines=one.lines) for one in answer.groups]
        groups = checked_groups(named, self.rows)
        lines = {line for group in groups if group.checked for line in group.lines}
        asked = bool(self.rows) and isinstance(answer, GroupedAnswer | LooksAnswer)
        return Description(
            inputs=answer.inputs,
            pattern=UNCLEAR if answer.unclear else answer.pattern,
            reasoning=answer.reasoning,
            unclear=answer.unclear,
            kind=answer.kind if isinstance(answer, GroupedAnswer) else None,
            groups=groups,
            covered=len(lines) / len(self.rows) if asked else None,
            reply=reply,
            prompt_hash=text_hash(self.prompt),
            usage=usage,
        )

    def failed(self, failure: CallError, usage: dict[str, Any]) -> Description:
        return Description(
            failure=failure.cause,
            detail=str(failure),
            reply=failure.reply,
            prompt_hash=text_hash(self.prompt),
            usage=usage,
        )


@dataclass(frozen=True)
class Exchange(Generic[T]):
    """An exchange that waits for a reply to its ``messages``; ``usage`` and ``reply`` are of those that came."""

    question: Question[T]
    messages: list[Message]
    usage: dict[str, Any] = field(default_factory=dict)
    reply: str | None = None
    repairs: int = 0

    @classmethod
    def begin(cls, question: Question[T]) -> Exchange[T]:
        """Ask."""
        return cls(question, [{"role": "user", "content": question.prompt}])

    def answered(self, reply: Reply) -> Exchange[T] | T:
        """The next step after a reply: an outcome, or one more thing to ask."""
        usage = _add_usage(self.usage, reply.usage)
        following = replace(self, usage=usage, reply=reply.text, repairs=self.repairs + 1)
        try:
            return self.question.read(reply.text, usage)
        except CallError as failure:
            return following.failed(failure)
        except ValueError as error:
            reason = str(error)
        if self.repairs < REPAIRS and isinstance(self.question.form, dict) and len(reply.text) <= LONGEST:
            said: Message = {"role": "assistant", "content": encodable(reply.text)}
            return replace(following, messages=[*self.messages, said, _repair(reason)])
        return following.failed(CallError("refusal" if looks_like_refusal(reply.text) else "invalid", reason))

    def failed(self, failure: CallError) -> T:
        """The outcome when no reply will come."""
        if failure.reply is None:
            failure = CallError(failure.cause, str(failure), reply=self.reply)
        return self.question.failed(failure, self.usage)


def _repair(reason: str) -> Message:
    return {
        "role": "user",
        "content": f"That reply could not be read: {reason}. Answer again with the JSON object alone, as asked for.",
    }


def _add_usage(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The usage of two calls together; what cannot be added up is that of the later one."""
    summed = ("tokens_in", "tokens_out", "seconds", "attempts")
    total = {name: (before.get(name) or 0) + (new.get(name) or 0) for name in summed if name in new}
    return new | total | {"calls": before.get("calls", 0) + 1}
