"""The command ``describe``: a run, what it would be (``--dry-run``), and what runs took (``--report``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from app import options as o
from app.llm_options import DEFAULTS, LLMOptions, exit_code, listed, with_llm_options
from app.saying import say
from describe.errors import InputError

if TYPE_CHECKING:
    from describe.catalog import Catalogue
    from describe.pipeline import Plan

__all__ = ["describe"]


@with_llm_options
def describe(
    model: o.Model,
    llm: o.LLMName = None,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    heads: o.Heads = "all",
    reading: o.Reading = None,
    prompt: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--prompt", metavar="NAME", help="A prompt template, or the path of one's own (default: salient-2)."
        ),
    ] = None,
    placebos: o.Placebos = None,
    roles: Annotated[
        bool, typer.Option("--roles", help="Heads that do several things: describe each role (headscribe roles).")
    ] = False,
    cards: Annotated[
        bool,
        typer.Option("--cards", help="Instead: word all that is known of heads, each statement with its evidence."),
    ] = False,
    temperature: Annotated[float, typer.Option("--temperature", min=0, help="Sampling temperature.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Sampling seed, where the server has one.")] = 0,
    llm_options: LLMOptions = DEFAULTS,
    show_prompt: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--show-prompt", metavar="L.H", help="Show what would be asked about a head; needs no LLM."),
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Show what all calls so far took; needs no LLM.")] = False,
    device: o.Device = "auto",
    dtype: o.Dtype = "float32",
    json_path: o.Json = None,
    quiet: o.Quiet = False,
) -> int:
    """Describe heads by an LLM; extracts first if needed. A run that was cut short goes on where it was."""
    from describe.catalog import Catalogue
    from describe.llm import parse_llm

    if report:
        return _report(catalog, model, llm, json_path)
    if show_prompt is not None:
        return _show_prompt(catalog, model, show_prompt, prompt, reading, json_path, cards)
    named = parse_llm(llm)
    asked = llm_options.terms(named, temperature=temperature, seed=seed)
    asked |= {"heads": heads, "reading": reading, "prompt": prompt}
    if cards:
        from app.wording import word_cards

        if roles or placebos:
            raise InputError("--cards words what is known of whole heads: leave out --roles and --placebos")
        return word_cards(catalog, model, named, asked, llm_options, json_path, quiet)
    asked |= {"roles": roles, "placebos": placebos}
    with Catalogue(catalog, create=not llm_options.dry_run) as opened:
        if llm_options.dry_run:
            return _dry_run(opened, model, named, asked, json_path)
        asked |= {"fresh": llm_options.fresh, "device": device, "dtype": dtype}
        return _run(opened, model, named, asked, json_path, quiet)


def _run(opened: Catalogue, model: str, llm: Any, asked: dict[str, Any], json_path: Path | None, quiet: bool) -> int:
    import gc

    from app.terminal import HeadLine, draw_heads, progress_bars, write_json
    from describe import pipeline

    gc.freeze()  # what is there by now stays: the collector need not go through it again for every few calls,
    gc.set_threshold(50_000, 20, 100)  # nor through the many short-lived objects of each call at once
    with progress_bars(quiet) as progress:
        result = pipeline.describe(opened, model, llm, **asked, progress=progress)
    if json_path or not quiet:
        wanted = {(head.layer, head.head) for head in result.heads}
        found = opened.head_records(result.model, result.extraction_id, labeller_id=result.labeller_id)
        records = [record for record in found if (record.layer, record.head) in wanted]
        if json_path:
            write_json([record.to_json() for record in records], json_path)
        else:
            draw_heads(map(HeadLine.of, records))
            say(result.summary)
    return exit_code(result, "heads")


def _dry_run(opened: Catalogue, model: str, llm: Any, asked: dict[str, Any], json_path: Path | None) -> int:
    from app.plans import amounts, waiting
    from app.terminal import write_json
    from describe import pipeline

    found = pipeline.plan(opened, model, llm, **asked)
    if json_path:
        write_json(_plan_json(found), json_path)
        return 0
    say(
        f"heads    {len(found.heads)} of {found.model.name} to describe: {listed(found.heads)}"
        f"{waiting(found)}\n"
        f"prompts  {len(found.prompts)} ready, {len(found.heads) - len(found.prompts)} to extract first"
        f"{f'; and those of {found.placebos} placebos (--placebos 0: none)' if found.placebos else ''}\n"
        f"{amounts(found)}"
    )
    return 0


def _plan_json(found: Plan) -> dict[str, Any]:
    from app.plans import expected_json

    return {
        "model": found.model.name,
        "heads": [str(head) for head in found.heads],
        "prompts": {str(head): text for head, text in found.prompts.items()},
        "placebos": found.placebos,
        **expected_json(found),
    }


def _show_prompt(
    catalog: str, model: str, head: str, prompt: str | None, reading: str | None, json_path: Path | None, cards: bool
) -> int:
    from app.terminal import write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.records import HeadId

    with Catalogue(catalog) as opened:
        of_head = pipeline.card_prompt_of if cards else pipeline.prompt_of
        found = of_head(opened, model, HeadId.parse(head), prompt, reading)
    if json_path:
        write_json(found, json_path)
    else:
        typer.echo(found["text"])
    return 0


def _report(catalog: str, model: str, llm: str | None, json_path: Path | None) -> int:
    from app.terminal import draw_table, write_json
    from describe import pipeline
    from describe.catalog import Catalogue

    with Catalogue(catalog) as opened:
        found = pipeline.report(opened, model, llm)
    if json_path:
        write_json(found, json_path)
        return 0
    rows = [
        (row["llm"], row["endpoint"][:40], f"{row['outcome']}{' (batch)' if row['batch'] else ''}", *_amounts([row]))
        for row in found["summary"]
    ]
    for llm in dict.fromkeys(row["llm"] for row in found["summary"]):
        rows.append((llm, "", "all", *_amounts([row for row in found["summary"] if row["llm"] == llm])))
    headings = ("LLM", "endpoint", "outcome", "calls", "tokens in", "tokens out", "of reasoning", "US $", "mean s")
    draw_table(headings, rows, title=f"{model}: calls to LLMs", right=(3, 4, 5, 6, 7, 8))
    return 0


def _amounts(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """Calls, tokens, money and mean latency of several rows together; money that is not all known is marked."""
    calls = sum(row["calls"] for row in rows)
    counts = (sum(row[name] for row in rows) for name in ("tokens_in", "tokens_out", "tokens_reasoning"))
    money = f"{sum(row['money'] for row in rows):.4f}"
    unknown = any(row["calls_without_price"] for row in rows)
    mean = sum(row["mean_seconds"] * row["calls"] for row in rows) / calls
    return (f"{calls:,}", *(f"{count:,}" for count in counts), f"{money} + ?" if unknown else money, f"{mean:.2f}")
