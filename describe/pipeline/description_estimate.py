"""``headscribe describe --dry-run``: what a run would ask, cost and take. Asks nobody and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.errors import CatalogueError, InputError
from describe.pipeline.common import find
from describe.pipeline.descriptions import asked_placebos, description_task, llm_method, load_prompt
from describe.pipeline.evidence import material
from describe.pipeline.extraction.placebos import known_placebos
from describe.pipeline.llm_stage.estimate import Expected, expect, questions, to_ask
from describe.pipeline.llm_stage.limits import Batching, Limits, Terms
from describe.pipeline.llm_stage.run import LLMStage
from describe.pipeline.role_rows import split_already
from describe.records import HeadId, ModelInfo, parse_heads

if TYPE_CHECKING:
    from describe.labelling import Question
    from describe.llm import LLM, Request

__all__ = ["Plan", "plan", "prompt_of"]


@dataclass(frozen=True)
class Plan(Expected):
    """The plan of a run.

    Attributes:
        heads: the heads to be described, each by one call; ``placebos``: how many placebo heads besides.
        prompts: what would be asked of those that are in the catalogue; of the others, an average is assumed.
    """

    model: ModelInfo
    heads: list[HeadId]
    placebos: int
    prompts: dict[HeadId, str]


def plan(
    catalogue: Catalogue,
    model: str,
    llm: LLM,
    *,
    request: Request,
    heads: str = "all",
    reading: str | None = None,
    prompt: str | None = None,
    roles: bool = False,
    placebos: int | None = 0,
    concurrency: int = 8,
    limits: Limits | None = None,
    batch: Batching | None = None,
    retry_failed: bool = False,
) -> Plan:
    """The plan of `describe` with these arguments, by the heads of the newest extraction by that reading.

    Raises `InputError` as `describe` does, and when no head of the model is in the catalogue yet.
    """
    if not llm.kind.asks:
        raise InputError("--llm statistics asks nobody and costs nothing: there is nothing to try dry")
    template, settings = llm_method(llm, request, prompt)
    stage = LLMStage(
        catalogue, llm, request, template, Terms(concurrency, limits or Limits(), batch, retry_failed=retry_failed)
    )
    info, own = find(catalogue, model, reading)
    load, depends = material(catalogue, model, own, template, keep=False)
    stage.enter(settings | depends, keep=False)
    saved = catalogue.saved_heads(own)
    if not saved:
        raise CatalogueError(f"no head of {info.name} is in the catalogue yet: run headscribe extract {model}")
    wanted = parse_heads(heads, info.n_layers, info.n_heads)
    control = asked_placebos(catalogue, llm, own, placebos, wanted)
    of_placebos, kinds = list(control.heads), known_placebos(catalogue, own, control.kinds)
    made = [extraction_id for extraction_id in kinds.values() if extraction_id is not None]
    if roles:
        wanted, load = split_already(catalogue, own, template, load, wanted)
    tasks = [description_task(stage, own, wanted, load)]
    tasks += [description_task(stage, extraction_id, of_placebos, load) for extraction_id in made]
    pending, in_batches = to_ask(stage, tasks)
    units = [unit for place, unit in pending if place == 0]
    n_placebos = len(pending) - len(units) + len(of_placebos) * (len(kinds) - len(made))
    asked: dict[HeadId, Question[Any]] = {
        unit: questions(tasks[0], unit)[0] for unit in units if unit._replace(role=0) in saved
    }
    expected = expect(
        stage,
        model,
        list(asked.values()) or questions(tasks[0], min(saved)),
        calls=len(units) + n_placebos,
        in_batches=in_batches,
    )
    prompts = {unit: question.prompt for unit, question in asked.items()}
    return Plan(**vars(expected), model=info, heads=units, placebos=n_placebos, prompts=prompts)


def prompt_of(
    catalogue: Catalogue, model: str, head: HeadId, prompt: str | None = None, reading: str | None = None
) -> dict[str, Any]:
    """The prompt about one head, of whatever LLM: ``prompt`` (the template), ``mode``, ``text``, ``schema``.

    The text is the one message of a chat whose reply is to follow the schema, or is to be gone on with, and then there
    is no schema. Changes nothing. Raises `InputError` when the head or the template cannot be used.
    """
    from describe.labelling import DescribeQuestion

    template = load_prompt(prompt)
    info, extraction_id = find(catalogue, model, reading)
    parse_heads(str(head), info.n_layers, info.n_heads)
    load, _ = material(catalogue, model, extraction_id, template, keep=False)
    question = DescribeQuestion.of(template, load(head))
    return {
        "prompt": template.name,
        "mode": "completion" if template.completion else "chat",
        "text": question.prompt,
        "schema": question.form,
    }
