"""``headscribe describe``: descriptions of heads by an LLM or by statistics, each committed when it comes in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.pipeline.common import Progress, silent
from describe.pipeline.extracting import extract
from describe.pipeline.stating import state, statistics_method
from describe.records import Description, HeadId, HeadMapping, ModelInfo
from describe.versions import versions

if TYPE_CHECKING:
    from describe.labelling import Template
    from describe.llm import LLM, Request

__all__ = ["DescribeResult", "describe"]

T = TypeVar("T")


@dataclass(frozen=True)
class DescribeResult:
    """What describing came to: outcomes of all the heads asked for, and whether an interrupt cut it short."""

    model: ModelInfo
    extraction_id: int
    labeller_id: int
    heads: list[HeadId]
    new: int
    interrupted: bool
    failures: dict[HeadId, str] = field(default_factory=dict)
    missing: list[HeadId] = field(default_factory=list)


def describe(
    catalogue: Catalogue,
    model: str,
    llm: LLM,
    *,
    request: Request,
    heads: str = "all",
    prompt: str | None = None,
    concurrency: int = 8,
    retry_failed: bool = False,
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = silent,
) -> DescribeResult:
    """Describe a model's heads by an LLM, or by ``statistics`` of their mappings without one.

    Extracts first what is missing; what has an outcome is not asked again. Failures are kept as failures and asked
    again only with ``retry_failed``. Every outcome is committed when it comes in. Raises `InputError` when the model,
    the selection or the LLM cannot be used.
    """
    if concurrency < 1:
        raise InputError("--concurrency must be at least 1")
    by_statistics = llm.provider == "statistics"
    template, settings = statistics_method(prompt) if by_statistics else _llm_method(llm, request, prompt)
    extracted = extract(catalogue, model, heads=heads, device=device, dtype=dtype, progress=progress)
    if by_statistics:  # what is significant depends on how many heads were tested together
        settings["heads"] = len(catalogue.saved_heads(extracted.extraction_id))
    labeller = catalogue.register_labeller(str(llm), template.name, template.text, settings)
    outcomes = catalogue.described_heads(extracted.extraction_id, labeller)
    pending = [h for h in extracted.heads if h not in outcomes or (retry_failed and outcomes[h] is not None)]
    made_by = versions(*(settings["packages"] if by_statistics else ["openai"]))
    done = 0

    def commit(head: HeadId, outcome: Description) -> None:
        nonlocal done
        catalogue.save_description(extracted.extraction_id, head, labeller, outcome, made_by)
        outcomes[head] = outcome.failure
        done += 1
        progress("describe", done, len(pending))

    def load(head: HeadId) -> HeadMapping:
        return catalogue.mapping(extracted.extraction_id, head)

    async def run() -> bool:
        from describe.labelling import describe_heads
        from describe.llm import connect

        async with connect(llm, request, concurrency) as client:
            return await describe_heads(client, template, pending, load, commit, concurrency)

    progress("describe", 0, len(pending))
    finished = True
    if pending and by_statistics:
        state(catalogue, model, extracted.extraction_id, pending, settings, commit)
    elif pending:
        finished = run_async(run)
    return DescribeResult(
        model=extracted.model,
        extraction_id=extracted.extraction_id,
        labeller_id=labeller,
        heads=extracted.heads,
        new=done,
        interrupted=not finished,
        failures={head: cause for head in extracted.heads if (cause := outcomes.get(head)) is not None},
        missing=[head for head in extracted.heads if head not in outcomes],
    )


def _llm_method(llm: LLM, request: Request, prompt: str | None) -> tuple[Template, dict[str, Any]]:
    """The prompt template, and what the replies depend on. Raises `InputError` when either cannot be used."""
    from describe.labelling import DEFAULT_PROMPT, load_template
    from describe.llm import identity

    return load_template(prompt or DEFAULT_PROMPT), request.provenance() | identity(llm)


def run_async(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end, in a thread of its own where a loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    loop = asyncio.new_event_loop()
    task = loop.create_task(work())
    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(loop.run_until_complete, task).result()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(task.cancel)
            raise
