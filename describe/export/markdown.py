"""Heads for readers and wikis, every token and word escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from describe.export import Parts
from describe.head_record import HeadRecord
from describe.mappings import MappingRow
from describe.readings import PAPER
from describe.records import ModelInfo
from describe.text import markdown as _md
from describe.text import printable, quoted, visible
from describe.versions import headscribe_version

__all__ = ["write_file"]


def write_file(parts: Parts, path: Path) -> None:
    """A section per head, every token and word escaped."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for number, (model, heads) in enumerate(parts):
            between = "\n" if number else ""
            file.write(f"{between}# {_md(visible(model.name))}\n\n{_facts(model)}\n")
            for head in heads:
                _write_head(head, file)


def _write_head(head: HeadRecord, file: TextIO) -> None:
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
    for title, told in (
        ("attends", head.attention_text),
        ("implements", head.implements_text),
        ("evidence", head.evidence_text),
    ):
        if told:
            file.write(f"- {title}: {_md(printable(told))}\n")
    if head.figure is not None:
        file.write(f"- mappings: {_md(head.figure.words)}\n")
    for role in head.several_roles:
        sources = " ".join(_code(head.salient[i].token) for i in role.rows)
        file.write(f"- role {role.role} {_md(visible(role.sign))} ({role.share:.0%} of the saliency): {sources}\n")
    if head.inference is not None:
        file.write(f"- mappings written in prompts: {head.inference.text}\n")
    if head.neuronpedia:
        file.write(f"- [the same head at Neuronpedia]({head.neuronpedia})\n")
    if head.reading != PAPER:
        file.write(f"- read by {_md(visible(head.reading.words))}\n")
    if head.constant is not None:
        part = head.constant
        up, down = (" ".join(_code(target.token) for target in way[:6]) for way in (part.promoted, part.suppressed))
        file.write(f"- whatever it reads ({part.share:.0%} of what it writes): promotes {up}; suppresses {down}\n")
    for figure, rows in (
        ("saliency", head.salient),
        ("distinctness", head.distinct),
        ("distinctness", head.suppressing),
    ):
        if rows or figure == "saliency":
            _write_rows(rows, figure, file)


def _write_rows(rows: Sequence[MappingRow], figure: str, file: TextIO) -> None:
    file.write(f"\n| source | {figure} | promotes | suppresses |\n| --- | ---: | --- | --- |\n")
    for row in rows:
        up, down = (" ".join(_code(target.token) for target in way) for way in (row.targets, row.suppressed))
        source = " ".join(map(_code, (row.token, *row.variants)))
        file.write(f"| {source} | {getattr(row, figure) or 0:.3f} | {up} | {down} |\n")


def _facts(model: ModelInfo) -> str:
    family, content_hash = _md(visible(model.family)), _md(visible(model.content_hash))
    return (
        f"{model.n_layers} layers of {model.n_heads} heads, family {family}, {model.vocab_size:,} tokens;"
        f" content SHA-256 `{content_hash}`; headscribe {headscribe_version()}\n"
    )


def _code(token: str) -> str:
    return f"<code>{_md(quoted(token))}</code>"
