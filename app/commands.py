"""The commands of ``headscribe``: each parses its options, calls one function of the pipeline, and draws the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from app.ancestry import lineage
from app.attending import attend
from app.checks import ablate, correlate
from app.describing import describe
from app.handing import diff, export, import_command, import_descriptions, report
from app.inspecting import calls, llms, sql
from app.models import models
from app.operations import compare, relations
from app.options import (
    DEFAULT_CATALOGUE,
    CataloguePlace,
    Device,
    Dtype,
    EngineName,
    Heads,
    Json,
    Memory,
    Models,
    Quiet,
    RayAddress,
    Reading,
    Tokens,
)
from app.paper.command import paper
from app.roles import roles
from app.saying import say
from app.scoring import score
from app.searching import search
from app.serving import app_command
from app.showing import show
from app.stability import stability
from app.studies import study
from describe.readings import PAPER

if TYPE_CHECKING:
    from describe.catalog import Catalogue
    from describe.pipeline import ExtractResult

__all__ = ["app"]

app = typer.Typer(
    name="headscribe",
    help="Say, in words, what every attention head of a language model does, with the evidence beside the words.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from describe.versions import headscribe_version

        say(f"headscribe {headscribe_version()}")
        raise typer.Exit


@app.callback()
def headscribe(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Say, in words, what every attention head of a language model does, with the evidence beside the words."""


@app.command()
def extract(
    models: Models,
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    heads: Heads = "all",
    reading: Reading = None,
    tokens: Tokens = None,
    figures: Annotated[
        Optional[bool],  # noqa: UP045  (Typer reads the annotation at run time, on Python 3.10 too)
        typer.Option(
            "--figures/--no-figures",
            help="Say which heads relate, copy or suppress words, beside 256 random heads (default: by direct only).",
        ),
    ] = None,
    qk: Annotated[
        bool,
        typer.Option("--qk", help="Which pairs of tokens queries and keys connect, beside random heads and text."),
    ] = False,
    offset: Annotated[
        int, typer.Option("--offset", metavar="N", help="Of --qk: also at this many tokens apart alone.")
    ] = 1,
    device: Device = "auto",
    dtype: Dtype = "float32",
    memory: Memory = None,
    engine: EngineName = "local",
    ray_address: RayAddress = None,
    json_path: Json = None,
    quiet: Quiet = False,
) -> None:
    """Read the salient token mappings of every head from the weights into the catalogue."""
    from app.terminal import progress_bars, starting, write_json

    with starting(quiet):
        from describe import pipeline
        from describe.secrets import shown_url

    with pipeline.open_engine(engine, ray_address) as where, _catalogue(catalog, create=True) as opened:
        with progress_bars(quiet) as progress:
            results = pipeline.extract_all(
                opened,
                models,
                heads=heads,
                reading=reading,
                tokens=tokens,
                device=device,
                dtype=dtype,
                memory=memory,
                random=figures is not False,
                engine=where,
                progress=progress,
            )
            found_of = [
                pipeline.figures(opened, model, result.model, result.extraction_id, device=device, progress=progress)
                if (opened.reading(result.extraction_id) != PAPER if figures is None else figures)
                else {}
                for model, result in zip(dict.fromkeys(models), results, strict=True)
            ]
            about: dict[str, Any] = {"offset": offset, "device": device, "progress": progress}
            connected = [
                pipeline.query_key(opened, model, result.model, result.extraction_id, **about)
                for model, result in zip(dict.fromkeys(models), results, strict=True)
                if qk
            ]
        if json_path:
            write_json([record for result in results for record in _records(opened, result)], json_path)
        elif not quiet:
            for result, pairs in zip(results, connected, strict=False):
                say(f"{result.model.name}: {pipeline.query_key_in_words(pairs)}")
            for result, found in zip(results, found_of, strict=True):
                if found:
                    say(f"{result.model.name}: {pipeline.figures_in_words(found)}")
                _say_extracted(opened, result, shown_url(catalog))


def _say_extracted(catalogue: Catalogue, result: ExtractResult, place: str) -> None:
    """How many heads are where, and which tokens counted."""
    new = f"{result.new} new" if result.new else "all there already"
    say(f"{result.model.name}: {len(result.heads)} heads in {place} ({new})")
    counted = catalogue.counted_tokens(result.extraction_id)
    for line in filter(None, (result.note, counted and counted.text)):
        say(f"  {line}")


app.command()(describe)
app.command()(roles)
app.command()(score)
app.command()(stability)


app.command()(show)
app.command()(export)
app.command("import")(import_command)
app.command()(import_descriptions)
app.command()(report)
app.command()(lineage)
app.command()(diff)
app.command()(models)
app.command()(relations)
app.command()(compare)
app.command()(attend)
app.command()(correlate)
app.command()(ablate)
app.command()(paper)
app.command()(search)
app.command()(llms)
app.command()(calls)
app.command()(sql)
app.add_typer(study, name="study")
app.command("app")(app_command)


def _catalogue(where: str, *, create: bool = False) -> Catalogue:
    from describe.catalog import Catalogue

    return Catalogue(where, create=create)


def _records(catalogue: Catalogue, result: ExtractResult) -> list[dict[str, Any]]:
    wanted = {(head.layer, head.head) for head in result.heads}
    records = catalogue.head_records(result.model, result.extraction_id)
    return [record.to_json() for record in records if (record.layer, record.head) in wanted]
