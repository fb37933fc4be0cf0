"""Servers that are broken or hostile: a request ends in time and memory, with its cause, and costs no other call."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from describe.errors import CallError
from describe.llm import CAUSES, LLM, BatchClient, Form, Message, Purse, Request, Wire, tokens_per_character
from describe.llm.asking import Oversight
from describe.llm.client import ChatClient
from describe.llm.pacing import Pacer
from describe.llm.sending import MOST_ANSWER, shown_address
from tests.fake_llm import completion

ONCE = Request(attempts=1, timeout=2.0)
MESSAGES: list[Message] = [{"role": "user", "content": "what does it do?"}]
SCHEMA: Form = {"type": "object"}
GOOD = json.dumps(completion(json.dumps({"reasoning": "r", "inputs": "i", "pattern": "p"}))).encode()


def http(body: bytes, *headers: str, status: str = "200 OK", length: bool = True) -> bytes:
    """An answer as it goes over the wire."""
    told = [*headers, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join([f"HTTP/1.1 {status}", *told, "", ""]).encode("latin-1") + body


class RawServer:
    """Answers every request with the same bytes, or as a function of the connection says, and closes it."""

    def __init__(self, answer: bytes | Callable[[socket.socket], None]) -> None:
        self.asked: list[bytes] = []
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                there, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(there,), daemon=True).start()

    def _attend(self, there: socket.socket) -> None:
        with there:
            try:
                self.asked.append(there.recv(1 << 16))
                if callable(self._answer):
                    self._answer(there)
                else:
                    there.sendall(self._answer)
            except OSError:
                return


def bomb() -> bytes:
    """Some 300 KB that come to 300 MB."""
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packing.compress(b" " * 1_000_000) for _ in range(300)), packing.flush()])


CHUNKED = "Transfer-Encoding: chunked"
MALFORMED: dict[str, bytes] = {
    "no HTTP": b"junk\r\n\r\n",
    "HTTP/0.9": GOOD,
    "HTTP/9.9": b"HTTP/9.9 200 OK\r\n\r\n",
    "status of letters": http(GOOD, status="OK OK"),
    "status beyond": http(GOOD, status="99999 OK"),
    "long header": http(GOOD, "X-Echo: " + "v" * 100_000),
    "many headers": http(GOOD, *(f"X-{n}: {'v' * 1000}" for n in range(2000))),
    "NUL in a header": http(GOOD, "X-Echo: a\0b"),
    "header without a colon": http(GOOD, "no colon here"),
    "two lengths": http(GOOD, "Content-Length: 3"),
    "negative length": http(GOOD, "Content-Length: -5", length=False),
    "length of letters": http(GOOD, "Content-Length: many", length=False),
    "huge length": http(GOOD, "Content-Length: 99999999999999999999", length=False),
    "garbage for chunks": http(b"zzz\r\nabc\r\n", CHUNKED, length=False),
    "endless chunk": http(b"ffffffffffffffff\r\nabc", CHUNKED, length=False),
    "encoding that is none": http(GOOD, "Content-Encoding: klingon"),
    "brotli unasked": http(GOOD, "Content-Encoding: br"),
    "gzip that is none": http(GOOD, "Content-Encoding: gzip"),
    "half a gzip": http(gzip.compress(GOOD)[:-30], "Content-Encoding: gzip"),
    "gzip twice": http(gzip.compress(gzip.compress(GOOD)), "Content-Encoding: gzip, gzip"),
    "bomb": http(bomb(), "Content-Encoding: gzip"),
    "too long": http(b" " * (MOST_ANSWER + 10) + GOOD),
    "empty": http(b""),
    "204": http(b"", status="204 No Content"),
    "304": http(b"", status="304 Not Modified"),
    "HTML": http(b"<html>down</html>"),
    "no UTF-8": http(b'{"choices": "\xff\xfe"}'),
    "nested": http(b"[" * 100_000),
    "deep": http(b'{"choices": ' + b"[" * 900 + b"]" * 900 + b"}"),
    "a number": http(b"1e999"),
    "a long number": http(b"9" * 5000),
    "choices as object": http(json.dumps({"choices": {"0": {"message": {"content": "x"}}}}).encode()),
    "choices as text": http(json.dumps({"choices": "x"}).encode()),
    "choices of numbers": http(json.dumps({"choices": [1]}).encode()),
    "message as text": http(json.dumps({"choices": [{"message": "x"}]}).encode()),
    "message as list": http(json.dumps({"choices": [{"message": ["x"]}]}).encode()),
    "content as number": http(json.dumps({"choices": [{"message": {"content": 5}}]}).encode()),
    "content as object": http(json.dumps({"choices": [{"message": {"content": {"a": 1}}}]}).encode()),
    "error that is none": http(b"\xff" * 100, "Content-Type: application/json; charset=klingon", status="400 No"),
    "nested error": http(b"[" * 100_000, status="500 No"),
    "endless error": http(b"x" * 20_000_000, status="503 No"),
    "redirect to nowhere": http(b"", "Location: http://[::1", status="302 Found"),
}


async def called(url: str, request: Request = ONCE) -> Any:
    """What one call comes to: a reply, or its failure."""
    client = ChatClient(Wire("m", shown_address(url), request), url, "sk-very-secret-key", Oversight(Pacer(1), Purse()))
    try:
        return await client.ask(MESSAGES, SCHEMA)
    except Exception as error:
        return error
    finally:
        await client.close()


@pytest.mark.parametrize("what", MALFORMED)
def test_whatever_comes_is_a_failed_call_with_its_cause(what: str) -> None:
    with closing(RawServer(MALFORMED[what])) as server:
        came = asyncio.run(called(server.url))
    if what == "redirect to nowhere":
        assert "sends us on" in str(came)
        return
    assert isinstance(came, CallError), came
    assert came.cause in CAUSES
    assert len(str(came)) < 800
    assert "\n" not in str(came)


@pytest.mark.parametrize(
    "good",
    [
        http(GOOD),
        http(gzip.compress(GOOD), "Content-Encoding: gzip"),
        http(zlib.compress(GOOD), "Content-Encoding: deflate"),
        http(GOOD, "Content-Type: application/json; charset=klingon"),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + http(GOOD),
        http(GOOD.replace(b'"usage": {', b'"usage": [], "x": {')),
        http(GOOD.replace(b'"usage": {', b'"usage": "many", "x": {')),
        http(GOOD.replace(b'"created": 0', b'"created": NaN, "x": "\\ud800"')),
    ],
)
def test_a_good_reply_is_taken_however_it_is_wrapped(good: bytes) -> None:
    with closing(RawServer(good)) as server:
        came = asyncio.run(called(server.url))
    assert json.loads(came.text)["pattern"] == "p"


def drip(start: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    """Send a little again and again: no pause is ever longer than a moment."""

    def send(there: socket.socket) -> None:
        there.sendall(start)
        for _ in range(600):
            there.sendall(drop)
            time.sleep(0.05)

    return send


SLOW: dict[str, Callable[[socket.socket], None]] = {
    "says nothing": lambda there: time.sleep(30),
    "100 Continue": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers": drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "a line of a header": drip(b"HTTP/1.1 200 OK\r\nX-A: ", b"b"),
    "body": drip(http(b"", "Content-Length: 100000", length=False), b" "),
    "chunks": drip(http(b"", CHUNKED, length=False), b"1\r\n \r\n"),
    "error": drip(http(b"", "Content-Length: 100000", status="500 No", length=False), b" "),
}


@pytest.mark.parametrize("what", SLOW)
def test_the_timeout_is_of_the_whole_call(what: str) -> None:
    with closing(RawServer(SLOW[what])) as server:
        started = time.monotonic()
        came = asyncio.run(called(server.url, Request(attempts=1, timeout=0.7)))
        assert time.monotonic() - started < 15
    assert isinstance(came, CallError)
    assert came.cause == "timeout"
    assert "no answer within 0.7 s" in str(came)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_is_sent_where_a_redirect_leads(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither key nor prompt, of no kind of request, to another port or to the same."""
    with closing(RawServer(http(b'{"count": 3}'))) as foreign:
        to = f"Location: http://ada:word@localhost:{foreign.port}/v1/chat/completions?key=abc"
        with closing(RawServer(http(b"", to, status=f"{status} On"))) as server:
            came = asyncio.run(called(server.url))
            assert f"sends us on to http://localhost:{foreign.port}/v1/chat/completions, where nothing" in str(came)
            assert "OPENAI_BASE_URL" in str(came)
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key")
            assert tokens_per_character(LLM("openai", "m"), ["a text"], timeout=2) is None
            batches = BatchClient("m", server.url, "sk-very-secret-key", ONCE, {})
            with pytest.raises(Exception, match="sends us on"):
                batches.find("key", "file")
            batches.close()
        assert foreign.asked == []


@pytest.mark.parametrize("told", [b"[" * 100_000, b'{"count": 1e999}', b'{"count": -3}', b'{"tokens": 3}', b"", b"5"])
def test_a_count_that_cannot_be_is_none(told: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    for answer, counted in ((http(told), None), (http(b'{"count": 3}'), 0.5), (b"junk\r\n\r\n", None)):
        with closing(RawServer(answer)) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            assert tokens_per_character(LLM("openai", "m"), ["a text"], timeout=2) == counted
