"""`describe.llm.sending`: how answers that come in together are handed over, and settings that lead nowhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from describe.errors import CallError, LLMError
from describe.llm import Request
from describe.llm.failures import never_reached
from describe.llm.sending import Answer, Sender
from describe.llm.wire import Wire
from describe.providers import PROVIDERS


def test_answers_that_come_together_are_taken_up_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each caller's next request, which a task of its own writes, is out before the next caller has its answer."""
    seen: list[tuple[str, int]] = []

    async def talk() -> None:
        together = asyncio.Event()
        sender = Sender("http://127.0.0.1:9/v1", "none", Wire("m", "here", Request()))

        async def answered_together(*_: Any) -> Answer:
            await together.wait()
            return Answer()

        async def go_out(caller: int) -> None:
            seen.append(("out", caller))

        async def call(caller: int) -> None:
            await sender.send("chat/completions", {}, str(caller))
            seen.append(("answered", caller))
            await asyncio.create_task(go_out(caller))

        monkeypatch.setattr(sender, "_sent", answered_together)
        callers = [asyncio.create_task(call(caller)) for caller in range(5)]
        await asyncio.sleep(0)
        together.set()
        await asyncio.gather(*callers)
        await sender.close()

    asyncio.run(talk())
    assert seen == [(what, caller) for caller in range(5) for what in ("answered", "out")]


def test_a_proxy_of_the_environment_is_named_where_a_server_is_never_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    error, row, where = CallError("connection", "cannot be reached"), PROVIDERS["openai"], "http://example.org/v1"
    assert "is OPENAI_BASE_URL right, and" in str(never_reached(error, 4, row, where))
    monkeypatch.setenv("ALL_PROXY", "socks5://localhost:1080")
    assert "are OPENAI_BASE_URL and ALL_PROXY right, and" in str(never_reached(error, 4, row, where))
    with pytest.raises(LLMError, match=r"ALL_PROXY names a socks5 proxy.*unset it"):
        Sender(where, "key", Wire("m", where, Request()))
    monkeypatch.setenv("HTTP_PROXY", "http://localhost:3128")
    assert "HTTP_PROXY right" in str(never_reached(error, 4, row, where)), "that of the scheme goes first"
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert "is OPENAI_BASE_URL right, and" in str(never_reached(error, 4, row, where))


def test_certificates_are_those_that_the_environment_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of one file are kept, and never taken for another's."""

    async def talk() -> None:
        await Sender("https://example.org/v1", "key", Wire("m", "here", Request())).close()

    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    asyncio.run(talk())
    (tmp_path / "none.pem").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(LLMError, match="HTTP cannot be set up with SSL_CERT_FILE"):
        asyncio.run(talk())
    monkeypatch.delenv("SSL_CERT_FILE")
    asyncio.run(talk())
