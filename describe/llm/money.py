"""The cost of calls: prices, estimates of tokens, and a purse that is never overdrawn."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version

from describe.errors import InputError, RunEndedError
from describe.llm.spec import LLM

__all__ = ["Price", "Purse", "estimated_tokens", "find_price", "most_tokens"]

PER = 1_000_000
CHARACTERS_PER_TOKEN = 4

LONG = 100_000
"""Up to so many tokens no listed model's prompts cost more each; beyond, the list is asked of every call."""

AT_ONCE = 1000
"""Tokens whose price is looked up, so that it has no rounding in it."""


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens, and where that is known from.

    Attributes:
        tokens_cached: of prompts, or beginnings of them, that the server still had; None: as any others.
        listed: provider and model in genai-prices, which knows what long prompts cost; None where it was not asked.
        share: of the listed price that is paid.
    """

    tokens_in: float
    tokens_out: float
    source: str
    tokens_cached: float | None = None
    listed: tuple[str, str] | None = None
    share: float = 1.0

    def of(self, tokens_in: float, tokens_out: float, tokens_cached: float = 0) -> float:
        """US dollars of one call with so many tokens, or so many in the mean; cached ones are of ``tokens_in``."""
        cached = min(max(tokens_cached, 0), tokens_in)
        if self.listed is not None and tokens_in > LONG:
            return self.share * _listed(*self.listed, input_tokens=round(tokens_in), output_tokens=round(tokens_out))
        rate = self.tokens_in if self.tokens_cached is None else self.tokens_cached
        return ((tokens_in - cached) * self.tokens_in + cached * rate + tokens_out * self.tokens_out) / PER

    def in_batch(self) -> Price:
        """Prices of requests that wait for a batch: half."""
        return replace(
            self,
            tokens_in=self.tokens_in / 2,
            tokens_out=self.tokens_out / 2,
            tokens_cached=None if self.tokens_cached is None else self.tokens_cached / 2,
            share=self.share / 2,
            source=f"{self.source}; half of it in a batch",
        )


def find_price(
    llm: LLM, endpoint: str | None, price_in: float | None = None, price_out: float | None = None
) -> Price | None:
    """The price of an LLM's tokens: as given, of a file on this machine nothing, or as listed; None if not known.

    Args:
        endpoint: None for the provider's own; the list speaks of no other.
        price_in, price_out: US dollars per million tokens, before the list's.

    Raises `InputError` when only one of the prices is given and the list does not have the other.
    """
    known = _known_price(llm, endpoint)
    if price_in is None and price_out is None:
        return known
    if known is None and (price_in is None or price_out is None):
        raise InputError(f"the price of {llm} is not known: give both --price-in and --price-out")
    return Price(
        price_in if price_in is not None else known.tokens_in if known else 0.0,
        price_out if price_out is not None else known.tokens_out if known else 0.0,
        "as given",
    )


def _known_price(llm: LLM, endpoint: str | None) -> Price | None:
    if not llm.kind.paid:
        return Price(0.0, 0.0, "a file on this machine")
    return _listed_price(llm.provider, llm.model) if endpoint is None else None


@lru_cache(maxsize=64)
def _listed_price(provider: str, model: str) -> Price | None:
    """Prices that genai-prices has of a model at its provider's own endpoint, from the list inside the package."""
    try:
        rates = [_listed(provider, model, **{side: AT_ONCE}) for side in ("input_tokens", "output_tokens")]
        cached = _listed(provider, model, input_tokens=AT_ONCE, cache_read_tokens=AT_ONCE)
    except LookupError:
        return None
    if not all(rates):  # sold by the minute or by the picture: of tokens, nothing is known
        return None
    per_million = PER / AT_ONCE
    source = f"genai-prices {version('genai-prices')}; prices change, check them"
    return Price(rates[0] * per_million, rates[1] * per_million, source, cached * per_million, (provider, model))


def _listed(provider: str, model: str, **tokens: int) -> float:
    """US dollars of one call by the list. Raises LookupError for a model that it does not have."""
    from genai_prices import Usage, calc_price

    return float(calc_price(Usage(**tokens), model, provider_id=provider).total_price)


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

    def cost(self, tokens_in: int | None, tokens_out: int | None, tokens_cached: int | None = None) -> float | None:
        """US dollars of a call; None where tokens or price are not known."""
        if self.price is None or tokens_in is None or tokens_out is None:
            return None
        return self.price.of(tokens_in, tokens_out, tokens_cached or 0)

    def most(self, tokens_in: int, tokens_out: int) -> float:
        """US dollars that a call of so many tokens can cost at most; 0 where no price is known."""
        return self.price.of(tokens_in, tokens_out) if self.price else 0.0

    def has(self, most: float) -> bool:
        """Whether so much can still be set aside."""
        return self._budget is None or self.spent + self._reserved + most <= self._budget

    @property
    def reserved(self) -> float:
        """US dollars set aside for what is under way, or waits at the server."""
        return self._reserved

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
        self.spent += max(cost, 0.0)
        self._settled.set()
