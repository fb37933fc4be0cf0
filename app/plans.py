"""Estimates that ``--dry-run`` shows of tokens, money and time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from describe.pipeline.llm_stage.estimate import Expected

__all__ = ["NOTHING_DONE", "amounts", "expected_json", "sums", "waiting"]

NOTHING_DONE = "No LLM was asked, nothing was changed."


_PRICE = ("tokens_in", "tokens_out", "source")


def amounts(found: Expected) -> str:
    """Estimates of calls, in lines."""
    source = "as calls to this LLM took" if found.experience else "assumed"
    money = "not known: give --price-in and --price-out"
    if found.price is not None:
        rates = f"${found.price.tokens_in:g} in, ${found.price.tokens_out:g} out per million tokens"
        money = f"about ${found.money:.4f} ({rates}: {found.price.source})"
    time = f"about {timedelta(seconds=round(found.seconds))} (seconds of a reply {source})"
    if found.batch:
        time = f"up to {found.seconds / 3600:.0f} hours (a batch)"
    return (
        f"tokens   about {found.tokens_in:,} in and {found.tokens_out:,} out"
        f" (in {'by the tokenizer of the endpoint' if found.counted else 'estimated: characters / 4'}, out {source})\n"
        f"money    {money}\n"
        f"time     {time}"
    )


def sums(plans: Sequence[Expected]) -> dict[str, float | None]:
    """Calls, tokens, US dollars (None: not all are known) and seconds of several plans together."""
    moneys = [found.money for found in plans if found.money is not None]
    return {
        "calls": sum(found.calls for found in plans),
        "tokens_in": sum(found.tokens_in for found in plans),
        "tokens_out": sum(found.tokens_out for found in plans),
        "money": sum(moneys) if len(moneys) == len(plans) else None,
        "seconds": sum(found.seconds for found in plans),
    }


def waiting(found: Expected) -> str:
    """How many wait in batches already, in parentheses; empty where none do."""
    return f" ({found.in_batches} more wait in batches)" if found.in_batches else ""


def expected_json(found: Expected) -> dict[str, Any]:
    """Estimates as JSON."""
    return {
        "calls": found.calls,
        "tokens_in": found.tokens_in,
        "tokens_out": found.tokens_out,
        "tokens_in_counted": found.counted,
        "price": {name: getattr(found.price, name) for name in _PRICE} if found.price else None,
        "money": found.money,
        "seconds": found.seconds,
        "batch": found.batch,
        "in_batches": found.in_batches,
    }
