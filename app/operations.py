"""The commands about predefined operations: ``relations`` and ``compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.options import (
    DEFAULT_CATALOGUE,
    CataloguePlace,
    Device,
    EngineName,
    Json,
    K,
    Memory,
    Models,
    NoFirstMLP,
    Operations,
    Plots,
    ProfileName,
    Quiet,
    RayAddress,
    ScoredReading,
    Threshold,
)
from app.saying import say
from describe.records import MIN_PAIRS, THRESHOLD
from describe.text import file_name

if TYPE_CHECKING:
    from pathlib import Path

    from describe.pipeline import Comparison, RelationsResult

__all__ = ["compare", "relations"]


def relations(
    models: Models,
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    operations: Operations = None,
    profile: ProfileName = None,
    k: K = None,
    threshold: Threshold = THRESHOLD,
    no_first_mlp: NoFirstMLP = False,
    both_first_tokens: Annotated[
        bool, typer.Option("--both-first-tokens", help="A word of several tokens counts by its first one.")
    ] = False,
    reading: ScoredReading = "paper",
    device: Device = "auto",
    memory: Memory = None,
    engine: EngineName = "local",
    ray_address: RayAddress = None,
    plots: Plots = None,
    json_path: Json = None,
    quiet: Quiet = False,
) -> int:
    """Score how strongly every head implements, and suppresses, each predefined operation."""
    from app.terminal import progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.operations import profile_named

    with (
        pipeline.open_engine(engine, ray_address) as where,
        Catalogue(catalog, create=True) as opened,
        progress_bars(quiet) as progress,
    ):
        results = pipeline.relations_all(
            opened,
            models,
            operations=operations,
            profile=profile_named(profile),
            k=k,
            first_mlp=not no_first_mlp,
            both_first_tokens=both_first_tokens,
            reading=reading,
            device=device,
            memory=memory,
            engine=where,
            progress=progress,
        )
    if plots:
        for result in results:
            _save_plots(
                result, threshold, plots if len(results) == 1 else plots / (file_name(result.model.name) or "model")
            )
    if json_path:
        found = [_relations_json(result) for result in results]
        write_json(found[0] if len(found) == 1 else found, json_path)
    elif not quiet:
        for result in results:
            _draw_relations(result, threshold)
    problems = list(dict.fromkeys(problem for result in results for problem in result.problems))
    for problem in problems:
        say(f"headscribe: {problem}", err=True)
    return 1 if problems else 0


def compare(
    models: Annotated[list[str], typer.Argument(metavar="MODEL MODEL...", help="Two models or more.")],
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    operations: Operations = None,
    threshold: Threshold = THRESHOLD,
    reading: ScoredReading = "paper",
    device: Device = "auto",
    plots: Plots = None,
    json_path: Json = None,
    quiet: Quiet = False,
) -> None:
    """Compare the operations that the heads of several models implement; scores them first if needed."""
    from app.terminal import progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue

    with Catalogue(catalog, create=True) as opened, progress_bars(quiet) as progress:
        result = pipeline.compare(
            opened,
            models,
            operations=operations,
            threshold=threshold,
            reading=reading,
            device=device,
            progress=progress,
        )
    if plots:
        from app.charts import save_comparison

        save_comparison(result.counts, result.depth, plots)
    if json_path:
        write_json(result.as_json(), json_path)
    elif not quiet:
        _draw_comparison(result)


def _relations_json(result: RelationsResult) -> dict[str, Any]:
    """The contract of ``relations --json``."""
    return {
        "model": result.model.name,
        "operations": {
            found.name: {
                "k": found.k,
                "pairs_used": found.pairs_used,
                "valid": found.valid,
                "scores": found.scores,
                "suppression": found.suppression,
                "seconds": round(found.seconds, 3),
            }
            for found in result.operations
        },
    }


def _save_plots(result: RelationsResult, threshold: float, folder: Path) -> None:
    from app.charts import save_relations
    from describe.operations import analysis

    table = analysis.scores_table(result.operations)
    if not table.empty:
        save_relations(table, threshold, folder)


def _draw_relations(result: RelationsResult, threshold: float) -> None:
    """Operations with their strongest heads, then heads with several operations, then heads that papers named."""
    from app.terminal import draw_table
    from describe.operations import analysis

    rows = []
    for row in analysis.summary(result.operations, threshold).itertuples():
        shown = (row.operation, row.category, str(row.pairs))
        if row.valid:
            numbers = (str(row.k), str(row.heads_score), str(row.heads_suppression))
            rows.append((*shown, *numbers, _heads(row.top_score), _heads(row.top_suppression)))
        else:
            rows.append((*shown, "", "", "", f"not valid for this model: under {MIN_PAIRS} pairs", ""))
    headings = ("operation", "category", "pairs", "k", "heads", "suppress", "strongest heads", "strongest suppressors")
    draw_table(
        headings, rows, title=f"{result.model.name}: heads with a score of {threshold:g} or more", right=(2, 3, 4, 5)
    )
    table = analysis.scores_table(result.operations)
    several = analysis.multi_operation_heads(table, threshold)
    if len(several):
        found = [(f"{s.layer}.{s.head}", s.names) for s in several.itertuples()]
        draw_table(("head", "operations"), found, title="Heads that implement several operations")
    known = analysis.known_heads_found(result.model, table, threshold)
    if len(known):
        named = [
            (
                r.head,
                r.operation,
                f"{r.by} {r.value:.2f}",
                "yes" if r.found else "no",
                r.role or "not listed",
                r.citation,
            )
            for r in known.itertuples()
        ]
        draw_table(("head", "operation", "value", "found", "role", "source"), named, title="Heads that papers named")


def _draw_comparison(result: Comparison) -> None:
    from app.terminal import draw_table

    title = "Heads that implement each operation (share of all)"
    draw_table(("operation", *result.heads, "in every model"), result.counted, title=title)
    pairs = [
        (row.first, row.second, str(row.operations), f"{row.r_strongest:.2f}", f"{row.r_share:.2f}")
        for row in result.correlations.itertuples()
    ]
    profile = ("model", "model", "operations", "r of strongest heads", "r of shares of heads")
    draw_table(profile, pairs, title="Correlation of operation profiles")
    found = [
        (
            name,
            f"{b.within:.3f}",
            f"{b.between:.3f}",
            f"{b.difference:+.3f}",
            f"{b.p_value:.4f}",
            f"{b.pairs[0]} / {b.pairs[1]}",
        )
        for name, b in result.gqa.items()
        if b is not None
    ]
    if found:
        headings = ("model", "same group", "other groups", "difference", "p", "pairs of heads")
        draw_table(headings, found, title="Are heads that share a value matrix more alike? (cosine of their scores)")


def _heads(strongest: list[tuple[str, float]]) -> str:
    return "  ".join(f"{head} {score:.2f}" for head, score in strongest)
