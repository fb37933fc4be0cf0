"""Exporting the heads of models: one function a format, all fed with records of heads.

Files and folders are complete or not there: each is written beside its place and renamed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from describe.catalog.dataset import write_dataset
from describe.catalog.html import page_of, write_site
from describe.catalog.parquet import write_heads
from describe.catalog.table import COLUMNS, table_rows
from describe.errors import InputError
from describe.files import is_stream, replacing, replacing_folder
from describe.head_record import HeadRecord
from describe.records import ModelInfo
from describe.text import markdown as _md
from describe.text import no_formula, printable, quoted, visible
from describe.versions import headscribe_version

__all__ = ["FILES", "export"]

Records = Iterator[HeadRecord]
Parts = Iterator[tuple[ModelInfo, Records]]
"""Models, each with its heads: to be gone through once, in order."""


def export(
    parts: Iterable[tuple[ModelInfo, Iterable[HeadRecord]]], form: str, path: Path, licence: str | None = None
) -> int:
    """Write the heads of models to ``path`` in a format. Returns how many; raises `InputError` when it cannot.

    ``-`` is standard output.
    ``licence``: under which a dataset may be used, as the Hub names licences.
    """
    count = 0

    def counted(records: Iterable[HeadRecord]) -> Records:
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
                write_dataset(counting, partial, licence)
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
                file.write(json.dumps(record.to_json(), ensure_ascii=False).translate(_LINE_ENDS) + "\n")


def _csv(parts: Parts, path: Path) -> None:
    """A row per head and description; cells that a spreadsheet would run as a formula start with an apostrophe.

    All texts are in quotes: a bare carriage return would begin a row.
    """
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        for _, records in parts:
            for record in records:
                writer.writerows({name: no_formula(cell) for name, cell in row.items()} for row in table_rows(record))


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


def _markdown_head(head: HeadRecord, file: TextIO) -> None:
    file.write(f"\n## {head.id}\n\n")
    for one in head.ranked_descriptions():
        of_role = f", role {one.role}" if one.role else ""
        who = f"{_md(visible(one.llm))} ({_md(visible(one.prompt))}){of_role}"
        if one.failure is not None:
            file.write(f"- {who}: failed, {_md(visible(one.failure))}: {_md(visible(one.detail or ''))}\n")
        else:
            inputs, pattern = (_md(visible(words or "")) for words in (one.inputs, one.pattern))
            file.write(f"- {who}\n  - inputs: {inputs}\n  - pattern: {pattern}\n")
            if one.headline is not None:
                file.write(f"  - {_md(printable(one.headline.text))}\n")
    for title, told in (("implements", head.implements_text), ("evidence", head.evidence_text)):
        if told:
            file.write(f"- {title}: {_md(printable(told))}\n")
    for role in head.several_roles:
        sources = " ".join(_code(head.salient[i].token) for i in role.rows)
        file.write(f"- role {role.role} {_md(visible(role.sign))} ({role.share:.0%} of the saliency): {sources}\n")
    if head.inference is not None:
        file.write(f"- mappings written in prompts: {head.inference.text}\n")
    if head.neuronpedia:
        file.write(f"- [the same head at Neuronpedia]({head.neuronpedia})\n")
    file.write("\n| source | saliency | promotes | suppresses |\n| --- | ---: | --- | --- |\n")
    for row in head.salient:
        up, down = (" ".join(_code(target.token) for target in way) for way in (row.targets, row.suppressed))
        file.write(f"| {_code(row.token)} | {row.saliency:.3f} | {up} | {down} |\n")


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


def _facts(model: ModelInfo) -> str:
    family, content_hash = _md(visible(model.family)), _md(visible(model.content_hash))
    return (
        f"{model.n_layers} layers of {model.n_heads} heads, family {family}, {model.vocab_size:,} tokens;"
        f" content SHA-256 `{content_hash}`; headscribe {headscribe_version()}\n"
    )


def _code(token: str) -> str:
    return f"<code>{_md(quoted(token))}</code>"
