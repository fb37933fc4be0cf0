"""The command ``describe``: a run, what it would be (``--dry-run``), and what runs took (``--report``)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from app import options as o
from app.llm_options import DEFAULTS, LLMOptions, listed, with_llm_options
from app.saying import say
from describe.errors import InputError

if TYPE_CHECKING:
    from describe.catalog import Catalogue
    from describe.head_record import HeadRecord
    from describe.llm import LLM
    from describe.pipeline import Batching, DescribeResult, Limits, Plan

__all__ = ["describe"]

Terms = Callable[["LLM"], dict[str, Any]]
"""How each LLM is asked: the arguments of `describe.pipeline.describe`."""


@with_llm_options
def describe(
    model: o.Model,
    llm: o.LLMNames = None,
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
    """Describe heads by an LLM, or several; extracts first if needed. A run that was cut short goes on where it was."""
    from describe.catalog import Catalogue
    from describe.llm import parse_llm

    if report:
        return _report(catalog, model, llm, json_path)
    if show_prompt is not None:
        return _show_prompt(catalog, model, show_prompt, prompt, reading, json_path, cards)
    named = [parse_llm(one) for one in llm] if llm else [parse_llm(None)]
    if cards and (roles or placebos):
        raise InputError("--cards words what is known of whole heads: leave out --roles and --placebos")
    asked: dict[str, Any] = {"heads": heads, "reading": reading, "prompt": prompt}
    asked |= {} if cards else {"roles": roles, "placebos": placebos}

    def terms(one: LLM) -> dict[str, Any]:
        return llm_options.terms(one, temperature=temperature, seed=seed) | asked

    if cards:
        from app.wording import word_cards

        return word_cards(catalog, model, named, terms, llm_options, json_path, quiet)
    with Catalogue(catalog, create=not llm_options.dry_run) as opened:
        if llm_options.dry_run:
            return _dry_run(opened, model, named, terms, json_path)
        more = {"fresh": llm_options.fresh, "device": device, "dtype": dtype}
        return _run(opened, model, named, lambda one: terms(one) | more, json_path, quiet)


def _run(opened: Catalogue, model: str, llms: list[LLM], terms: Terms, json_path: Path | None, quiet: bool) -> int:
    import gc

    from app.describers import run_each
    from app.terminal import HeadLine, draw_heads, progress_bars, write_json
    from describe import pipeline

    gc.freeze()  # what is there by now stays: the collector need not go through it again for every few calls,
    gc.set_threshold(50_000, 20, 100)  # nor through the many short-lived objects of each call at once
    results: list[DescribeResult] = []

    def run(llm: LLM, limits: Limits, batch: Batching | None) -> DescribeResult:
        with progress_bars(quiet) as progress:
            asked = terms(llm) | {"limits": limits, "batch": batch, "progress": progress}
            return pipeline.describe(opened, model, llm, **asked)

    def show(llm: LLM, result: DescribeResult) -> None:
        results.append(result)
        if not (json_path or quiet):
            if len(llms) > 1:
                say(f"{llm}")
            draw_heads(map(HeadLine.of, _described(opened, result, [result.labeller_id])))
            say(result.summary)

    code = run_each(llms, terms(llms[0]), run, show)
    if json_path and results:
        records = _described(opened, results[0], [result.labeller_id for result in results])
        write_json([record.to_json() for record in records], json_path)
    return code


def _described(opened: Catalogue, result: DescribeResult, labellers: Collection[int]) -> list[HeadRecord]:
    """The heads of a run, each with the descriptions by some describers alone."""
    wanted = {(head.layer, head.head) for head in result.heads}
    found = opened.head_records(result.model, result.extraction_id, labellers=labellers)
    return [record for record in found if (record.layer, record.head) in wanted]


def _dry_run(opened: Catalogue, model: str, llms: list[LLM], terms: Terms, json_path: Path | None) -> int:
    from app.describers import plan_each
    from describe import pipeline

    return plan_each(
        llms, lambda llm: pipeline.plan(opened, model, llm, **terms(llm)), _plan_in_words, _plan_json, json_path
    )


def _plan_in_words(found: Plan) -> str:
    from app.plans import waiting

    return (
        f"heads    {len(found.heads)} of {found.model.name} to describe: {listed(found.heads)}"
        f"{waiting(found)}\n"
        f"prompts  {len(found.prompts)} ready, {len(found.heads) - len(found.prompts)} to extract first"
        f"{f'; and those of {found.placebos} placebos (--placebos 0: none)' if found.placebos else ''}"
    )


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


def _report(catalog: str, model: str, llms: list[str] | None, json_path: Path | None) -> int:
    from app.terminal import draw_table, write_json
    from describe import pipeline
    from describe.catalog import Catalogue

    with Catalogue(catalog) as opened:
        found = pipeline.report(opened, model, llms)
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
