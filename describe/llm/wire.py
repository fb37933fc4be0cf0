"""How a model at an endpoint is asked, and what comes back is read: shared by direct calls and by batches.

It says what the newest servers understand and learns what this server refuses: structured output, a seed, a
temperature, the newer name of the token limit. What was learned holds for all later requests of the run.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from describe.errors import CallError, LLMError
from describe.llm.asking import Choice, Form, Message, Reply, Request
from describe.llm.failures import REFUSABLE, translate
from describe.records import Call

if TYPE_CHECKING:
    import openai

__all__ = ["Wire", "likelihoods", "reply_of"]

LOGPROBS = 5
"""The likeliest tokens asked for: as many as OpenAI's completions give."""

_NO_SECRET = 8
"""Keys shorter than this, such as the "none" of a server without keys, are words that replies may well hold."""


class Wire:
    """One model at one OpenAI-compatible endpoint: requests to it are written here, and its answers read.

    Args:
        model: the model's name at the endpoint.
        where: the endpoint as people are shown it.
        api_key: taken out of whatever comes back.
        request: how to ask.
        lengths: the endpoint enforces ``maxLength`` in a schema; OpenAI's own refuses a schema that has it.
        identity: what tells this LLM from others, as part of what makes two requests identical.

    ``refused`` holds the parameters that the server is known to refuse.
    """

    def __init__(
        self,
        model: str,
        where: str,
        api_key: str,
        request: Request,
        *,
        lengths: bool = False,
        identity: Mapping[str, str] | None = None,
    ) -> None:
        self.model = model
        self.where = where
        self.request = request
        self.refused: set[str] = set()
        self._api_key = api_key
        self._lengths = lengths
        self._identity = dict(identity or {})

    def hash(self, messages: list[Message], form: Form) -> str:
        """SHA-256 of whom is asked what and how: the same for identical requests, whatever a server refuses of them."""
        wanted = {"choice": form.letters} if isinstance(form, Choice) else form
        asked = [self._identity, self.model, messages, self.request.provenance(), wanted, self._lengths]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def parameters(self, form: Form, refused: Iterable[str] | None = None) -> dict[str, Any]:
        """What goes with the messages, or the text, of a request, without what the server refuses."""
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

    def entry(
        self,
        found: Any,
        failure: CallError | LLMError | None,
        request_hash: str,
        seconds: float,
        request_id: str | None = None,
        client_id: str | None = None,
        form: Form = None,
    ) -> Call:
        """The ledger's entry of one call, but for its money, without the key wherever the server may have put it.

        Args:
            found: the chat completion, as the server's JSON has it, when there was no ``failure``; something else is a
                failure of the server.
            request_id: the server's name for the request; the completion's id when it gave none.
            client_id: our own name for it, if it had one.
            form: what was asked for; of anything but a `Choice` the reply is its text.
        """
        call = Call(request_hash, "ok", round(seconds, 4), client_id)
        if failure is None:
            try:
                return replace(call, **self._read(found, request_id, form))
            except (AttributeError, IndexError, TypeError, ValueError):
                failure = CallError("server_error", "the server's answer is no chat completion")
        cause, reply = (failure.cause, failure.reply) if isinstance(failure, CallError) else ("bad_request", None)
        return replace(call, outcome=cause, detail=str(failure), reply=reply)

    def failed(self, error: openai.OpenAIError) -> CallError | LLMError:
        """What the openai package raised, as ours, without the key."""
        return translate(error, self.first_line(error), self.where, self.model, self.request.timeout)

    def no_likelihoods(self) -> LLMError:
        """What to say of a server that tells no probabilities of tokens."""
        return LLMError(
            f"{self.where} gives no log-probabilities of '{self.model}' (logprobs of /completions): --measure"
            " likelihood needs a server that does, such as vLLM or llama.cpp, or gguf:FILE"
        )

    def no_completion(self, text: str) -> CallError:
        """What to say of an answer that is something else."""
        return CallError("server_error", "the server's answer is no chat completion", reply=self.bare(text[:2000]))

    def first_line(self, error: Exception) -> str:
        """The error's first line, of bounded length, without the key."""
        import openai

        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else None
        return self.line(str(cause or error)) or type(error).__name__

    def line(self, text: str) -> str:
        """The first line of what a server says, of bounded length, without the key."""
        return self.bare(next(iter(text.strip().splitlines()), ""))[:500]

    def bare(self, text: str) -> str:
        """A text without the key."""
        return text if len(self._api_key) < _NO_SECRET else text.replace(self._api_key, "***")

    def _read(self, found: Any, request_id: str | None, form: Form) -> dict[str, Any]:
        outcome, detail, reply = _judged(found)
        if isinstance(form, Choice):
            outcome, detail, reply = "ok", None, json.dumps(likelihoods(found, form))
        used = found.get("usage") or {}
        details = used.get("completion_tokens_details") or {}
        return {
            "outcome": outcome,
            "detail": detail,
            "reply": self.bare(reply),
            "model": self.bare(str(found.get("model") or "")),
            "request_id": self.bare(str(request_id or found.get("id") or ""))[:256],
            "tokens_in": _count(used.get("prompt_tokens")),
            "tokens_out": _count(used.get("completion_tokens")),
            "tokens_reasoning": _count(details.get("reasoning_tokens")),
        }


def reply_of(call: Call, took: dict[str, Any]) -> Reply:
    """The reply that a call brought, with what it ``took``. Raises `CallError` when it brought none."""
    if call.outcome != "ok":
        raise CallError(call.outcome, call.detail or "", reply=call.reply)
    usage = {name: getattr(call, name) for name in ("model", "request_id", "tokens_in", "tokens_out")}
    return Reply(call.reply or "", usage | took)


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
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    of_letter = dict.fromkeys(choice.letters, 0.0)
    for token, logprob in likeliest:
        if token.strip() in of_letter:
            of_letter[token.strip()] += math.exp(logprob)
    least = math.exp(min(logprob for _, logprob in likeliest)) if any(of_letter.values()) else 0.0
    return {letter: probability or least for letter, probability in of_letter.items()}


def _without_lengths(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _without_lengths(value) for name, value in schema.items() if name != "maxLength"}
    return [_without_lengths(value) for value in schema] if isinstance(schema, list) else schema


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _judged(completion: Any) -> tuple[str, str | None, str]:
    """The outcome of a completion, what there is to say of it, and its text."""
    if not completion.get("choices"):
        return "empty", "the reply holds no choice", ""
    choice = completion["choices"][0]
    message = choice.get("message") or {}  # a text that was gone on with has none
    text = str(message.get("content") or choice.get("text") or "").strip()
    refusal = message.get("refusal")
    if refusal or choice.get("finish_reason") == "content_filter":
        return "refusal", "the LLM or its filter declined to answer", str(refusal or text)
    if choice.get("finish_reason") == "length":
        return "truncated", "the reply was cut off at the token limit (--max-tokens)", text
    if not text:
        return "empty", "the reply holds no text", text
    return "ok", None, text
