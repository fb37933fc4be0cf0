"""As fast as a server allows: its rate limits kept, fewer calls at once when it says that there are too many."""

from __future__ import annotations

import asyncio
import math
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

__all__ = ["LONG_WAIT", "Pacer", "say_waiting"]

MINUTE = 60.0
LONG_WAIT = 3.0
"""Seconds from which on a wait is said."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_ASKS = "the server asks for it"
_LONGER = 1.5
"""A space between calls is said again when it is so many times as long as the one said last."""


def say_waiting(seconds: float, why: str) -> None:
    """Say on standard error, in a quiet run too, that nothing is sent for so long."""
    print(f"headscribe: waiting {seconds:.0f} s: {why}", file=sys.stderr)


class Pacer:
    """Spaces calls out evenly under limits per minute, and adapts how many run at once.

    Args:
        concurrency: the most calls at once. A 429 halves it, and each full round of answered calls gives one back.
        rpm, tpm: requests and tokens per minute; None for no limit but those that the server's headers tell.
        longest_wait: the longest pause, in seconds, that a server can ask for. Its limits per minute keep two calls a
            minute apart at most, whatever they are.
        say: told of waits of `LONG_WAIT` or more, with their reason: once of those that end at about the same time, and
            of the spaces between calls once until they grow.
    """

    def __init__(
        self,
        concurrency: int,
        rpm: float | None = None,
        tpm: float | None = None,
        *,
        longest_wait: float = 60.0,
        say: Callable[[float, str], None] = say_waiting,
    ) -> None:
        self.limit = self._most = concurrency
        self._own = {"requests": rpm, "tokens": tpm}
        self._told: dict[str, float | None] = {"requests": None, "tokens": None}
        self._longest_wait = longest_wait
        self._say = say
        self._said_until = 0.0
        self._said_space = 0.0
        self._running = 0
        self._freed = asyncio.Event()
        self._next_by_own = 0.0
        self._next_by_told = 0.0
        self._paused_until = 0.0
        self._most_tokens = 0.0
        self._halved = 0.0
        self._answered = 0

    @asynccontextmanager
    async def turn(self, tokens: float) -> AsyncIterator[None]:
        """Wait until a call of about so many tokens may be sent; it counts as running until the end."""
        while self._running >= self.limit:
            self._freed.clear()
            await self._freed.wait()
        self._running += 1
        self._most_tokens = max(self._most_tokens, tokens)
        try:
            while (early := max(self._next_by_own, self._next_by_told, self._paused_until) - time.monotonic()) > 0:
                if self._paused_until >= max(self._next_by_own, self._next_by_told):
                    await self.wait(early)
                else:
                    await self._keep_apart(early)
            self._next_by_own = time.monotonic() + _share(self._own, tokens)
            self._next_by_told = time.monotonic() + min(_share(self._told, tokens), MINUTE)
            yield
        finally:
            self._running -= 1
            self._freed.set()

    async def wait(self, seconds: float, why: str = _ASKS) -> None:
        """Wait, and say so where it is long."""
        until = time.monotonic() + seconds
        if seconds >= LONG_WAIT and until > self._said_until + LONG_WAIT:
            self._said_until = until
            self._say(seconds, why)
        await asyncio.sleep(seconds)

    async def _keep_apart(self, seconds: float) -> None:
        """Wait between two calls, as limits per minute want it."""
        if seconds >= max(LONG_WAIT, _LONGER * self._said_space):
            self._said_space = seconds
            by_told = self._next_by_told >= self._next_by_own
            limits = "the server's limits are" if by_told else "--rpm or --tpm is"
            self._say(seconds, f"{limits} so many calls or tokens a minute")
        await asyncio.sleep(seconds)

    def heard(self, headers: Mapping[str, str]) -> None:
        """Learn the server's limits, and wait where they are used up. Numbers that cannot be are passed over.

        A limit per minute that is less than one call takes cannot be: the server would answer none.
        """
        for kind, least in (("requests", 1.0), ("tokens", self._most_tokens)):
            told = _number(headers.get(f"x-ratelimit-limit-{kind}"))
            if told is not None and told >= max(least, 1.0):
                self._told[kind] = told
            if _number(headers.get(f"x-ratelimit-remaining-{kind}")) == 0:
                self.pause(_duration(headers.get(f"x-ratelimit-reset-{kind}", "")))

    def answered(self, tokens_more: float) -> None:
        """A call was answered, and took so many tokens more than expected (fewer: negative)."""
        self._next_by_own += math.copysign(_share(self._own, abs(tokens_more), requests=0), tokens_more)
        self._next_by_told += math.copysign(_share(self._told, abs(tokens_more), requests=0), tokens_more)
        self._next_by_told = min(self._next_by_told, time.monotonic() + MINUTE)
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
        """Send nothing for so long, since the server asks for it."""
        self._paused_until = max(self._paused_until, time.monotonic() + min(seconds, self._longest_wait))


def _share(limits: Mapping[str, float | None], tokens: float, requests: float = 1.0) -> float:
    """The part of a minute's allowances that a call uses, as time."""
    amounts = {"requests": requests, "tokens": tokens}
    return max(amounts[kind] * MINUTE / limit if limit else 0.0 for kind, limit in limits.items())


def _number(text: str | None) -> float | None:
    """A finite number of a header."""
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None


def _duration(text: str) -> float:
    """Seconds of ``1s``, ``6m0s``, ``120ms`` or ``2.5``; 0 for what is none."""
    plain = _number(text)
    if plain is not None:
        return plain
    parts = re.findall(r"([\d.]+)(ms|s|m|h|d)", text)
    return sum((_number(number) or 0.0) * _UNITS[unit] for number, unit in parts)
