"""What calls to an LLM will take before any is made: tokens, money, time. Asks nobody and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.pipeline.common import find_model
from describe.pipeline.llm_stage.limits import Limits

if TYPE_CHECKING:
    from describe.labelling import Inquiry
    from describe.llm import LLM, Form, Price

__all__ = ["Expected", "expect", "questions"]

TYPICAL_REPLY, TYPICAL_SECONDS = 300.0, 5.0
"""Tokens of a reply and seconds until it comes, where the ledger has no call to this LLM yet."""

DAY = 24 * 3600.0
"""Seconds that a server has for a batch."""


@dataclass(frozen=True)
class Expected:
    """What so many ``calls`` will take.

    Attributes:
        tokens_in, tokens_out: of all calls together.
        price: None when it is not known, and then ``money``, US dollars, is too.
        seconds: by the rate limits and the concurrency given.
        batch: through the Batch API, at half the price; the server takes up to `DAY`, whatever the limits.
        counted: the endpoint's own tokenizer counted the prompts; otherwise tokens in are characters / 4.
        experience: tokens and seconds of a reply are from calls to this LLM in the ledger, not assumed.
    """

    calls: int
    tokens_in: int
    tokens_out: int
    price: Price | None
    money: float | None
    seconds: float
    counted: bool
    experience: bool
    batch: bool


def expect(
    catalogue: Catalogue,
    model: str,
    llm: LLM,
    prompts: Sequence[str],
    calls: int,
    *,
    form: Form,
    max_tokens: int,
    concurrency: int,
    limits: Limits,
    batch: bool = False,
    reply: float = TYPICAL_REPLY,
    template_hash: str | None = None,
) -> Expected:
    """What ``calls`` with prompts such as these will take; ``form``: of the replies, sent with each.

    ``reply``: tokens of a reply where the ledger has no call to this LLM, with this template if one is given.
    """
    price = limits.purse(llm, batch=batch).price
    mean_in, counted = _tokens_in(llm, prompts, form)
    known = _experience(catalogue, model, llm, template_hash)
    reply, latency = known or (reply, TYPICAL_SECONDS)
    tokens_in, tokens_out = round(calls * mean_in), round(calls * min(reply, max_tokens))
    return Expected(
        calls=calls,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        price=price,
        money=price.of(tokens_in, tokens_out) if price else None,
        seconds=DAY if batch else _seconds(calls, tokens_in + tokens_out, latency / concurrency, limits),
        counted=counted,
        experience=known is not None,
        batch=batch,
    )


def questions(inquiry: Inquiry[Any]) -> list[Any]:
    """All questions of a judge's inquiry, were each answered with "it may be or not"."""
    from describe.scoring import Judgement

    found: list[Any] = []
    answer = None
    while True:
        try:
            question = inquiry.send(answer)
        except StopIteration:
            return found
        found.append(question)
        answer = Judgement((0.5,) * getattr(question, "n", 2))


def _tokens_in(llm: LLM, prompts: Sequence[str], form: Form) -> tuple[float, bool]:
    """The mean tokens of a request with such a prompt, and whether the endpoint's own tokenizer counted them."""
    from describe.llm import estimated_tokens, tokens_per_character

    if not prompts:
        return 0.0, False
    sent = json.dumps(form) if isinstance(form, dict) else ""
    texts = [prompt + sent for prompt in prompts]
    counted = tokens_per_character(llm, texts)
    if counted is None:
        return sum(map(estimated_tokens, texts)) / len(texts), False
    return counted * sum(map(len, texts)) / len(texts), True


def _experience(catalogue: Catalogue, model: str, llm: LLM, template_hash: str | None) -> tuple[float, float] | None:
    """The mean tokens of a reply and the mean seconds until it came, of calls to an LLM about this model's heads."""
    model_id, _ = find_model(catalogue, model)
    summary = catalogue.ledger.summary(model_id, template_hash)
    good = [row for row in summary if row["llm"] == str(llm) and row["outcome"] == "ok"]
    calls = sum(row["calls"] for row in good)
    if not calls:
        return None
    direct = [row for row in good if not row["batch"]]  # a batch's time is the server's to choose
    answered = sum(row["calls"] for row in direct)
    seconds = sum(row["mean_seconds"] * row["calls"] for row in direct)
    return sum(row["tokens_out"] for row in good) / calls, seconds / answered if answered else TYPICAL_SECONDS


def _seconds(calls: int, tokens: int, apart: float, limits: Limits) -> float:
    """How long so many calls take: by seconds between replies, or by the limits per minute, whichever is slower."""
    by_requests = 60 * calls / limits.rpm if limits.rpm else 0.0
    by_tokens = 60 * tokens / limits.tpm if limits.tpm else 0.0
    return max(calls * apart, by_requests, by_tokens)
