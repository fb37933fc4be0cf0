"""The commands of ``headscribe``: each parses its options, calls one function of the pipeline, and draws the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from app.operations import compare, relations
from app.options import DEFAULT_CATALOGUE, CataloguePlace, Device, Dtype, Format, Heads, Json, LLMName, Model, Quiet

if TYPE_CHECKING:
    from describe.catalog import Catalogue
    from describe.pipeline import DescribeResult, ExtractResult

__all__ = ["app"]

app = typer.Typer(
    name="headscribe",
    help="Say, in words, what every attention head of a language model does, with the evidence beside the words.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from describe.versions import headscribe_version

        typer.echo(f"headscribe {headscribe_version()}")
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
    model: Model,
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    heads: Heads = "all",
    device: Device = "auto",
    dtype: Dtype = "float32",
    json_path: Json = None,
    quiet: Quiet = False,
) -> None:
    """Read the salient token mappings of every head from the weights into the catalogue."""
    from app.terminal import progress_bars, write_json
    from describe import pipeline

    with _catalogue(catalog, create=True) as opened:
        with progress_bars(quiet) as progress:
            result = pipeline.extract(opened, model, heads=heads, device=device, dtype=dtype, progress=progress)
        if json_path:
            write_json(_records(opened, result), json_path)
        elif not quiet:
            new = f"{result.new} new" if result.new else "all there already"
            typer.echo(f"{result.model.name}: {len(result.heads)} heads in {catalog} ({new})")


@app.command()
def describe(
    model: Model,
    llm: LLMName = None,
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    heads: Heads = "all",
    prompt: Annotated[
        Optional[str], typer.Option("--prompt", metavar="NAME", help="The prompt template (default: salient-1).")  # noqa: UP045
    ] = None,
    concurrency: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--concurrency", min=1, metavar="N", help="Heads asked about at once (default: 8; gguf: 1)."),
    ] = None,
    temperature: Annotated[float, typer.Option("--temperature", min=0, help="Sampling temperature.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Sampling seed, where the server has one.")] = 0,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=16, metavar="N", help="Longest reply, reasoning included.")
    ] = 2048,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="S", help="Seconds to wait for a reply.")
    ] = 120.0,
    attempts: Annotated[
        int, typer.Option("--attempts", min=1, metavar="N", help="Tries of a call that the server fails.")
    ] = 6,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Ask again about heads that failed.")] = False,
    device: Device = "auto",
    dtype: Dtype = "float32",
    json_path: Json = None,
    quiet: Quiet = False,
) -> int:
    """Describe heads by an LLM, or by statistics; extracts first if needed. A run cut short goes on where it was."""
    from app.terminal import progress_bars, write_json
    from describe import pipeline
    from describe.llm import Request, parse_llm

    named = parse_llm(llm)
    at_once = concurrency or (1 if named.provider == "gguf" else 8)
    request = Request(max_tokens=max_tokens, temperature=temperature, seed=seed, timeout=timeout, attempts=attempts)
    with _catalogue(catalog, create=True) as opened:
        with progress_bars(quiet) as progress:
            result = pipeline.describe(
                opened,
                model,
                named,
                request=request,
                heads=heads,
                prompt=prompt,
                concurrency=at_once,
                retry_failed=retry_failed,
                device=device,
                dtype=dtype,
                progress=progress,
            )
        if json_path:
            write_json(_records(opened, result), json_path)
        elif not quiet:
            _draw_descriptions(opened, result)
    return _describe_exit(result)


@app.command()
def show(
    model: Model,
    head: Annotated[
        str | None, typer.Argument(metavar="[L.H]", help="A head, such as 25.0; none: a table of all.")
    ] = None,
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    json_path: Json = None,
) -> None:
    """Show everything known of one head, or a table of all heads."""
    from app.terminal import draw_head, draw_heads, write_json
    from describe import pipeline
    from describe.records import HeadId

    with _catalogue(catalog) as opened:
        if head is not None:
            record = pipeline.head_record(opened, model, HeadId.parse(head))
            write_json(record, json_path) if json_path else draw_head(record)
            return
        info, extraction_id = pipeline.find(opened, model)
        records = opened.head_records(info, extraction_id)
        write_json(list(records), json_path) if json_path else draw_heads(records)


@app.command()
def export(
    model: Model,
    format_: Annotated[Format, typer.Option("--format", "-f", help="What to write.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="The file to write.")],
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    quiet: Quiet = False,
) -> None:
    """Write the heads of a model to a file: jsonl, csv, parquet, markdown, or one self-contained HTML page."""
    from describe import pipeline

    with _catalogue(catalog) as opened:
        number = pipeline.export(opened, model, format_.value, output)
    if not quiet:
        typer.echo(f"{number} heads written to {output}")


@app.command()
def models(json_path: Json = None) -> None:
    """List the model families that headscribe reads."""
    from app.terminal import draw_families, write_json
    from describe.weights import FAMILIES

    if json_path:
        rows = [
            {"family": f.name, "model_types": f.model_types, "gguf": f.gguf, "models": f.examples} for f in FAMILIES
        ]
        write_json(rows, json_path)
    else:
        draw_families(FAMILIES)


app.command()(relations)
app.command()(compare)


def _catalogue(where: str, *, create: bool = False) -> Catalogue:
    from describe.catalog import Catalogue

    return Catalogue(where, create=create)


def _records(catalogue: Catalogue, result: ExtractResult | DescribeResult) -> list[dict[str, Any]]:
    from describe.pipeline import DescribeResult

    wanted = {(head.layer, head.head) for head in result.heads}
    labeller = result.labeller_id if isinstance(result, DescribeResult) else None
    records = catalogue.head_records(result.model, result.extraction_id, labeller_id=labeller)
    return [record for record in records if (record["layer"], record["head"]) in wanted]


def _draw_descriptions(catalogue: Catalogue, result: DescribeResult) -> None:
    from app.terminal import draw_heads

    draw_heads(_records(catalogue, result))


def _describe_exit(result: DescribeResult) -> int:
    """The exit code, and on standard error which heads have no answer."""
    if result.failures:
        listed = ", ".join(f"{head} ({cause})" for head, cause in list(result.failures.items())[:20])
        more = f" and {len(result.failures) - 20} more" if len(result.failures) > 20 else ""
        typer.echo(
            f"headscribe: {len(result.failures)} heads failed: {listed}{more}; --retry-failed asks again", err=True
        )
    if result.interrupted:
        typer.echo(
            f"headscribe: interrupted; {len(result.missing)} heads are missing, run the same command again to go on",
            err=True,
        )
        return 130
    return 1 if result.failures else 0
