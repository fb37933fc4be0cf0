"""How a model at an endpoint is asked, and what comes back is read: shared by direct calls and by batches.

It says what the newest servers understand and learns what this server refuses: structured output, a seed, a
temperature, the newer name of the token limit. What was learned holds for all later requests of the run.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from describe.errors import CallError, LLMError
from describe.llm.asking import Choice, Form, Message, Reply, Request
from describe.llm.complaints import complaint_inside, complaint_of
from describe.llm.completion import NO_COMPLETION, Completion, NoCompletionError, likelihoods
from describe.llm.failures import REFUSABLE, answered_with, package_of, translate
from describe.providers import PROVIDERS, Provider
from describe.records import Call
from describe.secrets import redacted

__all__ = ["GUESSED", "Answer", "Wire", "reply_of"]

GUESSED = frozenset({"response_format", "output_config"})
"""Parameters for a reply by a schema, which a server that refuses without a reason may not know."""

LOGPROBS = 5
"""The likeliest tokens asked for: as many as OpenAI's completions give."""


@dataclass(frozen=True)
class Answer:
    """The outcome of a request.

    Attributes:
        body: the server's JSON; None where there was none.
        headers: as the server sent them.
        failure: what went wrong, if anything did.
        unbilled: the server refused the request, so that it was surely free.
        status: of HTTP; None where there was none that could be read.
        content: the body as it came.
        words: the server's, where it refused.
    """

    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: CallError | LLMError | None = None
    unbilled: bool = False
    status: int | None = None
    content: bytes = b""
    words: str = ""


class Wire:
    """One model at one endpoint: requests to it are written here, and its answers read.

    In the language of OpenAI's chats and completions; that of another provider is written by a class of its own.

    Args:
        model: the model's name at the endpoint.
        where: the endpoint as people are shown it.
        request: how to ask.
        lengths: the endpoint enforces ``maxLength`` in a schema; OpenAI's own refuses a schema that has it.
        identity: what tells this LLM from others, as part of what makes two requests identical.

    ``refused`` holds the parameters that the server is known to refuse, ``known`` those that it has taken, and
    ``doubted`` how many prompts were answered without one only.
    """

    provider: ClassVar[str] = "openai"
    request_id: ClassVar[str] = "x-request-id"
    """The header in which the server names a request."""

    def __init__(
        self,
        model: str,
        where: str,
        request: Request,
        *,
        lengths: bool = False,
        identity: Mapping[str, str] | None = None,
    ) -> None:
        self.model = model
        self.where = where
        self.request = request
        self.refused: set[str] = set()
        self.known: set[str] = set()
        self.doubted: Counter[str] = Counter()
        self._lengths = lengths
        self._identity = dict(identity or {})

    @property
    def row(self) -> Provider:
        """The provider in whose language the endpoint is spoken to."""
        return PROVIDERS[self.provider]

    def hash(self, messages: list[Message], form: Form) -> str:
        """SHA-256 of whom is asked what and how: the same for identical requests, whatever a server refuses of them."""
        wanted = {"choice": form.letters} if isinstance(form, Choice) else form
        asked = [self._identity, self.model, messages, self.request.provenance(), wanted, self._lengths]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def parameters(self, form: Form, refused: Iterable[str] | None = None) -> dict[str, Any]:
        """Parameters that go with the messages, or the text, of a request, without what the server refuses."""
        left_out = self.refused if refused is None else set(refused)
        wanted: dict[str, Any] = {"temperature": self.request.temperature, "seed": self.request.seed}
        if form is None:
            wanted |= {"max_tokens": self.request.max_tokens, "stop": ["\n\n"]}
        elif isinstance(form, Choice):
            wanted |= {"max_tokens": 1, "logprobs": LOGPROBS, "temperature": 0.0}
        else:
            schema = {"name": "answer", "strict": True, "schema": form if self._lengths else _without_lengths(form)}
            wanted |= {
                "max_completion_tokens": self.request.max_tokens,
                "response_format": {"type": "json_schema", "json_schema": schema},
            }
        sent = {}
        for name, value in wanted.items():
            used = REFUSABLE[name][1] if name in left_out else name
            if used is not None and value is not None:
                sent[used] = value
        return sent

    def asked(self, messages: list[Message], form: Form, sent: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The path and the body of a request, ``sent`` being its `parameters`."""
        if isinstance(form, dict):
            return "chat/completions", {"model": self.model, **sent, "messages": messages}
        return "completions", {"model": self.model, **sent, "prompt": messages[-1]["content"]}

    def completion(self, found: Any) -> Completion:
        """The completion in an answer. Raises `NoCompletionError` for one that is something else."""
        return Completion.of(found)

    def entry(
        self, answer: Answer, request_hash: str, seconds: float, client_id: str | None = None, form: Form = None
    ) -> Call:
        """The ledger's entry of one call, but for its money, without secrets wherever the server may have put them.

        Args:
            answer: what came of it. Where it is neither a failure nor a completion, the server failed.
            client_id: our own name for the call, if it had one.
            form: what was asked for; of anything but a `Choice` the reply is its text.
        """
        call, failure = Call(request_hash, "ok", round(seconds, 4), client_id), answer.failure
        if failure is None:
            try:
                return replace(
                    call, **self._read(self.completion(answer.body), answer.headers.get(self.request_id), form)
                )
            except NoCompletionError:
                failure = self.no_completion(answer.content)
        cause, reply = (failure.cause, failure.reply) if isinstance(failure, CallError) else ("bad_request", None)
        return replace(call, outcome=cause, detail=str(failure), reply=reply)

    def failed(self, error: Exception) -> CallError | LLMError:
        """An exception of the provider's package, as ours."""
        said = complaint_of(_body(error))
        message = self.line(said.words) or self.first_line(error)
        return translate(error, message, said, self.row, self.where, self.model, self.request.timeout)

    def failed_inside(self, body: object) -> CallError | LLMError | None:
        """The failure that the JSON of an answer with a good status tells of; None where it tells of none."""
        said = complaint_inside(body)
        if said is None:
            return None
        shown = replace(said, words=self.line(said.words) or NO_COMPLETION)
        status = said.status or (402 if said.no_credit else 400 if said.flagged else 500)
        return answered_with(status, shown, self.where, self.model, key=self.row.key)

    def no_likelihoods(self) -> LLMError:
        """The failure of a server that tells no probabilities of tokens."""
        return LLMError(
            f"{self.where} gives no log-probabilities of '{self.model}' (logprobs of /completions): --measure"
            " likelihood needs a server that does, such as vLLM or llama.cpp, or gguf:FILE"
        )

    def no_completion(self, content: bytes) -> CallError:
        """The failure of an answer that is no completion."""
        words = content[:8000].decode("utf-8", "replace")[:2000]
        return CallError("server_error", NO_COMPLETION, reply=words)

    def first_line(self, error: Exception) -> str:
        """The error's first line, of bounded length, without secrets."""
        cause = error.__cause__ if isinstance(error, package_of(self.row).APIConnectionError) else None
        return self.line(str(cause or error)) or type(error).__name__

    def line(self, text: str) -> str:
        """The first line of what a server says, of bounded length, without secrets."""
        return redacted(next(iter(text.strip()[:5000].splitlines()), ""))[:500]

    def _read(self, found: Completion, request_id: str | None, form: Form) -> dict[str, Any]:
        outcome, detail, reply = found.outcome, found.detail, found.text
        if isinstance(form, Choice):
            outcome, detail, reply = "ok", None, json.dumps(likelihoods(found.body, form))
        return {
            "outcome": outcome,
            "detail": detail,
            "reply": redacted(reply),
            "model": redacted(found.model)[:512],
            "request_id": redacted(request_id or found.id)[:256],
            "tokens_in": found.tokens_in,
            "tokens_out": found.tokens_out,
            "tokens_reasoning": found.tokens_reasoning,
        }


def reply_of(call: Call, took: dict[str, Any]) -> Reply:
    """The reply that a call brought, with what it ``took``. Raises `CallError` when it brought none."""
    if call.outcome != "ok":
        raise CallError(call.outcome, call.detail or "", reply=call.reply)
    usage = {name: getattr(call, name) for name in ("model", "request_id", "tokens_in", "tokens_out")}
    return Reply(call.reply or "", usage | took)


def _body(error: Exception) -> bytes:
    """The body of the answer that an exception of a provider's package is about."""
    response = getattr(error, "response", None)
    try:
        content: bytes = response.content  # type: ignore[union-attr]
    except Exception:  # none, or one that was never read
        return b""
    return content


def _without_lengths(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _without_lengths(value) for name, value in schema.items() if name != "maxLength"}
    return [_without_lengths(value) for value in schema] if isinstance(schema, list) else schema
