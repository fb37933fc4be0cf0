"""The command ``lineage``: the same head in two models, and what became of it."""

from __future__ import annotations

from typing import Annotated

import typer

from app.options import DEFAULT_CATALOGUE, CataloguePlace, Json, ShownReading
from app.saying import say

__all__ = ["lineage"]


def lineage(
    one: Annotated[str, typer.Argument(metavar="MODEL_A", help="A model of the catalogue, such as a base model.")],
    other: Annotated[str, typer.Argument(metavar="MODEL_B", help="One of as many layers and heads.")],
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    reading: ShownReading = None,
    json_path: Json = None,
) -> None:
    """Compare each head of two models of one shape: mapping, operations, kind and description, beside other heads."""
    from dataclasses import asdict

    from app.terminal import draw_table, write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.text import visible

    with Catalogue(catalog) as opened:
        found = pipeline.lineage(opened, one, other, reading)
    if json_path:
        write_json(asdict(found), json_path)
        return
    rows = []
    for head in found.heads:
        moved = [f"{name} {before:+.2f} to {after:+.2f}" for name, (before, after) in head.operations.items()]
        changed = head.headlines[0] != head.headlines[1]
        headline = " → ".join(head.headlines) if changed else head.headlines[0]
        if head.descriptions[0] != head.descriptions[1]:
            moved.append("described otherwise")
        if changed or moved or not head.kept:
            unrelated = "" if head.unrelated is None else f"{head.unrelated:.2f}"
            rows.append((head.head, f"{head.mapping:.2f}", unrelated, headline, "; ".join(moved)))
    headings = ("head", "mapping", "most like another", "headline", "what changed besides")
    draw_table(headings, rows, title=f"{found.models[0]} and {found.models[1]}: heads that changed", right=(1, 2))
    kept = sum(head.kept for head in found.heads)
    same = sum(head.kinds[0] == head.kinds[1] for head in found.heads)
    level = "" if found.unrelated is None else f", {found.unrelated:.2f} with the nearest other head of the layer"
    say(
        f"{len(found.heads)} heads of {visible(found.models[0])} in {visible(found.models[1])}: tokens in common"
        f" {found.mapping:.2f}{level}; {kept} are most like themselves, {same} have a headline of the same kind"
    )
