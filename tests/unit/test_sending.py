"""`describe.llm.sending`: how answers that come in together are handed over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from describe.llm import Request
from describe.llm.sending import Answer, Sender
from describe.llm.wire import Wire


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
