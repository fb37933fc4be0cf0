"""A real HTTP server that speaks enough of the chat completions API, and can misbehave on demand."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Misbehave = Callable[["Call"], "Action | None"]


@dataclass
class Action:
    """What to answer: a status with a body, after ``delay`` seconds; ``reset`` breaks the connection instead.

    The body comes in pieces over ``seconds``, and only ``share`` of it before the connection ends.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    reset: bool = False
    seconds: float = 0.0
    share: float = 1.0


_TOKEN = r"\"(?:[^\"\\]|\\.)*\""
_ROW = rf"^(\d+\. )?(?P<source>{_TOKEN})( \(also .*?\))?( \d+)? (?P<arrow>-[>|]) (?P<targets>.*)$"
"""A mapping row of a prompt: its number, its source with variants and strength, and its targets."""


@dataclass
class Call:
    """One call received: its number from 0, the first message, the whole request."""

    number: int
    prompt: str
    request: dict[str, Any]
    headers: dict[str, str]

    @property
    def first_source(self) -> str:
        """The first source token of the prompt, in its quotes: tells heads apart."""
        return self._first("source")

    @property
    def first_row(self) -> str:
        """The first mapping row of the prompt, without its number, strengths and variants."""
        targets = re.findall(_TOKEN, self._first("targets"))
        return f"{self._first('source')} {self._first('arrow')} {', '.join(targets)}"

    @property
    def grouped(self) -> bool:
        """The kind of head and groups of lines are asked for."""
        return '"groups": [' in self.prompt

    def _first(self, part: str) -> str:
        found = re.search(_ROW, self.prompt, re.MULTILINE)
        assert found, "a prompt without rows"
        return found[part]

    @property
    def client_id(self) -> str:
        """The caller's own name for the call."""
        return {name.lower(): value for name, value in self.headers.items()}.get("x-client-request-id", "")


def right_answer(call: Call) -> dict[str, Any]:
    """An answer that shows which head was asked about; a group of its first half, where groups are asked for."""
    said = {"inputs": f"tokens like {call.first_source}", "pattern": f"does {call.first_row}"}
    if not call.grouped:
        return {"reasoning": "seen"} | said
    group = {"inputs": said["inputs"], "promoted": "such tokens", "lines": list(range(1, 16))}
    return {"reasoning": "seen", "kind": "meaning", "groups": [group]} | said


def completion(content: str | None, *, finish_reason: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    """A chat completion with one choice."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "fake-1",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": content, "refusal": refusal},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }


def right_reply(call: Call) -> Any:
    """What a server that is well says to a call: a chat completion, or a text that goes on."""
    answer = right_answer(call)
    if "messages" in call.request:
        return completion(json.dumps(answer))
    text = f" {answer['inputs']}\npattern: {answer['pattern']}"
    choice = {"index": 0, "finish_reason": "stop", "text": text, "logprobs": None}
    return completion("") | {"object": "text_completion", "choices": [choice]}


class FakeLLM:
    """The server. ``misbehave`` is asked about each call first; without it, or when it says None, all is well."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answered: list[Call] = []
        self.most_at_once = 0
        self.tokenizes = False
        self.misbehave: Misbehave = lambda call: None
        self._now = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use this server."""
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": "sk-test-very-secret"}

    def right_reply(self, call: Call) -> Any:
        """What the server says when it is well."""
        return right_reply(call)

    def __enter__(self) -> FakeLLM:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/tokenize":
                    counted = {"count": len(body["prompt"].split())}
                    self._send(Action(body=counted) if fake.tokenizes else Action(404, {"error": "no such path"}))
                    return
                with fake._lock:
                    prompt = body["messages"][0]["content"] if "messages" in body else body["prompt"]
                    call = Call(len(fake.calls), prompt, body, dict(self.headers))
                    fake.calls.append(call)
                    fake._now += 1
                    fake.most_at_once = max(fake.most_at_once, fake._now)
                try:
                    action = fake.misbehave(call) or Action(body=fake.right_reply(call))
                    time.sleep(action.delay)
                    if action.reset:
                        linger = struct.pack("ii", 1, 0)
                        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        self.close_connection = True
                        self.connection.close()
                        return
                    if self._send(action) and action.status == 200:
                        with fake._lock:
                            fake.answered.append(call)
                finally:
                    with fake._lock:
                        fake._now -= 1

            def _send(self, action: Action) -> bool:
                """Send an answer. Returns whether all of it went out to somebody who was there."""
                data = action.body if isinstance(action.body, bytes) else json.dumps(action.body).encode()
                self.send_response(action.status)
                for name, value in ({"Content-Type": "application/json"} | action.headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                try:
                    pieces = 5 if action.seconds else 1
                    sent = data[: int(len(data) * action.share)]
                    for i in range(pieces):
                        self.wfile.write(sent[len(sent) * i // pieces : len(sent) * (i + 1) // pieces])
                        self.wfile.flush()
                        time.sleep(action.seconds / pieces)
                except OSError:
                    self.close_connection = True
                    return False
                self.close_connection = self.close_connection or action.share < 1
                return action.share == 1

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
