"""The command ``attend``: where every head looks.

``python -m app.attending`` prints the tables of docs/attention.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from app.options import DEFAULT_CATALOGUE, CataloguePlace, Csv, Device, Json, Latex, Model, Quiet
from app.tables import number
from describe.attention import FIGURES, KINDS

if TYPE_CHECKING:
    from describe.pipeline import AttendResult

__all__ = ["attend", "attention_tables"]


def attend(
    model: Model,
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    text: Annotated[
        Optional[str],  # noqa: UP045  (Typer reads the annotation at run time, on Python 3.10 too)
        typer.Option(
            "--text",
            metavar="PATH",
            help="A file (.txt, .md, .jsonl, .parquet), a folder, or a dataset of the hub (default: ours).",
        ),
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", metavar="N", help="Tokens of text, at most.")] = 16_384,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of random tokens and chosen places.")] = 0,
    device: Device = "auto",
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="NAME", help="Precision to run the model in: float32 or bfloat16.")
    ] = "float32",
    csv: Csv = None,
    latex: Latex = None,
    json_path: Json = None,
    quiet: Quiet = False,
) -> None:
    """Run the model: where does every head look, on text and on random tokens that come twice?"""
    from app.tables import csv_table, latex_table
    from app.terminal import progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.files import write_atomically

    with Catalogue(catalog, create=True) as opened, progress_bars(quiet) as progress:
        result = pipeline.attend(
            opened, model, text=text, tokens=tokens, seed=seed, device=device, dtype=dtype, progress=progress
        )
    rows = pipeline.attention_rows(result)
    for path, write in ((csv, csv_table), (latex, latex_table)):
        if path:
            write_atomically(path, write(rows))
    if json_path:
        heads = [{"layer": head.layer, "head": head.head} | record.to_json() for head, record in result.records.items()]
        write_json({"model": result.model.name, "made": result.made.to_json(), "heads": heads}, json_path)
    elif not quiet:
        _draw(result)


def _draw(result: AttendResult) -> None:
    """A table of kinds, with how many heads are of each, and the heads that are most clearly so."""
    from app.terminal import draw_table
    from describe.pipeline import kind_rows

    made, found = result.made, result.made.found
    shown = [
        (row.kind, str(row.heads), str(row.in_both_halves), number(row.uniform), row.clearest)
        for row in kind_rows(result)
    ]
    headings = ("kind", "heads", "in both halves", "uniform", "clearest heads, with the figure that they are told by")
    texts = ", ".join(f"{count} {of}" for of, count in found.documents.items())
    title = f"{result.model.name}: where {len(result.heads)} heads look ({found.tokens:,} tokens of text; {texts})"
    draw_table(headings, shown, title=title, right=(1, 2, 3))
    typer.echo(f"{found.same} of {found.heads} heads are of the same kinds in both halves of the documents.")
    if not made.standard:
        typer.echo("Not the standard settings: a standard run, where there is one, is shown with the heads instead.")


def attention_tables() -> str:
    """The tables of figures and kinds as Markdown."""
    of = {"all": "of all attention", "rest": "of the rest beside the first token", "uniform": "of the uniform head's"}
    lines = ["| figure | what it is | mean over places |", "|---|---|---|"]
    lines += [f"| `{figure.name}` | {figure.meaning} | {figure.where} |" for figure in FIGURES]
    lines += ["", "| kind | told by | source |", "|---|---|---|"]
    for kind in KINDS:
        told = " + ".join(f"`{name}`" for name in kind.figures) + f" on {kind.text}: "
        told += f"under {kind.least:g}" if kind.below else f"at least {kind.least:g} {of[kind.of]}"
        told += f", and {kind.over:g} times the uniform head's" if kind.over else ""
        told += f"; not beside {', '.join(kind.unless)}" if kind.unless else ""
        lines.append(f"| {kind.name}: {kind.says} | {told} | {kind.source} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(attention_tables(), end="")
