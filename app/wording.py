"""``describe --cards``: cards as LLMs word them, or what that would take (``--dry-run``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.describers import plan_each, run_each
from app.llm_options import LLMOptions, listed
from app.saying import say

if TYPE_CHECKING:
    from describe.catalog import Catalogue
    from describe.head_record import HeadRecord
    from describe.llm import LLM
    from describe.pipeline import Batching, CardsPlan, CardsResult, Limits

__all__ = ["word_cards"]


def word_cards(
    catalog: str,
    model: str,
    llms: list[LLM],
    terms: Callable[[LLM], dict[str, Any]],
    llm_options: LLMOptions,
    json_path: Path | None,
    quiet: bool,
) -> int:
    """Have cards worded, and show them with the level of the check; returns the exit code.

    ``terms``: the arguments of `describe.pipeline.word_cards` by which each LLM is asked.
    """
    from app.terminal import draw_worded, progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue

    for llm in llms:
        pipeline.check_words(llm)
    with Catalogue(catalog) as opened:
        if llm_options.dry_run:
            return plan_each(
                llms, lambda llm: pipeline.plan_cards(opened, model, llm, **terms(llm)), _in_words, _as_json, json_path
            )
        results: list[CardsResult] = []

        def run(llm: LLM, limits: Limits, batch: Batching | None) -> CardsResult:
            with progress_bars(quiet) as progress:
                asked = terms(llm) | {"limits": limits, "batch": batch, "progress": progress}
                return pipeline.word_cards(opened, model, llm, **asked, fresh=llm_options.fresh)

        def show(llm: LLM, result: CardsResult) -> None:
            results.append(result)
            if not (json_path or quiet):
                draw_worded(_worded(opened, result, held_out=False), str(llm))
                say(result.summary)

        code = run_each(llms, terms(llms[0]) | {"prompt": None}, run, show)
        if json_path and results:
            write_json([record.to_json() for record in _worded(opened, results[0], held_out=True)], json_path)
    return code


def _worded(opened: Catalogue, result: CardsResult, *, held_out: bool) -> list[HeadRecord]:
    """The heads of a run."""
    wanted = set(result.heads)
    found = opened.head_records(result.model, result.extraction_id, held_out=held_out)
    return [record for record in found if record.id in wanted]


def _in_words(found: CardsPlan) -> str:
    from app.plans import waiting

    return f"cards    {len(found.heads)} of {found.model.name} to word: {listed(found.heads)}{waiting(found)}"


def _as_json(found: CardsPlan) -> dict[str, Any]:
    from app.plans import expected_json

    prompts = {str(head): text for head, text in found.prompts.items()}
    heads = [str(head) for head in found.heads]
    return {"model": found.model.name, "heads": heads, "prompts": prompts, **expected_json(found)}
