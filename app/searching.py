"""The command ``search``: heads by words in their descriptions and tokens."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from app.options import DEFAULT_CATALOGUE, CataloguePlace, Json, ShownReading
from app.saying import say

__all__ = ["search"]


def search(
    words: Annotated[
        list[str], typer.Argument(metavar="WORDS", help="All must be found; each stands for what begins with it.")
    ],
    model: Annotated[
        Optional[str],  # noqa: UP045  (Typer reads the annotation at run time, on Python 3.10 too)
        typer.Option("--model", metavar="MODEL", help="Only heads of this model (default: of all)."),
    ] = None,
    llm: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--llm", metavar="LLM", help="Only in descriptions by this describer, in nothing else."),
    ] = None,
    reading: ShownReading = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Heads shown, at most.")] = 20,
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    json_path: Json = None,
) -> None:
    """Find heads by words in their headlines, descriptions and tokens, the best first."""
    from app.terminal import write_json
    from describe import pipeline
    from describe.catalog import Catalogue

    with Catalogue(catalog) as opened:
        found = pipeline.search(opened, " ".join(words), model=model, llm=llm, reading=reading, limit=limit)
    if json_path:
        write_json(found, json_path)
    else:
        _draw(found)


def _draw(found: dict[str, Any]) -> None:
    """A head's line, its description with the words found in bold, and the tokens that have one."""
    from rich.console import Console
    from rich.text import Text

    from describe.terms import marked, query_terms
    from describe.text import quoted, visible

    console = Console(highlight=False, soft_wrap=True)
    terms = query_terms(found["query"])
    for head in found["heads"]:
        console.print(Text(f"{visible(head['model'])} {head['layer']}.{head['head']}", style="bold"))
        if head["headline"]:
            pieces = [
                (visible(text), "bold yellow" if hit else "green") for text, hit in marked(head["headline"], terms)
            ]
            console.print(Text.assemble("  ", *pieces))
        if head["role"]:
            console.print(f"  role {head['role']}")
        for name in ("inputs", "pattern"):
            if head[name]:
                pieces = [(visible(text), "bold yellow" if hit else "") for text, hit in marked(head[name], terms)]
                console.print(Text.assemble(f"  {name:8}", *pieces))
        if head["kinds"]:
            console.print(Text(f"  {'attends':8}{visible(', '.join(head['kinds']))}"))
        if head["tokens"]:
            console.print(Text(f"  {'tokens':8}" + "  ".join(quoted(token) for token in head["tokens"][:12])))
    shown = len(found["heads"])
    meant = f"; do you mean '{found['meant']}'?" if "meant" in found else ""
    say(f"{found['total']:,} heads{f', the first {shown} shown' if shown < found['total'] else ''}{meant}", err=True)
