"""The written forms of a report: one function each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from annotations.report.datasheet import datasheet
from annotations.report.markdown import markdown
from annotations.report.page import page
from annotations.report.records import Counts, Figure, RaterLine, Report
from describe.text import no_formula, visible

__all__ = ["FORMS", "table", "written"]

_COLUMNS = (
    "raters",
    "part",
    "figure",
    "group",
    "unit",
    "value",
    "low",
    "high",
    "method",
    "n",
    "hits",
    "descriptions",
    "note",
)


def written(report: Report, form: str) -> str:
    """The report in one of `FORMS`, complete."""
    return FORMS[form](report)


def table(report: Report) -> str:
    """CSV, a row per figure and interval, unrounded; cells that a spreadsheet would run start with an apostrophe."""
    rows = [{name: _cell(value) for name, value in row.items()} for row in _rows(report)]
    whole = {"n": "Int64", "hits": "Int64", "descriptions": "Int64"}
    text: str = pd.DataFrame(rows, columns=list(_COLUMNS)).astype(whole).to_csv(index=False, lineterminator="\n")
    return text


def _json(report: Report) -> str:
    return json.dumps(report.as_json(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


FORMS: dict[str, Callable[[Report], str]] = {
    "markdown": markdown,
    "html": page,
    "csv": table,
    "json": _json,
    "datasheet": datasheet,
}
"""A new form is one function here."""


def _cell(value: Any) -> Any:
    return no_formula(visible(value).replace("\\\\", "\\")) if isinstance(value, str) else value


def _rows(report: Report) -> Iterator[dict[str, Any]]:
    yield {"raters": "all", "part": "bootstrap", "figure": "draws", "unit": "count", "value": report.draws}
    yield {"raters": "all", "part": "bootstrap", "figure": "seed", "unit": "seed", "value": report.seed}
    whose = "all, none of them kept" if report.nobody_left else "kept"
    for raters, figures in ((whose, report.figures), ("all", report.figures_all)):
        for figure in figures:
            yield from _figure(figure, raters)
    for line in report.raters:
        yield from _rater(line)
    yield from _counts(report.items, "items", "all")
    for counts in (report.confusion, *report.answers, report.times):
        yield from _counts(counts, counts.title, whose)


def _rater(line: RaterLine) -> Iterator[dict[str, Any]]:
    row: dict[str, Any] = {"raters": "excluded" if line.reasons else "kept", "part": "rater", "group": line.rater}
    for found in _figure(line.detection, row["raters"]):
        yield found | {"figure": "d'", "group": line.rater}
    yield row | {"figure": "criterion c", "unit": "d'", "value": line.criterion, "n": line.detection.n}
    yield row | {"figure": "median time per item", "unit": "seconds", "value": line.seconds, "n": line.answered}
    yield row | {"figure": "catch items failed", "unit": "count", "value": line.failed, "n": line.catches}
    yield row | {"figure": "repeats changed", "unit": "count", "value": line.changed, "n": line.repeats}
    for reason in line.reasons:
        yield row | {"figure": "excluded", "note": reason}


def _figure(figure: Figure, raters: str) -> Iterator[dict[str, Any]]:
    row: dict[str, Any] = {
        "raters": raters,
        "part": figure.part,
        "figure": figure.name,
        "group": figure.group,
        "unit": figure.unit,
    }
    row |= {"value": figure.value, "n": figure.n, "hits": figure.hits, "note": figure.note}
    row["descriptions"] = figure.descriptions
    for interval in figure.intervals or (None,):
        yield row | (interval._asdict() if interval else {})


def _counts(counts: Counts, part: str, raters: str) -> Iterator[dict[str, Any]]:
    for name, cells in zip(counts.rows, counts.cells, strict=True):
        for column, count in zip(counts.columns, cells, strict=True):
            yield {"raters": raters, "part": part, "figure": column, "group": name, "unit": "count", "value": count}
