"""A real HTTP server that speaks the Batch API: files, batches, their output; and can misbehave on demand."""

from __future__ import annotations

import email
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fake_llm import Action, Call, FakeLLM, completion, right_answer

CREATED = 1_700_000_000


@dataclass
class Fate:
    """How a batch ends: with which status, after how many looks, of how many requests, with what output.

    Attributes:
        answered: so many requests are executed; None for all. The others go to the error file as ``batch_expired``.
        mangle: what becomes of the lines of the output file.
        errors: why the whole batch is refused.
        looks: it is in progress for so many looks.
    """

    status: str = "completed"
    answered: int | None = None
    mangle: Callable[[list[bytes]], list[bytes]] = lambda lines: lines
    errors: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0


class FakeBatches(FakeLLM):
    """The server. ``misbehave`` answers single requests, as in direct calls; ``fate`` is asked about each batch.

    ``refuse`` may answer any request to the API itself, by its method and path, and ``after`` is told when one was
    carried out and its answer is not sent yet. ``answered`` are the requests that were executed, and so are paid.
    """

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.log: list[str] = []
        self.fate: Callable[[int], Fate] = lambda number: Fate()
        self.refuse: Callable[[str, str], Action | None] = lambda method, path: None
        self.after: Callable[[str, str], None] = lambda method, path: None
        self._fates: dict[str, Fate] = {}
        self._working = threading.RLock()

    def requests_of(self, batch_id: str) -> list[dict[str, Any]]:
        """The requests of a batch, as they were uploaded."""
        return [json.loads(line) for line in self.files[self.batches[batch_id]["input_file_id"]].splitlines()]

    def serve(self, method: str, path: str, headers: Any, body: bytes) -> Action:
        """One request to the API."""
        self.log.append(f"{method} {path}")
        what, _, name = path.removeprefix("/v1/").partition("/")
        name, _, verb = name.partition("/")
        if what == "files" and method == "POST":
            return Action(body=self._upload(headers, body))
        if what == "files" and name not in self.files:
            return Action(404, {"error": {"message": f"no file {name}"}})
        if what == "files" and method == "DELETE":
            del self.files[name]
            return Action(body={"id": name, "object": "file", "deleted": True})
        if what == "files" and verb == "content":
            return Action(body=self.files[name], headers={"Content-Type": "application/octet-stream"})
        if what == "batches" and method == "POST" and not name:
            return self._create(json.loads(body))
        if what == "batches" and not name:
            data = list(reversed(self.batches.values()))
            return Action(body={"object": "list", "data": data, "has_more": False})
        if what == "batches" and name in self.batches:
            if verb == "cancel":
                self._end(name, Fate("cancelled", answered=0))
            elif method == "GET":
                self._look(name)
            return Action(body=self.batches[name])
        return Action(404, {"error": {"message": f"no {path}"}})

    def _upload(self, headers: Any, body: bytes) -> dict[str, Any]:
        form = email.message_from_bytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}  # type: ignore[union-attr]
        assert parts["purpose"].get_payload().strip() == "batch"  # type: ignore[union-attr]
        return self._file(parts["file"].get_payload(decode=True))  # type: ignore[union-attr]

    def _file(self, content: bytes) -> dict[str, Any]:
        name = f"file-{len(self.files)}-{len(self.log)}"
        self.files[name] = content
        return {
            "id": name,
            "object": "file",
            "bytes": len(content),
            "created_at": CREATED,
            "filename": "f",
            "purpose": "batch",
            "status": "processed",
        }

    def _create(self, asked: dict[str, Any]) -> Action:
        if asked["input_file_id"] not in self.files:
            return Action(400, {"error": {"message": "no such file"}})
        assert (asked["endpoint"], asked["completion_window"]) == ("/v1/chat/completions", "24h")
        name = f"batch_{len(self.batches)}"
        self._fates[name] = self.fate(len(self.batches))
        total = len(self.files[asked["input_file_id"]].splitlines())
        self.batches[name] = {
            "id": name,
            "object": "batch",
            **asked,
            "status": "validating",
            "created_at": CREATED,
            "request_counts": {"completed": 0, "failed": 0, "total": total},
        }
        return Action(body=self.batches[name])

    def _look(self, name: str) -> None:
        batch, fate = self.batches[name], self._fates[name]
        if batch["status"] not in ("validating", "in_progress"):
            return
        if fate.looks > 0:
            fate.looks -= 1
            batch["status"] = "in_progress"
            return
        self._end(name, fate)

    def _end(self, name: str, fate: Fate) -> None:
        batch = self.batches[name]
        batch |= {"status": fate.status, f"{fate.status}_at": CREATED + 600}
        if fate.errors:
            batch["errors"] = {"object": "list", "data": fate.errors}
            return
        good, bad = [], []
        for position, request in enumerate(self.requests_of(name)):
            assert (request["method"], request["url"]) == ("POST", "/v1/chat/completions")
            if fate.answered is not None and position >= fate.answered:
                code = "batch_expired" if fate.status == "expired" else "batch_cancelled"
                line = {"response": None, "error": {"code": code, "message": "too late"}}
                bad.append(self._line(request, line))
                continue
            call = Call(len(self.calls), request["body"]["messages"][0]["content"], request["body"], {})
            self.calls.append(call)
            action = self.misbehave(call) or Action(body=completion(json.dumps(right_answer(call))))
            response = {"status_code": action.status, "request_id": f"req-{call.number}", "body": action.body}
            (good if action.status == 200 else bad).append(self._line(request, {"response": response, "error": None}))
            if action.status == 200:
                self.answered.append(call)
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}
        for kind, lines in (("output", fate.mangle(good)), ("error", bad)):
            if lines:
                batch[f"{kind}_file_id"] = self._file(b"\n".join(lines) + b"\n")["id"]

    def _line(self, request: dict[str, Any], rest: dict[str, Any]) -> bytes:
        return json.dumps({"id": "batch_req_1", "custom_id": request["custom_id"], **rest}).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                with fake._working:
                    action = fake.refuse(self.command, path)
                    if action is None:
                        action = fake.serve(self.command, path, self.headers, body)
                        fake.after(self.command, path)
                    if action.reset:
                        self.close_connection = True
                        self.connection.close()
                        return
                    data = action.body if isinstance(action.body, bytes) else json.dumps(action.body).encode()
                try:
                    self.send_response(action.status)
                    for name, value in ({"Content-Type": "application/json"} | action.headers).items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # the client was killed
                    self.close_connection = True

            def do_GET(self) -> None:
                self.answer()

            do_POST = do_DELETE = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
