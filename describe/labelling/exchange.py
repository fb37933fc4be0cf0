"""One head's exchange with an LLM as pure steps: a prompt, a reply, at most one repair, an outcome."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from describe.errors import CallError
from describe.labelling.answer import ANSWER_SCHEMA, looks_like_refusal, parse_answer, parse_completion
from describe.labelling.template import Template, text_hash
from describe.llm import Message, Reply
from describe.records import Description, HeadMapping

__all__ = ["Exchange"]

REPAIRS = 1
"""So many times a reply that cannot be read goes back, with the reason."""


@dataclass(frozen=True)
class Exchange:
    """An exchange that waits for a reply to its ``messages``; ``usage`` and ``reply`` are of those that came."""

    template: Template
    prompt: str
    messages: list[Message]
    usage: dict[str, Any] = field(default_factory=dict)
    reply: str | None = None
    repairs: int = 0

    @classmethod
    def begin(cls, template: Template, mapping: HeadMapping) -> Exchange:
        """Ask about a head. Raises `TemplateError` as `Template.render` does."""
        prompt = template.render(mapping)
        return cls(template, prompt, [{"role": "user", "content": prompt}])

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema of the reply; None when the LLM is to go on with the text of the one message."""
        return None if self.template.completion else ANSWER_SCHEMA

    def answered(self, reply: Reply) -> Exchange | Description:
        """What a reply makes of the exchange: a description, an abstention, a failure, or one more thing to ask."""
        usage = _add_usage(self.usage, reply.usage)
        try:
            answer = parse_completion(reply.text) if self.template.completion else parse_answer(reply.text)
        except ValueError as error:
            reason = str(error)
        else:
            echo = self.template.echoed(answer)
            if echo is not None:
                said = f"the reply repeats the answer of an example in the prompt: {echo}"
                return replace(self, usage=usage).failed(CallError("echo", said, reply=reply.text))
            return Description(
                inputs=answer.inputs,
                pattern=answer.pattern,
                reasoning=answer.reasoning,
                unclear=answer.unclear,
                reply=reply.text,
                prompt_hash=text_hash(self.prompt),
                usage=usage,
            )
        messages: list[Message] = [*self.messages, {"role": "assistant", "content": reply.text}, _repair(reason)]
        following = replace(self, messages=messages, usage=usage, reply=reply.text, repairs=self.repairs + 1)
        if self.repairs < REPAIRS and not self.template.completion:
            return following
        return following.failed(CallError("refusal" if looks_like_refusal(reply.text) else "invalid", reason))

    def failed(self, failure: CallError) -> Description:
        """The outcome when no reply will come."""
        return Description(
            failure=failure.cause,
            detail=str(failure),
            reply=failure.reply if failure.reply is not None else self.reply,
            prompt_hash=text_hash(self.prompt),
            usage=self.usage,
        )


def _repair(reason: str) -> Message:
    return {
        "role": "user",
        "content": f"That reply could not be read: {reason}. Answer again with the JSON object alone, as asked for.",
    }


def _add_usage(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What two calls took together; what cannot be added up is that of the later one."""
    summed = ("tokens_in", "tokens_out", "seconds", "attempts")
    total = {name: (before.get(name) or 0) + (new.get(name) or 0) for name in summed if name in new}
    return new | total | {"calls": before.get("calls", 0) + 1}
