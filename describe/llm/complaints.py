"""A server's complaint, in whatever form its body has, and what it comes to.

OpenAI's ``{"error": {"message": ...}}`` is one form of many: lists, ``detail`` with the place of each fault (FastAPI,
Mistral), a text for ``error`` (TGI), another server's complaint inside a gateway's, plain text. Some come with a status
of 200.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

__all__ = ["Complaint", "complaint_inside", "complaint_of"]

_WORDS = (
    *("message", "msg", "detail", "error", "errors", "reason", "description", "title", "raw", "metadata", "data"),
    *("error_msg", "error_message", "errmsg", "base_resp", "status_msg"),
)
_CODES = ("code", "type", "status", "error_type", "innererror", "error_code", "reason")
_TOLD = {*_WORDS, *_CODES, "param"}
_MOST_NODES: Final = 300
_DEEPEST: Final = 8

_TAGS: Final = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)

_STATUS: Final = {
    "resource_exhausted": 429,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "too_many_requests": 429,
    "overloaded_error": 529,
    "invalid_argument": 400,
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "unauthenticated": 401,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_denied": 403,
    "permission_error": 403,
    "not_found": 404,
    "not_found_error": 404,
    "model_not_found": 404,
    "unavailable": 503,
    "internal": 500,
    "server_error": 500,
    "api_error": 500,
    "insufficient_quota": 402,
    "billing_error": 402,
}
"""The status of HTTP that a code in words stands for."""

_NO_CREDIT_CODES: Final = {
    *("insufficient_quota", "insufficient_user_quota", "billing_error", "insufficient_balance", "insufficient_credits"),
    *("arrearage", "accountoverdueerror", "402"),
}
_NO_CREDIT: Final = (
    "insufficient balance",
    "insufficient credit",
    "insufficient fund",
    "insufficient_quota",
    "insufficient_user_quota",
    "balance is insufficient",
    "more credits",
    "enough credit",
    "any credits",
    "all available credits",
    "included credits",
    "credit limit",
    "spending limit",
    "out of credits",
    "no credits",
    "credit balance is too low",
    "payment required",
    "billing hard limit",
    "account is in arrears",
    "arrearage",
    "account is in good standing",
    "account has been suspended due to",
)
_FLAGGED_CODES: Final = {
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "data_inspection_failed",
    "datainspectionfailed",
    "moderation_blocked",
    "prohibited_content",
    "invalid_prompt",
}
_FLAGGED: Final = (
    "content management policy",
    "content_policy",
    "content policy",
    "content filter",
    "usage policies",
    "usage policy",
    "input was flagged",
    "prompt was flagged",
    "flagged as",
    "flagged by",
    "requires moderation",
    "safety system",
    "content exists risk",
    "inappropriate content",
    "data_inspection",
)
_TOO_OFTEN: Final = ("rate limit", "rate_limit", "ratelimit", "too many requests", "throttl", "resource_exhausted")
_TOO_LONG: Final = (
    "context length",
    "context_length",
    "maximum context",
    "context window",
    "context size",
    "prompt is too long",
    "reduce the length",
    "input is too long",
    "too many tokens",
)


@dataclass(frozen=True)
class Complaint:
    """A complaint, read.

    Attributes:
        words: all that it says, in one line.
        codes: its codes and types, in small letters.
        status: of HTTP, by its codes; None where they say none.
    """

    words: str = ""
    codes: frozenset[str] = frozenset()
    status: int | None = None

    @property
    def no_credit(self) -> bool:
        """The account cannot pay."""
        return not self.codes.isdisjoint(_NO_CREDIT_CODES) or self._says(_NO_CREDIT)

    @property
    def flagged(self) -> bool:
        """A filter stopped the prompt or the reply."""
        return not self.codes.isdisjoint(_FLAGGED_CODES) or self._says(_FLAGGED)

    @property
    def too_often(self) -> bool:
        """The server is asked too often."""
        return self.status == 429 or self._says(_TOO_OFTEN)

    @property
    def too_long(self) -> bool:
        """The prompt does not fit the model: words about a parameter then say how much was asked for."""
        return self._says(_TOO_LONG)

    def _says(self, words: tuple[str, ...]) -> bool:
        said = self.words.lower()
        return any(word in said for word in words)


def complaint_of(content: bytes) -> Complaint:
    """The complaint in a body."""
    text = content.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return Complaint(_one_line([_TAGS.sub(" ", text) if text.lstrip().startswith("<") else text]))
    return _read(body)


def complaint_inside(body: object) -> Complaint | None:
    """The complaint in the JSON of an answer that was to be a completion; None where it is none."""
    if isinstance(body, list):
        body = next((part for part in body if isinstance(part, dict)), None)
    if not isinstance(body, dict):
        return None
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    if isinstance(first.get("error"), dict):  # OpenRouter's, of the provider behind it
        return _read(first["error"])
    if choices or body.get("content"):
        return None
    said = body.get("error") or body.get("errors")
    if said and isinstance(said, dict | list | str):
        return _read(body)
    asked = ("detail", "message", "msg", "error_msg", "errmsg", "base_resp")
    if "usage" not in body and any(isinstance(body.get(key), str | list | dict) and body[key] for key in asked):
        return _read(body)
    return None


def _read(body: object) -> Complaint:
    words, codes = [], set()
    for key, value in _leaves(body):
        if key in _CODES and isinstance(value, str | int) and not isinstance(value, bool):
            codes.add(str(value).lower())
        if isinstance(value, str) and key not in _CODES[:4]:
            words.append(value)
    numbers = [int(code) for code in codes if len(code) == 3 and code.isdecimal() and 400 <= int(code) < 600]
    named = [_STATUS[code] for code in codes if code in _STATUS]
    return Complaint(_one_line(words), frozenset(codes), next(iter([*numbers, *named]), None))


def _leaves(body: object) -> Iterator[tuple[str, object]]:
    """The parts of a complaint, with their keys; the place of a fault joined: ``body.seed``."""
    todo: list[tuple[str, object, int]] = [("message", body, 0)]
    for _ in range(_MOST_NODES):
        if not todo:
            return
        key, value, depth = todo.pop()
        if key == "raw" and isinstance(value, str):  # another server's body, as a gateway passes it on
            with suppress(ValueError, RecursionError):
                value = json.loads(value)
        if depth < _DEEPEST and isinstance(value, dict):
            if isinstance(value.get("loc"), list):
                yield "message", ".".join(str(part)[:100] for part in value["loc"][:10]) + ":"
            known = [
                (name, part) for name, part in value.items() if name in _WORDS or name in _CODES or name == "param"
            ]
            todo.extend((name, part, depth + 1) for name, part in reversed(known))
        elif depth < _DEEPEST and isinstance(value, list):
            todo.extend((key, part, depth + 1) for part in reversed(value))
        elif value is not None:
            yield key, value


def _one_line(words: list[str]) -> str:
    """Words without repetition, in one line."""
    said: list[str] = []
    for word in (" ".join(word.split()) for word in words):
        if word and not any(word in earlier for earlier in said):
            said.append(word)
    return " ".join(said)
