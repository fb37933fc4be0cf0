"""``headscribe score --dry-run``: what judging would ask, cost and take. Asks nobody and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.measures import DEFAULT
from describe.pipeline.llm_stage.estimate import Expected, expect, questions, to_ask
from describe.pipeline.llm_stage.limits import Batching, Limits, Terms
from describe.pipeline.scores import Judging
from describe.records import ModelInfo

if TYPE_CHECKING:
    from describe.llm import LLM, Request

__all__ = ["ScorePlan", "plan_scores"]


@dataclass(frozen=True)
class ScorePlan(Expected):
    """The questions to a judge: about which descriptions, by head and author, and in which prompts.

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
    measure: str = DEFAULT,
    reading: str | None = None,
    concurrency: int = 8,
    limits: Limits | None = None,
    batch: Batching | None = None,
    retry_failed: bool = False,
) -> ScorePlan:
    """The plan of `score` with these arguments. Raises as it does, and where the judge is ``statistics``."""
    if not judge.kind.asks:
        raise InputError("--judge statistics asks nobody and costs nothing: there is nothing to try dry")
    terms = Terms(concurrency, limits or Limits(), batch, retry_failed=retry_failed)
    judging = Judging(catalogue, model, judge, request, template, measure, terms, reading)
    tasks = judging.tasks(heads, llm, prompt, keep=False)
    pending, in_batches = to_ask(judging.stage, tasks)
    asked = [questions(tasks[place], unit) for place, unit in pending]
    found = [question for of_unit in asked for question in of_unit]
    expected = expect(judging.stage, model, found, in_batches=in_batches, reply=judging.measure.reply, of_template=True)
    return ScorePlan(
        **vars(expected),
        model=judging.info,
        descriptions=[f"{unit} by {tasks[place].trials.told[unit].llm}" for place, unit in pending],
        no_rows=sum(not of_unit for of_unit in asked),
        prompts=[question.prompt for question in found],
    )
