"""The commands that hand a catalogue on: ``export``, ``import`` and ``diff``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from app.options import DEFAULT_CATALOGUE, CataloguePlace, Format, Json, Quiet, ShownReading, output_file
from app.saying import say

__all__ = ["diff", "export", "import_command", "import_descriptions", "report"]


def export(
    format_: Annotated[Format, typer.Option("--format", "-f", help="What to write.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            callback=output_file,
            help="The file to write, - for standard output; for dataset and site a folder.",
        ),
    ],
    models: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="MODEL", help="One or more models of the catalogue; none: all of them."),
    ] = None,
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    reading: ShownReading = None,
    licence: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--license", metavar="ID", help="dataset: its licence, as the Hub names it (cc-by-4.0)."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write the heads of models as a file; html also as a site of all models (-o FOLDER), dataset as a folder."""
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.files import is_stream

    with Catalogue(catalog) as opened:
        number = pipeline.export(opened, models or [], format_.value, output, reading=reading, licence=licence)
    if not quiet:
        say(f"{number} heads written to {output}", err=is_stream(output))


class ReportForm(str, Enum):
    """Forms of a report on a model."""

    html = "html"
    markdown = "markdown"


def report(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the catalogue.")],
    format_: Annotated[ReportForm, typer.Option("--format", "-f", help="What to write.")] = ReportForm.markdown,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="The file to write, - for standard output.")
    ] = Path("-"),
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    reading: ShownReading = None,
) -> None:
    """Write a model at a glance: how many heads do what, in which layers, beside placebos, and what is unknown."""
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.export import report as forms
    from describe.files import is_stream, write_atomically

    with Catalogue(catalog) as opened:
        found = pipeline.at_a_glance(opened, model, reading)
    if is_stream(output):
        say((forms.as_html(found) if format_ is ReportForm.html else forms.as_markdown(found)).rstrip("\n"))
    elif format_ is ReportForm.html:
        write_atomically(output, forms.as_html(found))
    else:
        picture = output.with_suffix(".svg")
        write_atomically(output, forms.as_markdown(found, picture.name))
        write_atomically(picture, forms.as_svg(found))


def import_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A jsonl or parquet export, or a dataset folder.")],
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    json_path: Json = None,
    quiet: Quiet = False,
) -> None:
    """Take the heads of an export into a catalogue, all or none: what is there already must be the same."""
    from dataclasses import asdict

    from app.terminal import write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.secrets import shown_url
    from describe.text import visible

    with Catalogue(catalog, create=True) as opened:
        done = pipeline.import_heads(opened, path)
    if json_path:
        write_json(asdict(done), json_path)
        return
    for what in done.left_out:
        say(f"headscribe: left out, since the file does not have all heads: {visible(what)}", err=True)
    if not quiet:
        names = ", ".join(visible(name) for name in done.models)
        new = f"{done.new} new, {done.descriptions} new descriptions"
        say(f"{names}: {done.heads} heads in {shown_url(catalog)} ({new})")


def import_descriptions(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV or JSONL with head, inputs, pattern and author in each line.")
    ],
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--model", metavar="MODEL", help="Of which model (default: the only one of the catalogue)."),
    ] = None,
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    reading: ShownReading = None,
    json_path: Json = None,
    quiet: Quiet = False,
) -> None:
    """Take in what people wrote of heads, all or none: a person is a describer like any other, named person:AUTHOR."""
    from dataclasses import asdict

    from app.terminal import write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.text import visible

    with Catalogue(catalog) as opened:
        done = pipeline.import_descriptions(opened, path, model=model, reading=reading)
    if json_path:
        write_json(asdict(done), json_path)
    elif not quiet:
        told = ", ".join(f"{number} by {visible(author)}" for author, number in done.authors.items())
        say(f"{visible(done.model)}: {told} ({done.known} were there already)")


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A catalogue: a file, or a SQLAlchemy URL.")],
    new: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="[NEW]", help="The catalogue to compare it with; none with --between."),
    ] = None,
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--model", metavar="MODEL", help="This model only (default: all that both have)."),
    ] = None,
    llm: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--llm", metavar="LLM", help="Of the descriptions, only those by this LLM."),
    ] = None,
    between: Annotated[
        Optional[tuple[str, str]],  # noqa: UP045
        typer.Option(
            "--between",
            "--describers",
            metavar="A B",
            help="Compare two describers in OLD alone: each LLM or LLM@PROMPT.",
        ),
    ] = None,
    reading: ShownReading = None,
    json_path: Json = None,
) -> None:
    """Show the heads whose mapping, description or scores differ: between two catalogues, or between two describers."""
    from contextlib import ExitStack
    from dataclasses import asdict

    from app.differences import draw_differences
    from app.terminal import write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.errors import InputError

    if (new is None) == (between is None):
        raise InputError("name two catalogues, OLD and NEW, or one with --between A B")
    with ExitStack() as stack:
        one = stack.enter_context(Catalogue(old))
        if between is not None:
            found = pipeline.diff_describers(one, *between, model=model, reading=reading)
        else:
            other = stack.enter_context(Catalogue(str(new)))
            found = pipeline.diff(one, other, model=model, llm=llm, reading=reading)
    if json_path:
        write_json(asdict(found), json_path)
    else:
        draw_differences(found)
