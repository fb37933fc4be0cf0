"""``headscribe score --dry-run``: what judging would ask, cost and take. Asks nobody and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.pipeline.llm_stage.estimate import Expected, expect, questions
from describe.pipeline.llm_stage.limits import Limits
from describe.pipeline.scores import Measure, judging
from describe.records import ModelInfo

if TYPE_CHECKING:
    from describe.llm import LLM, Request

__all__ = ["ScorePlan", "plan_scores"]

REPLY = {"detection": 600.0, "likelihood": 1.0}
"""Tokens of a reply with the probabilities of 40 rows, and of a letter."""


@dataclass(frozen=True)
class ScorePlan(Expected):
    """What a judge would be asked: about which descriptions, by head and author, and in which prompts.

    Attributes:
        no_rows: how many of these descriptions too few rows are left for; nothing is asked about them.
    """

    model: ModelInfo
    descriptions: list[str]
    no_rows: int
    prompts: list[str]


def plan_scores(
    catalogue: Catalogue,
    model: str,
    judge: LLM,
    *,
    request: Request,
    heads: str = "all",
    llm: str | None = None,
    prompt: str | None = None,
    template: str | None = None,
    measure: Measure = "detection",
    concurrency: int = 8,
    limits: Limits | None = None,
    retry_failed: bool = False,
) -> ScorePlan:
    """What `score` would do with these arguments. Raises as it does, and where the judge is ``statistics``."""
    if judge.provider == "statistics":
        raise InputError("--judge statistics asks nobody and costs nothing: there is nothing to try dry")
    limits = limits or Limits()
    run, parts = judging(
        catalogue, model, judge, request, heads, llm, prompt, template, measure, limits, retry_failed, keep=False
    )
    descriptions, prompts, no_rows, form = [], [], 0, None
    for part in parts:
        for unit in part.pending:
            asked = questions(part.inquire(unit))
            prompts += [question.prompt for question in asked]
            no_rows += not asked
            form = asked[0].form if asked else form
            descriptions.append(f"{unit} by {part.trials.told[unit].llm}")
    expected = expect(
        catalogue,
        model,
        judge,
        prompts,
        len(prompts),
        form=form,
        max_tokens=request.max_tokens,
        concurrency=concurrency,
        limits=limits,
        reply=REPLY[measure],
        template_hash=run.template.hash,
    )
    return ScorePlan(**vars(expected), model=run.info, descriptions=descriptions, no_rows=no_rows, prompts=prompts)
