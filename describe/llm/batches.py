"""OpenAI's Batch API: many requests in a file, answered within a day at half the price. Knows no catalogue.

A file of requests is uploaded, a batch of it created, looked at until it has ended, and its output read. Every answer
of the server passes through `describe.llm.wire`, as with direct calls.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import IO, Any, Final, TypeVar, cast

from tenacity import Retrying

from describe.errors import CallError, LLMError
from describe.llm.asking import Message, Request
from describe.llm.failures import answered_with, never_reached, persistence
from describe.llm.wire import Wire
from describe.records import Call

__all__ = ["MOST_BYTES", "MOST_REQUESTS", "BatchClient", "BatchState", "Result"]

T = TypeVar("T")

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
"""What one file of requests may hold."""

_CHAT: Final = "/v1/chat/completions"
_KEY = "headscribe"
"""The name, in a batch's metadata, under which the server keeps our key of the batch."""

_LOOKED_THROUGH = 1000
"""So many of the newest batches at the server are looked through for one of ours."""

_ENDED = {"completed", "failed", "expired", "cancelled"}
_UNSENT = {"batch_expired", "batch_cancelled"}
"""Error codes of requests that the server never came to."""


@dataclass(frozen=True)
class BatchState:
    """What the server says of a batch.

    Attributes:
        id: the server's name for it.
        status: in the server's words; ``completed``, ``failed``, ``expired`` or ``cancelled`` when it has ``ended``.
        completed, failed, total: requests, as far as the server counts them.
        files: the files of answers and of errors that there are.
        problem: why the whole batch failed, as a code and a sentence.
        seconds: that it took, or has taken.
    """

    id: str
    status: str
    completed: int
    failed: int
    total: int
    files: tuple[str, ...]
    problem: tuple[str, str] | None
    seconds: float

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self.status in _ENDED


@dataclass(frozen=True)
class Result:
    """One line of a batch's output: a request's call, or with ``fatal`` why no request of this LLM can succeed.

    ``call`` is None for a request that the server never came to.
    """

    custom_id: str
    call: Call | None
    fatal: LLMError | None = None


class BatchClient:
    """Batches of requests to one model at one OpenAI-compatible endpoint.

    Transient failures of the transport are tried again, as with direct calls, and then raised as `CallError`. Every
    method raises `LLMError` when the endpoint cannot be used: a wrong key, or no Batch API.
    """

    def __init__(
        self, model: str, base_url: str | None, api_key: str, request: Request, identity: dict[str, str]
    ) -> None:
        import openai

        self._client = openai.OpenAI(api_key=api_key, base_url=base_url, max_retries=0, timeout=request.timeout)
        where = str(self._client.base_url.copy_with(userinfo=b"", query=None))
        self.wire = Wire(model, where, api_key, request, identity=identity)
        self._reached = False

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def line(self, custom_id: str, messages: list[Message], schema: dict[str, Any]) -> bytes:
        """One request as a line of the file to upload."""
        body = {"model": self.wire.model, "messages": messages, **self.wire.parameters(schema)}
        request = {"custom_id": custom_id, "method": "POST", "url": _CHAT, "body": body}
        return json.dumps(request).encode() + b"\n"

    def upload(self, key: str, file: IO[bytes]) -> str:
        """Upload a file of requests; returns the server's name for it."""

        def send() -> str:
            file.seek(0)
            return self._client.files.create(file=(f"headscribe-{key}.jsonl", file), purpose="batch").id

        return self._persist(send)

    def create(self, key: str, file_id: str) -> BatchState:
        """Create the batch of an uploaded file. A try that may have come through is looked for before the next."""
        first = True

        def send() -> BatchState:
            nonlocal first
            found = None if first else self._find(key, file_id)
            first = False
            return found or _state(
                self._client.batches.create(
                    input_file_id=file_id, endpoint=_CHAT, completion_window="24h", metadata={_KEY: key}
                )
            )

        return self._persist(send)

    def find(self, key: str, file_id: str) -> BatchState | None:
        """The batch that was created of a file, under our key, if there is one."""
        return self._persist(lambda: self._find(key, file_id))

    def state(self, batch_id: str) -> BatchState | None:
        """What the server says of a batch; None when it knows none of that name."""
        return self._persist(_unless_missing(lambda: _state(self._client.batches.retrieve(batch_id))))

    def cancel(self, batch_id: str) -> None:
        """Ask the server to end a batch that is not wanted, as far as it lets us."""
        with suppress(CallError):
            self._persist(_unless_missing(lambda: self._client.batches.cancel(batch_id)))

    def forget(self, file_id: str) -> None:
        """Delete an uploaded file, so that no batch can be made of it any more; as far as the server lets us."""
        with suppress(CallError):
            self._persist(_unless_missing(lambda: self._client.files.delete(file_id)))

    def results(self, batch: BatchState, hashes: dict[str, str]) -> Iterator[Result]:
        """What came of the requests of a batch, in any order; lines that cannot be read or assigned are left out.

        Args:
            hashes: the request hash of each custom id in the batch.

        Raises `FileNotFoundError` when the server has thrown the output away.
        """
        for file_id in batch.files:
            output = self._persist(_unless_missing(partial(self._download, file_id)))
            if output is None:
                raise FileNotFoundError(file_id)
            for line in io.BytesIO(output):
                result = self._result(line, hashes, batch.seconds)
                if result is not None:
                    yield result

    def _result(self, line: bytes, hashes: dict[str, str], seconds: float) -> Result | None:
        try:
            found = json.loads(line)
            custom_id = found["custom_id"]
            request_hash = hashes[custom_id]
            status, code, message = _status(found)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        if status == 200:
            body, request_id = found["response"].get("body"), found["response"].get("request_id")
            return Result(custom_id, self.wire.entry(body, None, request_hash, seconds, request_id))
        if code in _UNSENT:
            return Result(custom_id, None)
        wire = self.wire
        failure = answered_with(status, code, wire.line(message), wire.where, wire.model)
        call = wire.entry(None, failure, request_hash, seconds)
        return Result(custom_id, call, failure if isinstance(failure, LLMError) else None)

    def _download(self, file_id: str) -> bytes:
        return self._client.files.content(file_id).content

    def _find(self, key: str, file_id: str) -> BatchState | None:
        for batch in islice(self._client.batches.list(limit=100), _LOOKED_THROUGH):
            if batch.input_file_id == file_id or (batch.metadata or {}).get(_KEY) == key:
                return _state(batch)
        return None

    def _persist(self, send: Callable[[], T]) -> T:
        """Send until there is an answer that another try would not mend."""
        tries = 0
        try:
            for attempt in Retrying(**persistence(self.wire.request)):
                with attempt:
                    tries += 1
                    done, failure = self._once(send)
                    if failure is not None:
                        raise failure
        except CallError as error:
            if error.cause != "connection" or self._reached:
                raise
            unreached = never_reached(error, tries)
        else:
            return cast(T, done)
        raise unreached

    def _once(self, send: Callable[[], T]) -> tuple[T | None, CallError | LLMError | None]:
        """What was sent for, or what went wrong: returned, so that no exception carries the server's own words."""
        import openai

        try:
            done = send()
        except openai.OpenAIError as error:
            status = getattr(error, "status_code", None)
            self._reached = self._reached or status is not None
            if status in (404, 405, 501):
                where, words = self.wire.where, self.wire.first_line(error)
                return None, LLMError(f"{where} has no Batch API (/files and /batches): leave --batch out ({words})")
            failure = self.wire.failed(error)
            if isinstance(failure, CallError) and failure.cause == "bad_request":
                return None, LLMError(f"{self.wire.where} refused the batch: {failure}")
            return None, failure
        except (ValueError, AttributeError):
            return None, CallError("server_error", "the server's answer is not one of a Batch API")
        self._reached = True
        return done, None


def _unless_missing(send: Callable[[], T]) -> Callable[[], T | None]:
    """The same, with None for what the server does not have."""
    import openai

    def tried() -> T | None:
        try:
            return send()
        except openai.NotFoundError:
            return None

    return tried


def _state(batch: Any) -> BatchState:
    """The server's answer as ours. Raises ValueError when it does not speak of a batch."""
    from openai.types import Batch

    if not (isinstance(batch, Batch) and batch.id and batch.status):
        raise ValueError("no batch")
    counts = batch.request_counts
    completed, failed, total = (counts.completed, counts.failed, counts.total) if counts else (0, 0, 0)
    ended = batch.completed_at or batch.expired_at or batch.cancelled_at or batch.failed_at or time.time()
    return BatchState(
        id=batch.id,
        status=batch.status,
        completed=completed or 0,
        failed=failed or 0,
        total=total or 0,
        files=tuple(name for name in (batch.output_file_id, batch.error_file_id) if name),
        problem=_problem(batch) if batch.status == "failed" else None,
        seconds=max(0.0, ended - (batch.created_at or ended)),
    )


def _problem(batch: Any) -> tuple[str, str]:
    """Why a whole batch failed: the first reason, and how many more there are."""
    reasons = (batch.errors and batch.errors.data) or []
    first = reasons[0] if reasons else None
    if first is None or not (first.message or first.code):
        return "", "the server does not say why"
    line = f"line {first.line}: " if first.line is not None else ""
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return first.code or "", f"{line}{first.message or first.code}{more}"


def _status(found: Any) -> tuple[int, str | None, str]:
    """The HTTP status of a line of output, with the error's code and message; raises for what is no such line."""
    response = found.get("response")
    if response is None:
        error = found.get("error") or {}
        return 500, error.get("code"), str(error.get("message") or "the server says nothing")
    status = int(response["status_code"])
    error = {} if status == 200 else (response.get("body") or {}).get("error") or {}
    return status, error.get("code"), str(error.get("message") or f"status {status}")
