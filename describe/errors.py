"""Every exception headscribe raises on purpose.

    HeadscribeError
    ├── InputError            the caller asked for something that cannot be (exit code 2)
    │   ├── CheckpointError   a model's files: not found, not understood, incomplete
    │   │   └── NotFiniteError   a tensor of it holds NaN or infinity
    │   ├── CatalogueError    a database that is not ours, newer than us, or lacks what was asked for
    │   ├── TemplateError     a prompt template that is missing, malformed or asks for unknown fields
    │   └── LLMError          an LLM that cannot be used at all: no key, unknown model, unreadable file
    ├── RunEndedError         a run must end before all heads are done; what came in is kept (exit code 1)
    └── CallError             one call to an LLM gave no usable answer; carries its cause and evidence

An ``InputError`` is shown to people as one line that says what was wrong and what to do. None holds a secret.
"""

from __future__ import annotations

from describe.secrets import redacted

__all__ = [
    "CallError",
    "CatalogueError",
    "CheckpointError",
    "HeadscribeError",
    "InputError",
    "LLMError",
    "NotFiniteError",
    "RunEndedError",
    "TemplateError",
]


class HeadscribeError(Exception):
    """The root of the tree. A message is rid of secrets, since it may hold what a server or a driver said."""

    def __init__(self, message: str) -> None:
        super().__init__(redacted(message))


class InputError(HeadscribeError):
    """Wrong use or bad input: one clear line, exit code 2, nothing changed."""


class CheckpointError(InputError):
    """A model's files cannot be read as a model that headscribe knows."""


class NotFiniteError(CheckpointError):
    """A tensor of a model holds values that are no numbers: nothing is to be read from it in any way."""


class CatalogueError(InputError):
    """The catalogue cannot be opened, or does not hold what was asked for."""


class TemplateError(InputError):
    """A prompt template is missing, malformed, or asks for a field that does not exist."""


class LLMError(InputError):
    """The LLM cannot be used at all; no later call would fare better.

    Attributes:
        spent: US dollars of the run that it ended, with what may still be billed.
    """

    spent: float = 0.0


class RunEndedError(HeadscribeError):
    """A run must end before all heads are done: no money is left, or the server is down. What came in is kept."""


class CallError(HeadscribeError):
    """One call, or one head's exchange of calls, gave no usable answer.

    Attributes:
        cause: a short machine-readable word, such as ``"refusal"`` or ``"rate_limit"``; see `describe.llm.CAUSES`.
        reply: the raw text received, if any.
        retry_after: seconds the server asked us to wait, if it said so.
    """

    def __init__(self, cause: str, message: str, *, reply: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.reply = reply if reply is None else redacted(reply)
        self.retry_after = retry_after
