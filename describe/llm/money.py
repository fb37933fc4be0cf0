"""What calls cost: prices, estimates of tokens, and a purse that is never overdrawn."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from describe.errors import InputError, RunEndedError
from describe.llm.spec import LLM

__all__ = ["Price", "Purse", "estimated_tokens", "find_price", "most_tokens"]

PER = 1_000_000
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens, and where that is known from."""

    tokens_in: float
    tokens_out: float
    source: str

    def of(self, tokens_in: float, tokens_out: float) -> float:
        """US dollars for so many tokens."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / PER

    def in_batch(self) -> Price:
        """The same for requests that wait for a batch: half."""
        return Price(self.tokens_in / 2, self.tokens_out / 2, f"{self.source}; half of it in a batch")


def find_price(
    llm: LLM, endpoint: str | None, price_in: float | None = None, price_out: float | None = None
) -> Price | None:
    """The price of an LLM's tokens: as given, of a file on this machine nothing, or by our table; None if not known.

    Args:
        endpoint: None for OpenAI's own; the table speaks of no other.
        price_in, price_out: US dollars per million tokens, before the table's.

    Raises `InputError` when only one of the prices is given and the table does not have the other.
    """
    known = _table_price(llm, endpoint)
    if price_in is None and price_out is None:
        return known
    if known is None and (price_in is None or price_out is None):
        raise InputError(f"the price of {llm} is not known: give both --price-in and --price-out")
    return Price(
        price_in if price_in is not None else known.tokens_in if known else 0.0,
        price_out if price_out is not None else known.tokens_out if known else 0.0,
        "as given",
    )


def _table_price(llm: LLM, endpoint: str | None) -> Price | None:
    if llm.provider == "gguf":
        return Price(0.0, 0.0, "a file on this machine")
    table = _table()
    found = table["prices"].get(llm.model) if endpoint is None else None
    return Price(found[0], found[1], f"our table of {table['date']}; prices change, check them") if found else None


@lru_cache(maxsize=1)
def _table() -> Any:
    return json.loads((resources.files("describe.llm") / "prices.json").read_text(encoding="utf-8"))


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has: a quarter of its characters."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def most_tokens(text: str) -> int:
    """The most tokens a text can have: no byte-level tokenizer makes more of them than there are bytes."""
    return len(text.encode("utf-8", "backslashreplace"))


class Purse:
    """The money of a run: calls reserve the most that they can cost, and settle for what they did cost.

    Args:
        price: None when it is not known; then calls cost nothing that can be counted.
        budget: US dollars; None for no limit.

    Raises `InputError` for a budget without a price.
    """

    def __init__(self, price: Price | None = None, budget: float | None = None) -> None:
        if budget is not None and price is None:
            raise InputError(
                "--budget needs a price: give --price-in and --price-out, in US dollars per million tokens"
            )
        self.price = price
        self.spent = 0.0
        self._budget = budget
        self._reserved = 0.0
        self._in_flight = 0
        self._settled = asyncio.Event()

    def cost(self, tokens_in: int | None, tokens_out: int | None) -> float | None:
        """US dollars of a call; None where tokens or price are not known."""
        if self.price is None or tokens_in is None or tokens_out is None:
            return None
        return self.price.of(tokens_in, tokens_out)

    def most(self, tokens_in: int, tokens_out: int) -> float:
        """US dollars that a call of so many tokens can cost at most; 0 where no price is known."""
        return self.price.of(tokens_in, tokens_out) if self.price else 0.0

    def has(self, most: float) -> bool:
        """Whether so much can still be set aside."""
        return self._budget is None or self.spent + self._reserved + most <= self._budget

    def set_aside(self, most: float) -> None:
        """Set aside what a call can cost at most, to be given to `settle`."""
        self._reserved += most
        self._in_flight += 1

    def exhausted(self, most: float) -> RunEndedError:
        """Why the run must end before a call that can cost so much."""
        return RunEndedError(
            f"the next call could pass the budget of ${self._budget:g}: ${self.spent:.4f} spent,"
            f" it may cost ${most:.4f}"
        )

    async def reserve(self, tokens_in: int, tokens_out: int) -> float:
        """Set aside what a call can cost at most; waits for calls in flight to settle where that makes room.

        Returns the US dollars set aside, to be given to `settle`. Raises `RunEndedError` when the budget is used up.
        """
        most = self.most(tokens_in, tokens_out)
        while not self.has(most):
            if not self._in_flight:
                raise self.exhausted(most)
            self._settled.clear()
            await self._settled.wait()
        self.set_aside(most)
        return most

    def settle(self, reserved: float, cost: float) -> None:
        """Give back what was set aside for a call, and take what it cost."""
        self._reserved -= reserved
        self._in_flight -= 1
        self.spent += cost
        self._settled.set()
