"""The commands ``llms``, ``calls`` and ``sql``: who can be asked, what was asked about a head, and questions in SQL."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from app import options as o
from app.saying import say

__all__ = ["calls", "llms", "sql"]


def llms(json_path: o.Json = None) -> None:
    """List the ways to name an LLM, and whether the environment has what each needs; shows no key."""
    from app.terminal import draw_table, write_json
    from describe.providers import PROVIDERS
    from describe.secrets import shown_url

    found = [
        {
            "llm": list(row.forms),
            "key": row.key,
            "key_is_set": bool(row.key and os.environ.get(row.key)),
            "endpoint_variable": row.address,
            "endpoint": shown_url(os.environ.get(row.address or "") or row.official or "") or None,
            "batches": row.batches,
            "needs": row.ways,
        }
        for row in PROVIDERS.values()
    ]
    if json_path:
        write_json({"default": os.environ.get("HEADSCRIBE_LLM"), "llms": found}, json_path)
        return
    rows = [
        (
            ", ".join(row.forms),
            f"{row.key} ({'set' if each['key_is_set'] else 'not set'})" if row.key else "",
            f"{each['endpoint']}{f' ({row.address})' if row.address else ''}" if each["endpoint"] else "",
            "yes" if row.batches else "",
        )
        for row, each in zip(PROVIDERS.values(), found, strict=True)
    ]
    draw_table(("--llm", "key", "endpoint", "--batch"), rows, title="LLMs")
    default = os.environ.get("HEADSCRIBE_LLM")
    say(f"without --llm: {default} (HEADSCRIBE_LLM)" if default else "HEADSCRIBE_LLM names one for all commands")


def calls(
    model: o.Model,
    head: Annotated[str, typer.Argument(metavar="L.H", help="A head, such as 25.0.")],
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    json_path: o.Json = None,
) -> None:
    """Show every call to an LLM about a head: prompt, reply, outcome, tokens, cost and time."""
    from app.terminal import write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.records import HeadId

    with Catalogue(catalog) as opened:
        found = pipeline.calls(opened, model, HeadId.parse(head))
    if json_path:
        write_json(found, json_path)
        return
    shown: set[str] = set()
    for call in found:
        money = "no price" if call["money"] is None else f"US $ {call['money']:.5f}"
        say(
            f"{call['created']}  {call['llm']}  {call['outcome']}  {call['tokens_in']} tokens in, {call['tokens_out']}"
            f" out, {money}, {call['seconds']:.2f} s"
        )
        if call["prompt"] and call["prompt"] not in shown:
            shown.add(call["prompt"])
            say("\n".join(f"    > {line}" for line in call["prompt"].splitlines()))
        for text in filter(None, (call["detail"], call["reply"])):
            say("\n".join(f"    < {line}" for line in text.splitlines()))
    say(f"{len(found)} calls about {head} of {model}", err=True)


def sql(
    question: Annotated[str, typer.Argument(metavar="SELECT", help="One question in SQL; nothing can be changed.")],
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    json_path: o.Json = None,
) -> None:
    """Ask the catalogue in SQL: views heads, descriptions, scores and calls, and its own tables (docs/formats.md)."""
    from app.terminal import draw_table, write_json
    from describe.catalog import Catalogue
    from describe.catalog.sql import ask

    with Catalogue(catalog) as opened:
        opened.cards.refresh()
        found = ask(opened.engine, question)
    if json_path:
        rows = [dict(zip(found.columns, map(_plain, row), strict=True)) for row in found.rows]
        write_json(rows, json_path)
        return
    draw_table(found.columns, [["" if cell is None else str(cell) for cell in row] for row in found.rows], title="")


def _plain(value: object) -> object:
    """A value of a column as JSON has it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
