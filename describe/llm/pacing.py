"""As fast as a server allows: its rate limits kept, fewer calls at once when it says that there are too many."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

__all__ = ["Pacer"]

MINUTE = 60.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Pacer:
    """Spaces calls out evenly under limits per minute, and adapts how many run at once.

    Args:
        concurrency: the most calls at once. A 429 halves it, and each full round of answered calls gives one back.
        rpm, tpm: requests and tokens per minute; None for no limit but those that the server's headers tell.
        longest_wait: the longest pause, in seconds, that a server can ask for.
    """

    def __init__(
        self, concurrency: int, rpm: float | None = None, tpm: float | None = None, *, longest_wait: float = 60.0
    ) -> None:
        self.limit = self._most = concurrency
        self._per_minute = {"requests": rpm, "tokens": tpm}
        self._longest_wait = longest_wait
        self._running = 0
        self._freed = asyncio.Event()
        self._next = 0.0
        self._paused_until = 0.0
        self._halved = 0.0
        self._answered = 0

    @asynccontextmanager
    async def turn(self, tokens: float) -> AsyncIterator[None]:
        """Wait until a call of about so many tokens may be sent; it counts as running until the end."""
        while self._running >= self.limit:
            self._freed.clear()
            await self._freed.wait()
        self._running += 1
        try:
            while (early := max(self._next, self._paused_until) - time.monotonic()) > 0:
                await asyncio.sleep(early)
            self._next = time.monotonic() + max(self._seconds("requests", 1), self._seconds("tokens", tokens))
            yield
        finally:
            self._running -= 1
            self._freed.set()

    def heard(self, headers: Mapping[str, str]) -> None:
        """Learn the server's limits, and wait where they are used up."""
        for kind, known in self._per_minute.items():
            told = _number(headers.get(f"x-ratelimit-limit-{kind}"))
            if told:
                self._per_minute[kind] = min(told, known) if known else told
            if _number(headers.get(f"x-ratelimit-remaining-{kind}")) == 0:
                self.pause(_duration(headers.get(f"x-ratelimit-reset-{kind}", "")))

    def answered(self, tokens_more: float) -> None:
        """A call was answered, and took so many tokens more than expected (fewer: negative)."""
        self._next += self._seconds("tokens", tokens_more)
        self._answered += 1
        if self._answered >= self.limit < self._most:
            self.limit, self._answered = self.limit + 1, 0
            self._freed.set()

    def refused(self, sent: float, retry_after: float | None) -> None:
        """A call sent at this moment (`time.monotonic`) was one too many; those sent along with it say no more."""
        if sent >= self._halved:
            self.limit = max(1, self.limit // 2)
            self._halved = time.monotonic()
        self._answered = 0
        self.pause(retry_after or 0.0)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._paused_until = max(self._paused_until, time.monotonic() + min(seconds, self._longest_wait))

    def _seconds(self, kind: str, amount: float) -> float:
        """The part of a minute's allowance that so many requests or tokens use, as time."""
        limit = self._per_minute[kind]
        return amount * MINUTE / limit if limit else 0.0


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _duration(text: str) -> float:
    """Seconds of ``1s``, ``6m0s``, ``120ms`` or ``2.5``."""
    plain = _number(text)
    if plain is not None:
        return plain
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h|d)", text))
