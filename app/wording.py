"""``describe --cards``: cards as an LLM words them, or what that would take (``--dry-run``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.llm_options import LLMOptions, exit_code, listed
from app.saying import say

if TYPE_CHECKING:
    from describe.catalog import Catalogue
    from describe.llm import LLM

__all__ = ["word_cards"]


def word_cards(
    catalog: str,
    model: str,
    llm: LLM,
    asked: dict[str, Any],
    llm_options: LLMOptions,
    json_path: Path | None,
    quiet: bool,
) -> int:
    """Have cards worded, and show them with the level of the check; returns the exit code."""
    from app.terminal import draw_worded, progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue

    with Catalogue(catalog) as opened:
        if llm_options.dry_run:
            return _dry_run(opened, model, llm, asked, json_path)
        with progress_bars(quiet) as progress:
            result = pipeline.word_cards(opened, model, llm, **asked, fresh=llm_options.fresh, progress=progress)
        if json_path or not quiet:
            wanted = set(result.heads)
            found = opened.head_records(result.model, result.extraction_id, held_out=bool(json_path))
            records = [record for record in found if record.id in wanted]
            if json_path:
                write_json([record.to_json() for record in records], json_path)
            else:
                draw_worded(records, str(llm))
                say(result.summary)
    return exit_code(result, "heads")


def _dry_run(opened: Catalogue, model: str, llm: LLM, asked: dict[str, Any], json_path: Path | None) -> int:
    from app.plans import amounts, expected_json, waiting
    from app.terminal import write_json
    from describe import pipeline

    found = pipeline.plan_cards(opened, model, llm, **asked)
    if json_path:
        prompts = {str(head): text for head, text in found.prompts.items()}
        heads = [str(head) for head in found.heads]
        write_json({"model": found.model.name, "heads": heads, "prompts": prompts, **expected_json(found)}, json_path)
        return 0
    said = f"cards    {len(found.heads)} of {found.model.name} to word: {listed(found.heads)}{waiting(found)}"
    say(f"{said}\n{amounts(found)}")
    return 0
