"""``headscribe stability --dry-run``: what an LLM that compares would be asked, cost and take. Asks nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.pipeline.llm_stage.estimate import Expected, expect, questions, to_ask
from describe.pipeline.llm_stage.limits import Batching, Limits, Terms
from describe.pipeline.stability import to_compare
from describe.pipeline.stability_by_llm import Comparing
from describe.records import ModelInfo

if TYPE_CHECKING:
    from describe.llm import LLM, Request

__all__ = ["StabilityPlan", "plan_stability"]

REPLY = 30.0
"""Tokens of a reply with one probability."""


@dataclass(frozen=True)
class StabilityPlan(Expected):
    """Comparisons that an LLM would be asked for: the descriptions of which heads or roles, and in which prompts."""

    model: ModelInfo
    heads: list[str]
    prompts: list[str]


def plan_stability(
    catalogue: Catalogue,
    model: str,
    judge: LLM | None,
    *,
    request: Request,
    template: str | None = None,
    heads: str = "all",
    reading: str | None = None,
    concurrency: int = 8,
    limits: Limits | None = None,
    batch: Batching | None = None,
    retry_failed: bool = False,
) -> StabilityPlan:
    """The plan of `stability` with these arguments. Raises as it does, and where it would ask no LLM."""
    if judge is None or not judge.kind.asks:
        raise InputError("only an LLM as --judge is asked and costs anything: there is nothing to try dry")
    found = to_compare(catalogue, model, heads, reading)
    terms = Terms(concurrency, limits or Limits(), batch, retry_failed=retry_failed)
    comparing = Comparing(catalogue, found.extraction_id, found.said, found.groups, judge, request, template, terms)
    tasks = comparing.tasks(found.asked, keep=False)
    pending, in_batches = to_ask(comparing.stage, tasks)
    asked = [question for place, unit in pending for question in questions(tasks[place], unit)]
    expected = expect(comparing.stage, model, asked, in_batches=in_batches, reply=REPLY, of_template=True)
    units = [str(unit) for _, unit in pending]
    return StabilityPlan(**vars(expected), model=found.model, heads=units, prompts=[one.prompt for one in asked])
