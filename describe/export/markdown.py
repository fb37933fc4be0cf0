"""Heads for readers and wikis, every token and word escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from describe.export import Parts
from describe.head_record import HeadRecord
from describe.head_record.card_evidence import worded_lines
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
    """The headline; where the head looks; what it writes, with its rows; then what was said of it, and the rest."""
    file.write(f"\n## {head.id}\n\n")
    _write_sides(head, file)
    for figure, rows in (
        ("saliency", head.salient),
        ("distinctness", head.distinct),
        ("distinctness", head.suppressing),
    ):
        if rows or figure == "saliency":
            _write_rows(rows, figure, file)
    file.write("\n")
    for one in head.ranked_descriptions():
        of_role = f", role {one.role}" if one.role else ""
        who = f"{_md(visible(one.llm))} ({_md(visible(one.prompt))}){of_role}"
        if one.failure is not None:
            file.write(f"- {who}: failed, {_md(visible(one.cause))}\n")
        else:
            inputs, pattern = (_md(visible(words or "")) for words in (one.inputs, one.pattern))
            file.write(f"- {who}\n  - inputs: {inputs}\n  - pattern: {pattern}\n")
            if one.headline is not None:
                file.write(f"  - {_md(printable(one.headline.text))}\n  - verdict: {one.verdict}\n")
            file.write("".join(f"  - {_md(visible(line))}\n" for line in one.unscored))
    for found in head.several_roles:
        sources, targets = (" ".join(_code(one.token) for one in some) for some in (found.sources, found.targets))
        much = f"{found.role.share:.0%} of the saliency, {len(found.role.rows)} rows; {found.verdict}"
        file.write(f"- role {found.role.role} {found.role.sign} {targets} for {sources} ({much})\n")
    if head.evidence_text:
        file.write(f"- evidence: {_md(printable(head.evidence_text))}\n")
    for words in head.named:
        file.write(f"- named in a paper: {_md(words)}\n")
    if head.neuronpedia:
        file.write(f"- [the same head at Neuronpedia]({head.neuronpedia})\n")
    if head.reading != PAPER:
        file.write(f"- read by {_md(visible(head.reading.words))}\n")


def _write_sides(head: HeadRecord, file: TextIO) -> None:
    """The headline with what it rests on and what contradicts it, and the two sides of the head, a paragraph each."""
    if head.card is not None:
        file.write(f"**{_md(printable(head.card.headline))}**")
        file.write(f": {_md(printable(head.card.basis))}\n" if head.card.basis else "\n")
        for found in head.card.contradictions:
            file.write(f"\n*But* {_md(printable(found.words))}\n")
    _write_wordings(head, file)
    inference, part = head.inference, head.constant
    sides = [("Attends", head.attention_text), ("Implements", head.implements_text)]
    sides.append(("Suppresses", head.suppresses_text))
    sides.append(("By its weights it looks from", head.query_key.words if head.query_key else ""))
    sides.append(("Mappings", head.figure.words if head.figure else ""))
    sides.append(("Mappings written in prompts", inference.text if inference else ""))
    for title, told in sides:
        if told:
            file.write(f"\n{title}: {_md(printable(told))}\n")
    if part is not None:
        up, down = (" ".join(_code(target.token) for target in way[:6]) for way in (part.promoted, part.suppressed))
        file.write(f"\nWhatever it reads ({part.share:.0%} of what it writes): promotes {up}; suppresses {down}\n")


def _write_wordings(head: HeadRecord, file: TextIO) -> None:
    """The card as LLMs word it, a paragraph each; then the evidence that its numbers name."""
    for one in worded_lines(head):
        said = one.failed or " ".join(one.statements)
        file.write(f"\nWorded by {_md(visible(one.by))}: {_md(visible(said))}\n")
        if told := [*one.evidence, *one.notes]:
            file.write("".join(f"\n- {_md(visible(words))}" for words in told) + "\n")


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
