"""``anthropic:MODEL``: Anthropic's Messages API, by its own package."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Any

from describe.errors import LLMError
from describe.llm.access import access, endpoint_of
from describe.llm.asking import Form, Message, Oversight, Request
from describe.llm.client import ChatClient
from describe.llm.completion import NO_COMPLETION, Completion, NoCompletionError, object_of, string_of, token_count
from describe.llm.sending import shown_address
from describe.llm.spec import LLM
from describe.llm.wire import Wire

__all__ = ["MessagesWire", "identity", "open_client"]

_CUT_OFF = {"max_tokens", "model_context_window_exceeded"}
_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
"""Counts of tokens of a prompt: those in no cache, and those that came into one or out of one."""


def identity(llm: LLM) -> dict[str, str]:
    """The endpoint. Raises `LLMError` when there is no key, or the package is not installed."""
    if importlib.util.find_spec("anthropic") is None:
        raise LLMError("anthropic: needs Anthropic's package: pip install 'headscribe[anthropic]'")
    return {"endpoint": endpoint_of(llm.kind)}


def open_client(llm: LLM, request: Request, concurrency: int, oversight: Oversight | None) -> ChatClient:
    """A client of the endpoint, to be closed."""
    url, key = access(llm.kind)
    wire = MessagesWire(llm.model, shown_address(url), request, identity=identity(llm))
    return ChatClient(wire, url, key, oversight)


class MessagesWire(Wire):
    """One model of the Messages API: asked in chats, with a schema for the reply (structured outputs)."""

    provider = "anthropic"
    request_id = "request-id"

    def parameters(self, form: Form, refused: Iterable[str] | None = None) -> dict[str, Any]:
        """Parameters that go with the messages. There is no seed."""
        from anthropic import transform_schema

        left_out = self.refused if refused is None else set(refused)
        wanted: dict[str, Any] = {"max_tokens": self.request.max_tokens, "temperature": self.request.temperature}
        if isinstance(form, dict):  # bounds that a schema may not have here go into its descriptions
            wanted["output_config"] = {"format": {"type": "json_schema", "schema": transform_schema(form)}}
        return {name: value for name, value in wanted.items() if value is not None and name not in left_out}

    def asked(self, messages: list[Message], form: Form, sent: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The path and the body of a request. Raises `LLMError` for a text to be gone on with."""
        if not isinstance(form, dict):
            raise LLMError(f"{self.where} answers chats only, and this is a text to go on with")
        return "v1/messages", {"model": self.model, **sent, "messages": messages}

    def completion(self, found: Any) -> Completion:
        """Read a message. Raises `NoCompletionError` for anything else."""
        if not isinstance(found, dict) or not isinstance(found.get("content"), list) or "stop_reason" not in found:
            raise NoCompletionError(NO_COMPLETION)
        blocks = [object_of(block) for block in found["content"]]
        text = "".join(string_of(block.get("text")) for block in blocks if block.get("type") == "text").strip()
        outcome, detail = _judged(string_of(found["stop_reason"]), text)
        used = object_of(found.get("usage"))
        counts = [token_count(used.get(name)) for name in _INPUT]
        tokens_out = token_count(used.get("output_tokens"))
        return Completion(
            body=found,
            outcome=outcome,
            detail=detail,
            text=text,
            model=string_of(found.get("model")),
            id=string_of(found.get("id")),
            tokens_in=None if counts[0] is None else token_count(sum(count or 0 for count in counts)) or None,
            tokens_out=tokens_out if tokens_out or not text else None,
            tokens_reasoning=token_count(object_of(used.get("output_tokens_details")).get("thinking_tokens")),
        )


def _judged(stop_reason: str, text: str) -> tuple[str, str | None]:
    """The outcome of a message, and what there is to say of it."""
    if stop_reason == "refusal":
        return "refusal", "the LLM or its filter declined to answer"
    if stop_reason in _CUT_OFF:
        return "truncated", "the reply was cut off at the token limit (--max-tokens)"
    return ("ok", None) if text else ("empty", "the reply holds no text")
