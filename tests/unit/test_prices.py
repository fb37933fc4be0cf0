"""Prices: as listed by genai-prices, offline, for real counts of tokens; as given where given; or not known."""

from __future__ import annotations

import subprocess
import sys

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TieredPrices

from describe.errors import InputError
from describe.llm import Purse, find_price, parse_llm
from describe.llm.money import LONG


def listed(model: str, **tokens: int) -> float:
    return float(calc_price(Usage(**tokens), model, provider_id="openai").total_price)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-5", "gpt-5.4", "o3"])
def test_a_listed_price_is_that_of_the_list_for_real_counts(model: str) -> None:
    price = find_price(parse_llm(f"openai:{model}"), None)
    assert price is not None
    for given, out, cached in ((1, 0, 0), (1234, 567, 0), (1234, 567, 1000), (1234, 0, 1234), (LONG, 9, 0)):
        expected = listed(model, input_tokens=given, output_tokens=out, cache_read_tokens=cached)
        assert price.of(given, out, cached) == pytest.approx(expected, rel=1e-9)
        assert price.in_batch().of(given, out, cached) == pytest.approx(expected / 2, rel=1e-9)
    long = listed(model, input_tokens=900_000, output_tokens=10)
    assert price.of(900_000, 10) == pytest.approx(long)
    assert price.in_batch().of(900_000, 10) == pytest.approx(long / 2)
    assert price.source.startswith("genai-prices ")


def test_a_budget_counts_what_is_charged() -> None:
    price = find_price(parse_llm("openai:gpt-4o-mini"), None)
    purse = Purse(price, 1.0)
    assert (purse.price.tokens_in, purse.price.tokens_out) == (0.15, 0.6)  # type: ignore[union-attr]
    assert purse.cost(1_000_000, 1_000_000) == pytest.approx(
        listed("gpt-4o-mini", input_tokens=1_000_000, output_tokens=1_000_000)
    )
    assert purse.cost(1000, 0, 1000) == pytest.approx(0.5 * purse.cost(1000, 0))  # type: ignore[operator]
    assert purse.cost(1000, 0, -5) == purse.cost(1000, 0), "odd counts of cached tokens make nothing cheaper than free"
    assert purse.cost(1000, 0, 10**9) == purse.cost(1000, 0, 1000)
    assert purse.cost(None, 5) is None


def test_long_prompts_begin_below_every_step_of_the_list() -> None:
    (openai,) = (provider for provider in get_snapshot().providers if provider.id == "openai")
    steps = [
        tier.start
        for model in openai.models
        for dated in (model.prices if isinstance(model.prices, list) else [model])
        for price in vars(dated.prices).values()
        if isinstance(price, TieredPrices)
        for tier in price.tiers
    ]
    assert steps
    assert min(steps) > LONG


@pytest.mark.parametrize(
    "model", ["no-such-model", "gpt-4o-made-up", "whisper-1", "text-embedding-3-small", "\0" * 9, "x" * 9999]
)
def test_what_is_not_listed_by_the_token_is_not_known(model: str) -> None:
    llm = parse_llm(f"openai:{model}")
    assert find_price(llm, None) is None
    with pytest.raises(InputError, match="is not known: give both --price-in and --price-out"):
        find_price(llm, None, price_in=1.0)
    with pytest.raises(InputError, match="--budget needs a price"):
        Purse(None, 1.0)


def test_other_endpoints_have_no_listed_price_and_given_ones_win() -> None:
    llm = parse_llm("openai:gpt-4o-mini")
    assert find_price(llm, "http://127.0.0.1:8000/v1") is None
    given = find_price(llm, None, price_out=7.0)
    assert given is not None
    assert (given.tokens_in, given.tokens_out, given.source) == (0.15, 7.0, "as given")
    assert given.of(1_000_000, 0, 1_000_000) == pytest.approx(0.15), "of cached tokens nothing was given"
    free = find_price(parse_llm("gguf:demo"), None)
    assert free is not None
    assert free.of(5, 5) == 0


def test_nothing_is_fetched() -> None:
    code = (
        "import socket, threading\n"
        "def refuse(*_): raise AssertionError('the network was asked')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from describe.llm import find_price, parse_llm\n"
        "assert find_price(parse_llm('openai:gpt-5-mini'), None).of(1000, 1000) > 0\n"
        "assert threading.active_count() == 1"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
