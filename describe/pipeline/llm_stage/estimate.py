"""Estimates of the tasks of an LLM stage before anyone is asked: tokens, money, time. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from describe.pipeline.common import find_model
from describe.pipeline.llm_stage.limits import Limits
from describe.pipeline.llm_stage.run import LLMStage
from describe.pipeline.llm_stage.task import Task
from describe.records import HeadId

if TYPE_CHECKING:
    from describe.labelling import Question
    from describe.llm import LLM, Price

__all__ = ["Expected", "expect", "questions", "to_ask"]

TYPICAL_REPLY, TYPICAL_SECONDS = 300.0, 5.0
"""Tokens of a reply and seconds until it comes, where the ledger has no call to this LLM yet."""

DAY = 24 * 3600.0
"""Seconds that a server has for a batch."""


@dataclass(frozen=True)
class Expected:
    """The estimate of so many ``calls``.

    Attributes:
        tokens_in, tokens_out: of all calls together.
        price: None when it is not known, and then ``money``, US dollars, is too.
        seconds: by the rate limits and the concurrency given.
        batch: through the Batch API, at half the price; the server takes up to `DAY`, whatever the limits.
        in_batches: heads or roles that wait in a batch already, and are not counted.
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
    in_batches: int


def to_ask(stage: LLMStage, tasks: Sequence[Task[Any]]) -> tuple[list[tuple[int, HeadId]], int]:
    """The questions of a run, by the task's place and the head or role; and how many wait in batches already."""
    pending: list[tuple[int, HeadId]] = []
    in_batches = 0
    for place, record in enumerate(stage.records(tasks)):
        waiting = record.waiting
        in_batches += len(waiting)
        pending += [(place, unit) for unit in record.pending if unit not in waiting]
    return pending, in_batches


def questions(task: Task[Any], unit: HeadId) -> list[Question[Any]]:
    """All that is asked about a head or role, whatever the answers are."""
    from describe.labelling import run_ahead

    found: list[Question[Any]] = []
    run_ahead(task.inquire(unit), found.append)
    return found


def expect(
    stage: LLMStage,
    model: str,
    asked: Sequence[Question[Any]],
    *,
    calls: int | None = None,
    in_batches: int = 0,
    reply: float = TYPICAL_REPLY,
    of_template: bool = False,
) -> Expected:
    """The estimate of these questions.

    Args:
        calls: how many there are, where not all can be put yet; these then stand for all.
        reply: tokens of a reply where the ledger has no call to this LLM.
        of_template: by calls with the stage's template alone.
    """
    calls = len(asked) if calls is None else calls
    limits, price = stage.terms.limits, stage.purse.price
    mean_in, counted = _tokens_in(stage.llm, asked)
    known = _experience(stage, model, stage.template.hash if of_template else None)
    reply, latency = known or (reply, TYPICAL_SECONDS)
    mean_out = min(reply, stage.request.max_tokens)
    apart = latency / stage.terms.concurrency
    batch = stage.terms.batch is not None
    return Expected(
        calls=calls,
        tokens_in=round(calls * mean_in),
        tokens_out=round(calls * mean_out),
        price=price,
        money=calls * price.of(mean_in, mean_out) if price else None,
        seconds=DAY if batch else _seconds(calls, round(calls * (mean_in + mean_out)), apart, limits),
        counted=counted,
        experience=known is not None,
        batch=batch,
        in_batches=in_batches,
    )


def _tokens_in(llm: LLM, asked: Sequence[Question[Any]]) -> tuple[float, bool]:
    """The mean tokens of such a request, and whether the endpoint's own tokenizer counted them."""
    from describe.llm import estimated_tokens, tokens_per_character

    if not asked:
        return 0.0, False
    texts = [one.prompt + (json.dumps(one.form) if isinstance(one.form, dict) else "") for one in asked]
    counted = tokens_per_character(llm, texts)
    if counted is None:
        return sum(map(estimated_tokens, texts)) / len(texts), False
    return counted * sum(map(len, texts)) / len(texts), True


def _experience(stage: LLMStage, model: str, template_hash: str | None) -> tuple[float, float] | None:
    """The mean tokens of a reply and the mean seconds until it came, of calls to an LLM about this model's heads."""
    model_id, _ = find_model(stage.catalogue, model)
    summary = stage.catalogue.ledger.summary(model_id, template_hash)
    good = [row for row in summary if row["llm"] == str(stage.llm) and row["outcome"] == "ok"]
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
