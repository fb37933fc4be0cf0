"""Exporting the heads of models: one function a format, all fed with the JSON form of one head.

Files and folders are complete or not there: each is written beside its place and renamed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from describe.catalog.dataset import write_dataset
from describe.catalog.html import page_of, write_site
from describe.catalog.links import neuronpedia
from describe.catalog.parquet import write_heads
from describe.catalog.scores import headline, scored
from describe.errors import InputError
from describe.files import is_stream, replacing, replacing_folder
from describe.records import THRESHOLD, ModelInfo
from describe.text import markdown as _md
from describe.text import no_formula, printable, quoted, visible
from describe.versions import headscribe_version

__all__ = ["FILES", "export"]

Records = Iterator[dict[str, Any]]
Parts = Iterator[tuple[ModelInfo, Records]]
"""Models, each with its heads: to be gone through once, in order."""


def export(
    parts: Iterable[tuple[ModelInfo, Iterable[dict[str, Any]]]], form: str, path: Path, licence: str | None = None
) -> int:
    """Write the heads of models to ``path`` in a format. Returns how many; raises `InputError` when it cannot.

    ``-`` is standard output.
    ``licence``: under which a dataset may be used, as the Hub names licences.
    """
    count = 0

    def counted(records: Iterable[dict[str, Any]]) -> Records:
        nonlocal count
        for record in records:
            count += 1
            yield record

    counting = ((model, counted(records)) for model, records in parts)
    one_page = path.suffix.lower() in (".html", ".htm") or is_stream(path)
    if form == "dataset" or (form == "html" and not one_page):
        about = {"made_by": f"headscribe {headscribe_version()}", "format": form}
        with replacing_folder(path, about) as partial:
            if form == "dataset":
                write_dataset(counting, partial, _flat, _COLUMNS, licence)
            else:
                write_site(counting, partial)
    else:
        with replacing(path) as partial:
            FILES[form](counting, partial)
    return count


_LINE_ENDS = {char: f"\\u{char:04x}" for char in (0x85, 0x2028, 0x2029)}
"""Where some readers, unlike JSON, would end a line."""


def _jsonl(parts: Parts, path: Path) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for _, records in parts:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False).translate(_LINE_ENDS) + "\n")


def _csv(parts: Parts, path: Path) -> None:
    """A row per head and description; cells that a spreadsheet would run as a formula start with an apostrophe.

    All texts are in quotes: a bare carriage return would begin a row.
    """
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        for _, records in parts:
            for record in records:
                writer.writerows({name: no_formula(cell) for name, cell in row.items()} for row in _flat(record))


def _parquet(parts: Parts, path: Path) -> None:
    """A row per head with nested mappings and descriptions; what has no fixed form is JSON text."""
    write_heads((record for _, records in parts for record in records), path)


def _markdown(parts: Parts, path: Path) -> None:
    """A section per head, every token and word escaped."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for number, (model, records) in enumerate(parts):
            between = "\n" if number else ""
            file.write(f"{between}# {_md(visible(model.name))}\n\n{_facts(model)}\n")
            for record in records:
                _markdown_head(record, file)


def _markdown_head(record: dict[str, Any], file: TextIO) -> None:
    file.write(f"\n## {record['layer']}.{record['head']}\n\n")
    for found in record["descriptions"]:
        who = f"{_md(visible(found['llm']))} ({_md(visible(found['prompt']))}){_of_role(found)}"
        if found["failure"]:
            file.write(f"- {who}: failed, {_md(visible(found['failure']))}: {_md(visible(found['detail'] or ''))}\n")
        else:
            inputs, pattern = (_md(visible(found[part] or "")) for part in ("inputs", "pattern"))
            file.write(f"- {who}\n  - inputs: {inputs}\n  - pattern: {pattern}\n")
            if told := scored(found):
                file.write(f"  - {_md(printable(told))}\n")
    for title, told in (("implements", _implemented(record)), ("evidence", _claims(record))):
        if told:
            file.write(f"- {title}: {_md(printable(told))}\n")
    for role in record["roles"] if len(record["roles"]) > 1 else []:
        sources = " ".join(_code(record["salient"][i]["token"]) for i in role["rows"])
        file.write(
            f"- role {role['role']} {_md(visible(role['sign']))} ({role['share']:.0%} of the saliency): {sources}\n"
        )
    if record["inference"]:
        found = record["inference"]
        shares = f"{found['of_source']:.2f} without context, {found['in_context']:.2f} with context"
        file.write(f"- mappings written in prompts: {shares}\n")
    if link := neuronpedia(record["model"], record["layer"], record["head"]):
        file.write(f"- [the same head at Neuronpedia]({link})\n")
    file.write("\n| source | saliency | promotes | suppresses |\n| --- | ---: | --- | --- |\n")
    for row in record["salient"]:
        up, down = (" ".join(_code(t["token"]) for t in row[way]) for way in ("targets", "suppressed"))
        file.write(f"| {_code(row['token'])} | {row['saliency']:.3f} | {up} | {down} |\n")


def _html(parts: Parts, path: Path) -> None:
    """One self-contained page: no server, nothing from outside."""
    (model, records), *others = parts
    if others:
        raise InputError("one page shows one model: name one, or a folder for a site of them all")
    path.write_text(page_of(model, records), encoding="utf-8", errors="backslashreplace")


FILES: dict[str, Callable[[Parts, Path], None]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
    "markdown": _markdown,
    "html": _html,
}
"""A new format is one function here, and its name in `app.options.Format`. Two formats are folders: see `export`."""

_COLUMNS = [
    *("model", "layer", "head", "saliency", "sources", "targets", "suppressed", "implements", "evidence"),
    *("mappings_without_context", "mappings_with_context"),
    *("roles", "llm", "prompt", "role", "inputs", "pattern", "unclear", "reasoning", "failure"),
    *("score", "score_low", "score_high", "score_placebo", "score_measure", "score_judge"),
]
_TOLD = _COLUMNS[_COLUMNS.index("llm") : _COLUMNS.index("score")]


def _flat(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A head as table rows, one per description; one without a description as a row all the same."""
    salient = record["salient"]
    mapping = {
        "saliency": salient[0]["saliency"] if salient else None,
        "sources": " ".join(quoted(row["token"]) for row in salient),
        **{
            way: " | ".join(" ".join(quoted(target["token"]) for target in row[way]) for row in salient)
            for way in ("targets", "suppressed")
        },
        "implements": _implemented(record),
        "evidence": _claims(record),
        "roles": "; ".join(f"{r['role']} {r['sign']} {r['share']:.2f}" for r in record["roles"]),
    }
    checked = record["inference"] or {}
    mapping |= {
        "mappings_without_context": checked.get("of_source"),
        "mappings_with_context": checked.get("in_context"),
    }
    for found in record["descriptions"] or [{}]:
        told = {name: found.get(name) for name in _TOLD} | _score(found)
        yield {name: record[name] for name in ("model", "layer", "head")} | mapping | told


def _score(description: dict[str, Any]) -> dict[str, Any]:
    """The score to show first, and the level that a wrong description reaches; empty where there is none."""
    top = (headline(description) if description else None) or {}
    values = {f"score_{name}": top.get(name) for name in ("low", "high", "placebo", "measure", "judge")}
    return {"score": top.get("value")} | values


def _of_role(description: dict[str, Any]) -> str:
    return f", role {description['role']}" if description["role"] else ""


def _implemented(record: dict[str, Any]) -> str:
    """The operations a head implements, from the strongest down, with their scores."""
    strong = [(v["score"], name) for name, v in record["relations"].items() if v["score"] >= THRESHOLD]
    return "; ".join(f"{visible(name)} {score:.2f}" for score, name in sorted(strong, reverse=True))


def _claims(record: dict[str, Any]) -> str:
    """What is above chance in a head's mappings, in words."""
    return "; ".join(f"{e['kind']}: {e['wording']} ({e['count']} of {e['rows']})" for e in record["evidence"])


def _facts(model: ModelInfo) -> str:
    family, content_hash = _md(visible(model.family)), _md(visible(model.content_hash))
    return (
        f"{model.n_layers} layers of {model.n_heads} heads, family {family}, {model.vocab_size:,} tokens;"
        f" content SHA-256 `{content_hash}`; headscribe {headscribe_version()}\n"
    )


def _code(token: str) -> str:
    return f"<code>{_md(quoted(token))}</code>"
