"""``headscribe describe --dry-run``: what a run would ask, cost and take. Asks nobody and changes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.errors import CatalogueError, InputError
from describe.pipeline.by_role import split_already
from describe.pipeline.common import find, find_model
from describe.pipeline.describing import llm_method, load_prompt
from describe.pipeline.limits import Batching, Limits, check_batch
from describe.pipeline.stating import material
from describe.pipeline.work import unfinished
from describe.records import HeadId, ModelInfo, parse_heads

if TYPE_CHECKING:
    from describe.llm import LLM, Price, Request

__all__ = ["Plan", "plan", "prompt_of"]

TYPICAL_REPLY, TYPICAL_SECONDS = 300.0, 5.0
"""Tokens of a reply and seconds until it comes, where the ledger has no call to this LLM yet."""

DAY = 24 * 3600.0
"""Seconds that a server has for a batch."""


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes:
        heads: the heads to be described.
        prompts: what would be asked of those that are in the catalogue; of the others, an average is assumed.
        tokens_in, tokens_out: of all heads together.
        price: None when it is not known, and then ``money``, US dollars, is too.
        seconds: by the rate limits and the concurrency given.
        batch: through the Batch API, at half the price; the server takes up to `DAY`, whatever the limits.
        in_batches: heads that wait in a batch already.
        counted: the endpoint's own tokenizer counted the prompts; otherwise tokens in are characters / 4.
        experience: tokens and seconds of a reply are from calls to this LLM in the ledger, not assumed.
    """

    model: ModelInfo
    heads: list[HeadId]
    prompts: dict[HeadId, str]
    tokens_in: int
    tokens_out: int
    price: Price | None
    money: float | None
    seconds: float
    counted: bool
    experience: bool
    batch: bool = False
    in_batches: int = 0


def plan(
    catalogue: Catalogue,
    model: str,
    llm: LLM,
    *,
    request: Request,
    heads: str = "all",
    prompt: str | None = None,
    roles: bool = False,
    concurrency: int = 8,
    limits: Limits | None = None,
    batch: Batching | None = None,
    retry_failed: bool = False,
) -> Plan:
    """What `describe` would do with these arguments, by the heads of the newest extraction.

    Raises `InputError` as `describe` does, and when no head of the model is in the catalogue yet.
    """

    if llm.provider == "statistics":
        raise InputError("--llm statistics asks nobody and costs nothing: there is nothing to try dry")
    limits = limits or Limits()
    template, settings = llm_method(llm, request, prompt)
    check_batch(llm, template, batch is not None)
    price = limits.purse(llm, batch=batch is not None).price
    info, extraction_id = find(catalogue, model)
    load, depends = material(catalogue, model, extraction_id, template, keep=False)
    settings |= depends
    labeller = catalogue.find_labeller(str(llm), template.name, template.text, settings)
    outcomes = {} if labeller is None else catalogue.described_heads(extraction_id, labeller)
    batches = [] if labeller is None else catalogue.batches.unfinished(extraction_id, labeller)
    in_batches = {waiting.head for found in batches for waiting in found.waiting.values()}
    wanted = parse_heads(heads, info.n_layers, info.n_heads)
    if roles:
        wanted, load = split_already(catalogue, extraction_id, template, load, wanted)
    pending = [head for head in unfinished(wanted, outcomes, retry_failed) if head not in in_batches]
    saved = catalogue.saved_heads(extraction_id)
    if not saved:
        raise CatalogueError(f"no head of {info.name} is in the catalogue yet: run headscribe extract {model}")
    prompts = {head: template.render(load(head)) for head in pending if head._replace(role=0) in saved}
    measured = list(prompts.values()) or [template.render(load(min(saved)))]
    mean_in, counted = _tokens_in(llm, measured)
    reply, latency = _experience(catalogue, model, llm) or (TYPICAL_REPLY, TYPICAL_SECONDS)
    tokens_in, tokens_out = round(len(pending) * mean_in), round(len(pending) * min(reply, request.max_tokens))
    return Plan(
        model=info,
        heads=pending,
        prompts=prompts,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        price=price,
        money=price.of(tokens_in, tokens_out) if price else None,
        seconds=DAY if batch else _seconds(len(pending), tokens_in + tokens_out, latency / concurrency, limits),
        counted=counted,
        experience=(reply, latency) != (TYPICAL_REPLY, TYPICAL_SECONDS),
        batch=batch is not None,
        in_batches=len(in_batches),
    )


def prompt_of(catalogue: Catalogue, model: str, head: HeadId, prompt: str | None = None) -> dict[str, Any]:
    """What would be asked about one head, of whatever LLM: ``prompt`` (the template), ``mode``, ``text``, ``schema``.

    The text is the one message of a chat whose reply is to follow the schema, or is to be gone on with, and then there
    is no schema. Changes nothing. Raises `InputError` when the head or the template cannot be used.
    """
    from describe.labelling import ANSWER_SCHEMA

    template = load_prompt(prompt)
    info, extraction_id = find(catalogue, model)
    parse_heads(str(head), info.n_layers, info.n_heads)
    load, _ = material(catalogue, model, extraction_id, template, keep=False)
    return {
        "prompt": template.name,
        "mode": "completion" if template.completion else "chat",
        "text": template.render(load(head)),
        "schema": None if template.completion else ANSWER_SCHEMA,
    }


def _tokens_in(llm: LLM, prompts: list[str]) -> tuple[float, bool]:
    """The mean tokens of a request with such a prompt, and whether the endpoint's own tokenizer counted them."""
    from describe.labelling import ANSWER_SCHEMA
    from describe.llm import estimated_tokens, tokens_per_character

    texts = [prompt + json.dumps(ANSWER_SCHEMA) for prompt in prompts]
    counted = tokens_per_character(llm, texts)
    if counted is None:
        return sum(map(estimated_tokens, texts)) / len(texts), False
    return counted * sum(map(len, texts)) / len(texts), True


def _experience(catalogue: Catalogue, model: str, llm: LLM) -> tuple[float, float] | None:
    """The mean tokens of a reply and the mean seconds until it came, of calls to an LLM about this model's heads."""
    model_id, _ = find_model(catalogue, model)
    good = [row for row in catalogue.ledger.summary(model_id) if row["llm"] == str(llm) and row["outcome"] == "ok"]
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
