"""A real HTTP server that speaks enough of Anthropic's Messages API, and can misbehave on demand."""

from __future__ import annotations

import json
from typing import Any

from tests.fake_llm import Action, Call, FakeLLM, right_answer

__all__ = ["FakeAnthropic", "error", "message"]

KEY = "sk-ant-test-very-secret"


def message(text: str | None, *, stop_reason: str = "end_turn", **usage: Any) -> dict[str, Any]:
    """A message with one block of text."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-fake-1",
        "content": [] if text is None else [{"type": "text", "text": text}],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 20} | usage,
    }


def error(status: int, kind: str, words: str, **headers: str) -> Action:
    """An error as Anthropic's servers send it."""
    body = {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"}
    return Action(status, body, headers={name.replace("_", "-"): value for name, value in headers.items()})


class FakeAnthropic(FakeLLM):
    """The server. ``misbehave`` is asked about each call first, as of `FakeLLM`."""

    @property
    def url(self) -> str:
        return super().url.removesuffix("/v1")

    @property
    def environment(self) -> dict[str, str]:
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": KEY}

    def right_reply(self, call: Call) -> Any:
        return message(json.dumps(right_answer(call)))
