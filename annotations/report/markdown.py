"""The report as Markdown."""

from __future__ import annotations

import re

from annotations.report.records import Report
from annotations.report.sections import Section, Table, sections
from describe.text import visible

__all__ = ["escaped", "markdown"]

# What Markdown, the HTML in it, tables, mathematics and automatic links would act on.
_ACTIVE = re.compile(r"[\\`*_{}\[\]<>#|&~$@]|:(?=//)|(?<=www)\.", re.IGNORECASE)


def markdown(report: Report) -> str:
    """The whole report: a title, then its sections; all text escaped."""
    parts = [f"# Report of the study {escaped(report.study.name)}\n", *map(_section, sections(report))]
    return "\n".join(parts)


def escaped(text: str) -> str:
    """Text on one line that shows as it is."""
    return _ACTIVE.sub(lambda match: f"&#{ord(match.group())};", visible(text).replace("\\\\", "\\"))


def _section(section: Section) -> str:
    bullet = "- " if len(section.words) > 1 else ""
    words = "".join(f"{bullet}{escaped(line)}\n" for line in section.words)
    parts = [f"## {escaped(section.title)}\n", words, *map(_table, section.tables)]
    return "\n".join(part for part in parts if part)


def _table(table: Table) -> str:
    rule = ["---:" if k in table.numbers else "---" for k in range(len(table.headings))]
    rows = [map(escaped, table.headings), rule, *(map(escaped, row) for row in table.rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
