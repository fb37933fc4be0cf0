"""``headscribe stability --dry-run``: what an LLM that compares would be asked, cost and take. Asks nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.pipeline.llm_stage.estimate import Expected, expect, questions
from describe.pipeline.llm_stage.limits import Limits
from describe.pipeline.stability import to_compare
from describe.pipeline.stability_by_llm import comparing
from describe.records import ModelInfo

if TYPE_CHECKING:
    from describe.llm import LLM, Request

__all__ = ["StabilityPlan", "plan_stability"]

REPLY = 30.0
"""Tokens of a reply with one probability."""


@dataclass(frozen=True)
class StabilityPlan(Expected):
    """What an LLM would be asked to compare: the descriptions of which heads or roles, and in which prompts."""

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
    concurrency: int = 8,
    limits: Limits | None = None,
    retry_failed: bool = False,
) -> StabilityPlan:
    """What `stability` would do with these arguments. Raises as it does, and where it would ask no LLM."""
    if judge is None or judge.provider == "statistics":
        raise InputError("only an LLM as --judge is asked and costs anything: there is nothing to try dry")
    limits = limits or Limits()
    result, said, several = to_compare(catalogue, model, heads)
    run, parts = comparing(
        catalogue, result.extraction_id, said, several, judge, request, template, limits, retry_failed, keep=False
    )
    asked = [(unit, questions(part.inquire(unit))) for _, part in parts for unit in part.pending]
    found = [question for _, of_unit in asked for question in of_unit]
    expected = expect(
        catalogue,
        model,
        judge,
        [question.prompt for question in found],
        len(found),
        form=found[0].form if found else None,
        max_tokens=request.max_tokens,
        concurrency=concurrency,
        limits=limits,
        reply=REPLY,
        template_hash=run.template.hash,
    )
    units = [str(unit) for unit, _ in asked]
    return StabilityPlan(**vars(expected), model=result.model, heads=units, prompts=[one.prompt for one in found])
