"""The command ``stability``: do several descriptions of one head say the same?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from app import options as o
from app.llm_options import DEFAULTS, LLMOptions, exit_code, with_llm_options
from app.saying import say
from describe.providers import CHOICES

if TYPE_CHECKING:
    from describe.pipeline import StabilityPlan, StabilityResult

__all__ = ["stability"]


@with_llm_options
def stability(
    model: o.Model,
    embedding: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--embedding", metavar="MODEL", help="A model on this machine that compares sentences."),
    ] = None,
    judge: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--judge", metavar="LLM", help=f"Ask an LLM instead: {CHOICES} (the words they share)."),
    ] = None,
    judge_prompt: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--judge-prompt", metavar="NAME", help="What the LLM is asked (default: judge-agreement-1)."),
    ] = None,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    heads: o.Heads = "all",
    reading: o.ShownReading = None,
    llm_options: LLMOptions = DEFAULTS,
    json_path: o.Json = None,
    quiet: o.Quiet = False,
) -> int:
    """Compare the descriptions that each head has (other seeds, prompts, LLMs), and mark the most central one."""
    from app.terminal import progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.llm import parse_llm

    named = parse_llm(judge) if judge else None
    asked = llm_options.terms(named) | {"template": judge_prompt, "heads": heads, "reading": reading}
    with Catalogue(catalog) as opened, progress_bars(quiet) as progress:
        if llm_options.dry_run:
            return _dry_run(pipeline.plan_stability(opened, model, named, **asked), json_path)
        result = pipeline.stability(
            opened, model, embedding=embedding, judge=named, **asked, fresh=llm_options.fresh, progress=progress
        )
    if json_path:
        found = [{"layer": u.layer, "head": u.head, "role": u.role or None} | asdict(s) for u, s in result.heads]
        write_json({"model": result.model.name, "judge": result.judge, "heads": found}, json_path)
    elif not quiet:
        _draw(result)
    return exit_code(result, "heads")


def _dry_run(found: StabilityPlan, json_path: Path | None) -> int:
    from app.plans import NOTHING_DONE, amounts, expected_json, waiting
    from app.terminal import write_json

    if json_path:
        listed = {"model": found.model.name, "heads": found.heads, "prompts": found.prompts}
        write_json(listed | expected_json(found), json_path)
        return 0
    say(f"compare  the descriptions of {len(found.heads)} heads or roles of {found.model.name}{waiting(found)}")
    say(f"calls    {found.calls}, pairs with other heads' descriptions too")
    say(f"{amounts(found)}\n{NOTHING_DONE}")
    return 0


def _draw(result: StabilityResult) -> None:
    from app.terminal import draw_table

    rows = [
        (str(unit), str(len(s.own)), f"{s.value:.2f}", "not run" if s.wrong is None else f"{s.wrong:.2f}")
        for unit, s in result.heads
    ]
    values = [s.value for _, s in result.heads]
    others = [s.wrong for _, s in result.heads if s.wrong is not None]
    if values:
        with_others = f"{sum(others) / len(others):.2f}" if others else "not run"
        rows.append(("mean", "", f"{sum(values) / len(values):.2f}", with_others))
    headings = ("head", "descriptions", "agreement", "with other heads'")
    draw_table(headings, rows, title=f"{result.model.name}: stability by {result.judge}", right=(1, 2, 3))
    say(f"{len(result.single)} heads or roles have one description only")
