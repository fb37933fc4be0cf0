"""``headscribe describe --dry-run``: what a run would ask, cost and take. Asks nobody and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.errors import CatalogueError, InputError
from describe.pipeline.common import find
from describe.pipeline.descriptions import llm_method, load_prompt
from describe.pipeline.evidence import material
from describe.pipeline.llm_stage.estimate import Expected, expect
from describe.pipeline.llm_stage.limits import Batching, Limits, check_batch
from describe.pipeline.llm_stage.record import unfinished
from describe.pipeline.role_rows import split_already
from describe.records import HeadId, ModelInfo, parse_heads

if TYPE_CHECKING:
    from describe.llm import LLM, Request

__all__ = ["Plan", "plan", "prompt_of"]


@dataclass(frozen=True)
class Plan(Expected):
    """What a run would do.

    Attributes:
        heads: the heads to be described, each by one call.
        prompts: what would be asked of those that are in the catalogue; of the others, an average is assumed.
        in_batches: heads that wait in a batch already.
    """

    model: ModelInfo
    heads: list[HeadId]
    prompts: dict[HeadId, str]
    in_batches: int


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
    from describe.labelling import ANSWER_SCHEMA

    if llm.provider == "statistics":
        raise InputError("--llm statistics asks nobody and costs nothing: there is nothing to try dry")
    limits = limits or Limits()
    template, settings = llm_method(llm, request, prompt)
    check_batch(llm, template, batch is not None)
    limits.purse(llm, batch=batch is not None)
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
    expected = expect(
        catalogue,
        model,
        llm,
        measured,
        len(pending),
        form=ANSWER_SCHEMA,
        max_tokens=request.max_tokens,
        concurrency=concurrency,
        limits=limits,
        batch=batch is not None,
    )
    return Plan(**vars(expected), model=info, heads=pending, prompts=prompts, in_batches=len(in_batches))


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
