"""The command ``stability``: do several descriptions of one head say the same?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from app import options as o

if TYPE_CHECKING:
    from describe.pipeline import StabilityPlan, StabilityResult

__all__ = ["stability"]


def stability(
    model: o.Model,
    embedding: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--embedding", metavar="MODEL", help="A model on this machine that compares sentences."),
    ] = None,
    judge: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--judge", metavar="LLM", help="Ask openai:MODEL or gguf:FILE instead; or statistics: words."),
    ] = None,
    judge_prompt: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--judge-prompt", metavar="NAME", help="What the LLM is asked (default: judge-agreement-1)."),
    ] = None,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    heads: o.Heads = "all",
    concurrency: o.Concurrency = None,
    max_tokens: o.MaxTokens = 2048,
    timeout: o.Timeout = 120.0,
    attempts: o.Attempts = 6,
    give_up_after: o.GiveUpAfter = 5,
    rpm: o.Rpm = None,
    tpm: o.Tpm = None,
    budget: o.Budget = None,
    price_in: o.PriceIn = None,
    price_out: o.PriceOut = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Compare again where that failed.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask even where the ledger has the reply already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be asked and cost; ask nobody.")] = False,
    json_path: o.Json = None,
    quiet: o.Quiet = False,
) -> int:
    """Compare the descriptions that each head has (other seeds, prompts, LLMs), and mark the most central one."""
    from app.terminal import progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.llm import Request, parse_llm

    named = parse_llm(judge) if judge else None
    asked: dict[str, Any] = {
        "request": Request(max_tokens=max_tokens, timeout=timeout, attempts=attempts),
        "template": judge_prompt,
        "heads": heads,
        "concurrency": concurrency or (1 if named is not None and named.provider == "gguf" else 8),
        "limits": pipeline.Limits(rpm, tpm, budget, price_in, price_out, give_up_after),
        "retry_failed": retry_failed,
    }
    with Catalogue(catalog) as opened, progress_bars(quiet) as progress:
        if dry_run:
            return _dry_run(pipeline.plan_stability(opened, model, named, **asked), json_path)
        result = pipeline.stability(
            opened, model, embedding=embedding, judge=named, **asked, fresh=fresh, progress=progress
        )
    if json_path:
        found = [{"layer": u.layer, "head": u.head, "role": u.role or None} | asdict(s) for u, s in result.heads]
        write_json({"model": result.model.name, "judge": result.judge, "heads": found}, json_path)
    elif not quiet:
        _draw(result)
    return _exit_code(result)


def _dry_run(found: StabilityPlan, json_path: Path | None) -> int:
    from app.plans import amounts, expected_json
    from app.terminal import write_json

    if json_path:
        listed = {"model": found.model.name, "heads": found.heads, "prompts": found.prompts}
        write_json(listed | expected_json(found), json_path)
        return 0
    typer.echo(f"compare  the descriptions of {len(found.heads)} heads or roles of {found.model.name}")
    typer.echo(f"calls    {found.calls}, pairs with other heads' descriptions too")
    typer.echo(amounts(found))
    return 0


def _draw(result: StabilityResult) -> None:
    from app.terminal import draw_table

    rows = [
        (str(unit), str(len(s.own)), f"{s.value:.2f}", "not run" if s.placebo is None else f"{s.placebo:.2f}")
        for unit, s in result.heads
    ]
    values = [s.value for _, s in result.heads]
    placebos = [s.placebo for _, s in result.heads if s.placebo is not None]
    if values:
        placebo = f"{sum(placebos) / len(placebos):.2f}" if placebos else "not run"
        rows.append(("mean", "", f"{sum(values) / len(values):.2f}", placebo))
    headings = ("head", "descriptions", "agreement", "placebo: with other heads'")
    draw_table(headings, rows, title=f"{result.model.name}: stability by {result.judge}", right=(1, 2, 3))
    typer.echo(f"{len(result.single)} heads or roles have one description only")


def _exit_code(result: StabilityResult) -> int:
    """The exit code, and on standard error what could not be compared."""
    if result.failures:
        listed = ", ".join(f"{head} ({cause})" for head, cause in list(result.failures.items())[:20])
        typer.echo(f"headscribe: {len(result.failures)} heads failed: {listed}; --retry-failed asks again", err=True)
    if result.stopped or result.interrupted:
        why = f"stopped: {result.stopped}" if result.stopped else "interrupted"
        typer.echo(f"headscribe: {why}; {result.missing} heads are missing; the same command again goes on", err=True)
    return 130 if result.interrupted else 1 if result.failures or result.stopped else 0
