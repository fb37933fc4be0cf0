"""The command ``stability``: do several descriptions of one head say the same?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from app import options as o

__all__ = ["stability"]


def stability(
    model: o.Model,
    embedding: Annotated[
        str, typer.Option("--embedding", metavar="MODEL", help="The model that compares sentences, as MODEL is named.")
    ],
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    heads: o.Heads = "all",
    json_path: o.Json = None,
    quiet: o.Quiet = False,
) -> None:
    """Compare the descriptions that each head has (other seeds, prompts, LLMs), and mark the most central one."""
    from app.terminal import draw_table, progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue

    with Catalogue(catalog) as opened, progress_bars(quiet) as progress:
        result = pipeline.stability(opened, model, embedding=embedding, heads=heads, progress=progress)
    if json_path:
        found = [{"layer": u.layer, "head": u.head, "role": u.role or None} | asdict(s) for u, s in result.heads]
        write_json({"model": result.model.name, "heads": found}, json_path)
        return
    if quiet:
        return
    rows = [
        (str(unit), str(len(s.own)), f"{s.value:.2f}", "not run" if s.placebo is None else f"{s.placebo:.2f}")
        for unit, s in result.heads
    ]
    values = [s.value for _, s in result.heads]
    placebos = [s.placebo for _, s in result.heads if s.placebo is not None]
    placebo = f"{sum(placebos) / len(placebos):.2f}" if placebos else "not run"
    rows.append(("mean", "", f"{sum(values) / len(values):.2f}", placebo))
    headings = ("head", "descriptions", "agreement", "placebo: with other heads'")
    draw_table(headings, rows, title=f"{result.model.name}: stability by {embedding}", right=(1, 2, 3))
    typer.echo(f"{len(result.single)} heads or roles have one description only")
