"""OpenAI's Batch API: many requests in a file, answered within a day at half the price. Knows no catalogue.

A file of requests is uploaded, a batch of it created, looked at until it has ended, and its output read. Every answer
of the server passes through `describe.llm.sending` and `describe.llm.wire`, as with direct calls.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from tenacity import Retrying

from describe.errors import CallError, LLMError
from describe.llm.asking import Message, Request
from describe.llm.batch_state import KEY, BatchState, OutputLine, in_list, name_of
from describe.llm.complaints import Complaint
from describe.llm.failures import UNREACHED, answered_with, never_reached, persistence
from describe.llm.pacing import LONG_WAIT, say_waiting
from describe.llm.sending import MOST_ANSWER, Ask, Sender, shown_address
from describe.llm.wire import Answer, Wire
from describe.records import Call

if TYPE_CHECKING:
    import anyio
    import httpx2
    import openai

__all__ = ["MOST_BYTES", "MOST_REQUESTS", "BatchClient", "Result"]

T = TypeVar("T")

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
"""Limits of one file of requests."""

_CHAT: Final = "/v1/chat/completions"
_PAGES, _PAGE = 10, 100
"""So many pages of the newest batches at the server are looked through for one of ours."""

_SLOWEST: Final = 100_000
"""Bytes a second: a file that goes slower than this, beyond the time of a request, is given up."""

_AROUND, _OF_TOKEN = 2**16, 32
"""Bytes of a line of output: around the reply, and for each token of it, at most."""

_UNSENT = {"batch_expired", "batch_cancelled"}
"""Error codes of requests that the server never came to."""


@dataclass(frozen=True)
class Result:
    """One line of a batch's output: a request's call, or with ``fatal`` why no request of this LLM can succeed.

    ``call`` is None for a request that the server never came to.
    """

    custom_id: str
    call: Call | None
    fatal: LLMError | None = None


class _UnknownError(Exception):
    """The server does not have what was asked for. Never leaves this file."""


class BatchClient:
    """Batches of requests to one model at one OpenAI-compatible endpoint.

    Transient failures of the transport are tried again, as with direct calls, and then raised as `CallError`. Every
    method raises `LLMError` when the endpoint cannot be used: a wrong key, or no Batch API. To be closed: its requests
    run in a thread of its own, so that each has its time whatever the server does.
    """

    def __init__(self, model: str, base_url: str, api_key: str, request: Request, identity: dict[str, str]) -> None:
        from anyio.from_thread import start_blocking_portal

        self.wire = Wire(model, shown_address(base_url), request, identity=identity)
        self._sender = Sender(base_url, api_key, self.wire)
        self._of_files = Sender(base_url, api_key, self.wire, most=sys.maxsize)
        self._thread = ExitStack()
        self._portal = self._thread.enter_context(start_blocking_portal())

    def close(self) -> None:
        """Let go of the connections, and of a request that was interrupted."""
        for sender in (self._sender, self._of_files):
            self._portal.call(sender.close)
        self._portal.call(self._portal.stop, True)
        self._thread.close()

    def line(self, custom_id: str, messages: list[Message], schema: dict[str, Any]) -> bytes:
        """One request as a line of the file to upload."""
        body = {"model": self.wire.model, "messages": messages, **self.wire.parameters(schema)}
        request = {"custom_id": custom_id, "method": "POST", "url": _CHAT, "body": body}
        return json.dumps(request).encode() + b"\n"

    def upload(self, key: str, file: IO[bytes]) -> str:
        """Upload a file of requests; returns the server's name for it."""
        size = file.seek(0, os.SEEK_END)

        def send(client: openai.AsyncOpenAI) -> Awaitable[Any]:
            file.seek(0)
            return client.files.with_raw_response.create(file=(f"headscribe-{key}.jsonl", file), purpose="batch")

        seconds = self.wire.request.timeout + size / _SLOWEST
        return self._persist(lambda: self._ask(_by(send), lambda found: name_of(found, "id"), seconds=seconds))

    def create(self, key: str, file_id: str) -> BatchState:
        """Create the batch of an uploaded file. A try that may have come through is looked for before the next."""
        first = True
        ask = _by(
            lambda client: client.batches.with_raw_response.create(
                input_file_id=file_id, endpoint=_CHAT, completion_window="24h", metadata={KEY: key}
            )
        )

        def send() -> BatchState:
            nonlocal first
            found = None if first else self._find(key, file_id)
            first = False
            return found or self._ask(ask, BatchState.of)

        return self._persist(send)

    def find(self, key: str, file_id: str) -> BatchState | None:
        """The batch that was created of a file, under our key, if there is one."""
        return self._persist(lambda: self._find(key, file_id))

    def state(self, batch_id: str) -> BatchState | None:
        """The server's state of a batch; None when it knows none of that name."""
        ask = _by(lambda client: client.batches.with_raw_response.retrieve(batch_id))
        try:
            return self._persist(lambda: self._ask(ask, BatchState.of, named=True))
        except _UnknownError:
            return None

    def cancel(self, batch_id: str) -> None:
        """Ask the server to end a batch that is not wanted, as far as it lets us."""
        ask = _by(lambda client: client.batches.with_raw_response.cancel(batch_id))
        with suppress(CallError, _UnknownError):
            self._persist(lambda: self._ask(ask, bool, named=True))

    def forget(self, file_id: str) -> None:
        """Delete an uploaded file, so that no batch can be made of it any more; as far as the server lets us."""
        ask = _by(lambda client: client.files.with_raw_response.delete(file_id))
        with suppress(CallError, _UnknownError):
            self._persist(lambda: self._ask(ask, bool, named=True))

    def results(self, batch: BatchState, hashes: dict[str, str]) -> Iterator[Result]:
        """Outcomes of the requests of a batch, in any order; lines that cannot be read or assigned are left out.

        Args:
            hashes: the request hash of each custom id in the batch.

        Raises `FileNotFoundError` when the server has thrown the output away. Of an output that is longer than the
        replies to so many requests can be, the rest is left out too.
        """
        most = len(hashes) * (_AROUND + _OF_TOKEN * self.wire.request.max_tokens)
        for file_id in batch.files:
            with tempfile.TemporaryFile() as file:
                try:
                    self._persist(partial(self._download, file_id, file, most))
                except _UnknownError:
                    raise FileNotFoundError(file_id) from None
                file.seek(0)
                while line := file.readline(MOST_ANSWER):
                    result = self._result(line, hashes, batch.seconds)
                    if result is not None:
                        yield result

    def _result(self, line: bytes, hashes: dict[str, str], seconds: float) -> Result | None:
        try:
            found = OutputLine.of(line)
            request_hash = hashes[found.custom_id]
        except (ValueError, KeyError):
            return None
        headers = {"x-request-id": found.request_id} if found.request_id else {}
        if found.status == 200:
            answer = Answer(found.body, headers, content=line)
            return Result(found.custom_id, self.wire.entry(answer, request_hash, seconds))
        if found.code in _UNSENT:
            return Result(found.custom_id, None)
        wire = self.wire
        codes = frozenset({found.code.lower()} if found.code else ())
        said = Complaint(wire.line(found.message), codes)
        failure = answered_with(found.status, said, wire.where, wire.model)
        call = wire.entry(Answer(failure=failure), request_hash, seconds)
        return Result(found.custom_id, call, failure if isinstance(failure, LLMError) else None)

    def _download(self, file_id: str, file: IO[bytes], most: int) -> None:
        async def ask(client: openai.AsyncOpenAI, scope: anyio.CancelScope) -> None:
            file.seek(0)
            file.truncate()
            async with client.files.with_streaming_response.content(file_id) as found:
                async for piece in found.iter_bytes():
                    file.write(piece)
                    scope.deadline += len(piece) / _SLOWEST
                    if file.tell() > most:
                        break

        self._ask(ask, bool, named=True, sender=self._of_files)

    def _find(self, key: str, file_id: str) -> BatchState | None:
        after: str | None = None
        for _ in range(_PAGES):
            batches, after = self._ask(_page(after), in_list)
            for batch in batches:
                if batch.input_file == file_id or batch.key == key:
                    return batch
            if after is None:
                break
        return None

    def _persist(self, send: Callable[[], T]) -> T:
        """Send until there is an answer that another try would not mend."""
        tries = 0
        try:
            for attempt in Retrying(**persistence(self.wire.request), sleep=_rest):
                with attempt:
                    tries += 1
                    done = send()
        except CallError as error:
            if error.cause not in UNREACHED or self._sender.heard:
                raise
            unreached = never_reached(error, tries, self.wire.row, self.wire.where)
        else:
            return done
        raise unreached

    def _ask(
        self,
        ask: Ask,
        read: Callable[[Any], T],
        *,
        named: bool = False,
        seconds: float | None = None,
        sender: Sender | None = None,
    ) -> T:
        """One request, and what is read of its answer.

        ``named``: what is asked for has a name that the server may not know. Raises `CallError`, `LLMError`, and
        `_UnknownError` for such a name.
        """
        answer = self._portal.call((sender or self._sender).ask, ask, seconds)
        if named and answer.status == 404:
            raise _UnknownError
        failure = self._failure(answer)
        if failure is None:
            try:
                return read(answer.body)
            except ValueError:
                failure = CallError("server_error", "the server's answer is not one of a Batch API")
        raise failure

    def _failure(self, answer: Answer) -> CallError | LLMError | None:
        """The failure of a request to the Batch API."""
        where, failure = self.wire.where, answer.failure
        if answer.status in (404, 405, 501):
            return LLMError(f"{where} has no Batch API (/files and /batches): leave --batch out ({answer.words})")
        if answer.status == 200 and failure is not None:
            return CallError("server_error", "the server's answer is not one of a Batch API")
        if isinstance(failure, CallError) and failure.cause == "bad_request":
            return LLMError(f"{where} refused the batch: {failure}")
        return failure


def _by(send: Callable[[openai.AsyncOpenAI], Awaitable[Any]]) -> Ask:
    """Ask by one of the openai package's methods, without its reading of the answer, which trusts the server."""

    async def ask(client: openai.AsyncOpenAI, _: anyio.CancelScope) -> httpx2.Response:
        response: httpx2.Response = (await send(client)).http_response
        return response

    return ask


def _page(after: str | None) -> Ask:
    """Ask for a page of the newest batches, those behind the one of this name."""
    import openai

    return _by(lambda client: client.batches.with_raw_response.list(limit=_PAGE, after=after or openai.omit))


def _rest(seconds: float) -> None:
    """Wait before another try, and say so where it is long."""
    if seconds >= LONG_WAIT:
        say_waiting(seconds, "the Batch API failed, and is asked again")
    time.sleep(seconds)
