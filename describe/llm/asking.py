"""Requests to an LLM, replies, and the terms of every call of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypedDict

from describe.llm.money import Purse
from describe.llm.pacing import Pacer
from describe.records import Call, HeadId

__all__ = ["Choice", "Form", "Ledger", "Message", "Oversight", "Reply", "Request"]


class Message(TypedDict):
    """One message of a chat."""

    role: Literal["user", "assistant", "system"]
    content: str


@dataclass(frozen=True)
class Choice:
    """Asked for is how likely a text goes on with each of these letters; the reply is JSON, letter to probability."""

    letters: tuple[str, ...]


Form = dict[str, Any] | Choice | None
"""The form of a reply: JSON by a schema (of a chat), a `Choice`, or a text gone on with up to an empty line."""


@dataclass(frozen=True)
class Request:
    """How to ask: sampling, limits and patience. Times are in seconds."""

    max_tokens: int = 2048
    temperature: float | None = 0.0
    seed: int | None = 0
    timeout: float = 120.0
    attempts: int = 6
    longest_wait: float = 60.0

    def provenance(self) -> dict[str, Any]:
        """Parameters that bear on the answer, to be stored with it."""
        return {"max_tokens": self.max_tokens, "temperature": self.temperature, "seed": self.seed}


@dataclass(frozen=True)
class Reply:
    """A reply's text, and what the call took: model, request id, tokens in and out, seconds, attempts, omitted."""

    text: str
    usage: dict[str, Any] = field(default_factory=dict)


class Ledger(Protocol):
    """Where calls are entered, and found again when the same is asked."""

    def enter(self, head: HeadId | None, call: Call) -> None:
        """Keep a call about a head: first as sent, then with what came of it."""
        ...

    async def kept(self) -> None:
        """Wait until what was entered cannot be lost any more: nothing is paid for before."""
        ...

    def answered(self, head: HeadId | None, request_hash: str) -> Call | None:
        """The call that answered this request before, if it is to be used again."""
        ...


@dataclass(frozen=True)
class Oversight:
    """Terms of every call of a run."""

    pacer: Pacer = field(default_factory=lambda: Pacer(1_000_000))
    purse: Purse = field(default_factory=Purse)
    ledger: Ledger | None = None
