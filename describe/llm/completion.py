"""A completion as a server's JSON has it, read without trust: whatever is not of the right form is not there.

Only an answer without any form of a completion is none. A good text with an odd count of tokens beside it is good.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Final

from describe.llm.asking import Choice

__all__ = [
    "MOST_TOKENS",
    "NO_COMPLETION",
    "Completion",
    "NoCompletionError",
    "likelihoods",
    "object_of",
    "string_of",
    "token_count",
]

NO_COMPLETION: Final = "the server's answer is no chat completion"

MOST_TOKENS: Final = 10_000_000
"""No model reads or writes so many in one call: a greater number is no count."""


_THOUGHT = ("reasoning_content", "reasoning", "thinking")
"""Where servers put what a model thinks."""

_TRUNCATED = {"length", "max_tokens", "model_length", "max_length", "token_limit"}
_FILTERED = {
    "content_filter",
    "safety",
    "recitation",
    "prohibited_content",
    "blocklist",
    "spii",
    "sensitive",
    "refusal",
}
"""Reasons why a reply ended, in small letters and up to a colon, by which it is cut off or declined."""

_TEXTS = ("text", "output_text")
"""Types of the parts of a content that are the reply."""


class NoCompletionError(ValueError):
    """A server's answer has not the form of a completion. Never leaves `describe.llm`."""


@dataclass(frozen=True)
class Completion:
    """A completion, read.

    Attributes:
        body: the JSON that it was read from.
        outcome: ``"ok"``, or a word of `describe.llm.CAUSES`, with ``detail``.
        text: the reply, or the refusal.
        model, id: as the server names them.
        tokens_in, tokens_out, tokens_reasoning: None where the server does not say, or not in a number that can be.
    """

    body: dict[str, Any]
    outcome: str
    detail: str | None
    text: str
    model: str
    id: str
    tokens_in: int | None
    tokens_out: int | None
    tokens_reasoning: int | None

    @classmethod
    def of(cls, found: Any) -> Completion:
        """Read a completion. Raises `NoCompletionError` for anything else."""
        outcome, detail, text = _judged(found)
        used = object_of(found.get("usage"))
        tokens_out = token_count(used.get("completion_tokens"))
        details = object_of(used.get("completion_tokens_details"))
        return cls(
            body=found,
            outcome=outcome,
            detail=detail,
            text=text,
            model=string_of(found.get("model")),
            id=string_of(found.get("id")),
            tokens_in=token_count(used.get("prompt_tokens")) or None,  # no prompt is empty
            tokens_out=tokens_out if tokens_out or not text else None,
            tokens_reasoning=token_count(details.get("reasoning_tokens")),
        )


def token_count(value: Any) -> int | None:
    """A count of tokens, if it can be one: a whole number, not negative, no more than `MOST_TOKENS`."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    counts = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if counts else None


def likelihoods(completion: Any, choice: Choice) -> dict[str, float] | None:
    """The probability that the text goes on with each letter, as a word of its own; None where the server tells none.

    A letter that is not among the likeliest tokens is no likelier than the last of these: it gets that probability.
    Servers say it in two ways: OpenAI's older one (and vLLM's), a table for each token, and llama.cpp's, as in chats.
    """
    try:
        told = completion["choices"][0]["logprobs"]
        if told.get("top_logprobs"):
            likeliest = [(str(token), float(logprob)) for token, logprob in told["top_logprobs"][0].items()]
        else:
            likeliest = [(str(each["token"]), float(each["logprob"])) for each in told["content"][0]["top_logprobs"]]
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
        return None
    likeliest = [(token, math.exp(min(logprob, 0.0))) for token, logprob in likeliest if not math.isnan(logprob)]
    of_letter = dict.fromkeys(choice.letters, 0.0)
    for token, probability in likeliest:
        if token.strip() in of_letter:
            of_letter[token.strip()] += probability
    least = min(probability for _, probability in likeliest) if any(of_letter.values()) else 0.0
    return {letter: probability or least for letter, probability in of_letter.items()}


def _judged(found: Any) -> tuple[str, str | None, str]:
    """The outcome of a completion, what there is to say of it, and its text."""
    if not isinstance(found, dict) or not (found.get("choices") or "usage" in found):
        raise NoCompletionError(NO_COMPLETION)
    choices = found.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices[:1]):
        raise NoCompletionError(NO_COMPLETION)
    if not choices:
        return "empty", "the reply holds no choice", ""
    choice = choices[0]
    message = choice.get("message") or choice.get("delta") or {}  # a text that was gone on with has none
    if not isinstance(message, dict):
        raise NoCompletionError(NO_COMPLETION)
    text = _text(message.get("content") or choice.get("text")) or _called_with(message)
    thought = next((said for said in (_text_or_none(message.get(name)) for name in _THOUGHT) if said), "")
    refusal = message.get("refusal")
    ended = string_of(choice.get("finish_reason")).lower().partition(":")[0]
    if refusal or ended in _FILTERED:
        return "refusal", "the LLM or its filter declined to answer", string_of(refusal) or text
    if ended in _TRUNCATED:
        return "truncated", "the reply was cut off at the token limit (--max-tokens)", text
    if not text and _is_object(thought):  # some servers put all that a reasoning model says there
        return "ok", None, thought
    if not text and thought:
        return "empty", f"the reply holds no text, but {len(thought):,} characters of reasoning", text
    if not text:
        return "empty", "the reply holds no text", text
    return "ok", None, text


def _called_with(message: dict[str, Any]) -> str:
    """The arguments of the one function that a message calls: some servers make a schema a function's."""
    calls = message.get("tool_calls")
    only = object_of(calls[0]) if isinstance(calls, list) and len(calls) == 1 else {}
    function = object_of(only.get("function") or message.get("function_call"))
    arguments = function.get("arguments")
    return json.dumps(arguments) if isinstance(arguments, dict) else string_of(arguments).strip()


def _is_object(text: str) -> bool:
    """Whether a text is a JSON object, in a code fence or behind thinking perhaps, and nothing else."""
    text = text.rpartition("</think>")[2].strip().removeprefix("```json").strip("`").strip()
    try:
        return text.startswith("{") and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _text_or_none(content: object) -> str:
    try:
        return _text(content)
    except NoCompletionError:
        return ""


def _text(content: Any) -> str:
    """The text of a message: its content, or of a content in parts, or in one, those that are text."""
    if content is None or isinstance(content, str):
        return (content or "").strip()
    if isinstance(content, dict) and content.get("type") in _TEXTS:
        content = [content]
    if not isinstance(content, list):
        raise NoCompletionError(NO_COMPLETION)
    parts = ({"text": part} if isinstance(part, str) else object_of(part) for part in content)
    return "".join(string_of(part.get("text")) for part in parts if part.get("type", "text") in _TEXTS).strip()


def object_of(value: Any) -> dict[str, Any]:
    """A JSON object; what is none has no parts."""
    return value if isinstance(value, dict) else {}


def string_of(value: Any) -> str:
    """A JSON string; what is none says nothing."""
    return value if isinstance(value, str) else ""
