"""Charts of a report, from the report alone: the written forms and the web app draw the same ones."""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from annotations.records import PRESENCE
from annotations.report.figures import DESCRIBED
from annotations.report.records import Counts, Figure, Report

__all__ = ["DARK", "PAPER", "Inks", "charts", "data_uri", "drawable"]


@dataclass(frozen=True, slots=True)
class Inks:
    """Colours on one background: of the grades of an answer, of lines, of numbers, and of shares from 0 to 1 with the
    numbers on the smaller and on the larger ones."""

    grades: Mapping[str, str]
    line: str
    number: str
    shares: tuple[str, str]
    on_shares: tuple[str, str]


PAPER = Inks({"strict": "#4a84be", "lenient": "#bcd4eb"}, "#14181d", "#444", ("#f4f6f9", "#08306b"), ("black", "white"))
DARK = Inks(
    {"strict": "#4a84be", "lenient": "#2c4a68"}, "#f2f4f6", "#b8c0c8", ("#1c2430", "#d3e6ff"), ("white", "black")
)

_TOP = {"orient": "top"}  # beside, a legend would lie on the numbers of answers


def drawable() -> bool:
    """Whether charts can be made into pictures here: with ``pip install 'headscribe[plots]'``."""
    return all(importlib.util.find_spec(name) for name in ("altair", "vl_convert"))


def charts(report: Report, inks: Inks = PAPER) -> dict[str, tuple[str, Any]]:
    """Name -> what it shows, and the Altair chart; those for which there are no figures are left out."""
    drawn = ((name, words, draw(report, inks)) for name, (words, draw) in _CHARTS.items())
    return {name: (words, chart) for name, words, chart in drawn if chart is not None}


def data_uri(chart: Any) -> str:
    """The chart as an SVG image that stands in a page itself. Needs vl-convert."""
    import vl_convert

    svg = vl_convert.vegalite_to_svg(chart.configure_view(strokeWidth=0).to_dict())
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _plausibility(report: Report, inks: Inks) -> Any:
    return _shares(report, "plausibility", inks)


def _layer(report: Report, inks: Inks) -> Any:
    return _shares(report, "layer", inks)


def _calibration(report: Report, inks: Inks) -> Any:
    """The reliability curves: over the height of a score the share that fits, with its interval, by describer; below
    each other those of several scores."""
    import altair as alt

    figures = [figure for figure in report.figures if figure.bin is not None and figure.value is not None]
    if not figures:
        return None
    bins = [figure.bin for figure in figures if figure.bin is not None]
    rows = _rows(figures).assign(
        source=[found.source for found in bins],
        score=[found.score for found in bins],
        start=[found.low for found in bins],
        end=[found.high for found in bins],
        middle=[(found.low + found.high) / 2 for found in bins],
    )
    base = alt.Chart(rows).encode(
        x=alt.X("middle:Q", title="automatic score", scale=alt.Scale(zero=False, padding=12)),
        color=alt.Color("source:N", title=None, legend=_TOP),
    )
    share = alt.Y("value:Q", title="share of answers that fit", axis=alt.Axis(format="%"))
    curve = base.mark_line(point=alt.OverlayMarkDef(size=60)).encode(y=share.scale(domain=[0, 1]))
    spans = base.mark_rule(strokeWidth=1, opacity=0.5).encode(x="start:Q", x2="end:Q", y="value:Q")
    reach = base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q").transform_filter("isValid(datum.low)")
    counts = base.transform_calculate(label="'n = ' + datum.n").mark_text(align="left", dx=6, dy=-8)
    drawn = (spans + reach + curve + counts.encode(y="value:Q", text="label:N")).properties(width=420, height=240)
    scores = list(dict.fromkeys(found.score for found in bins))
    if len(scores) == 1:
        return drawn
    header = alt.Header(labelFontWeight="bold", labelLimit=420)
    each = alt.Facet("score:N", title=None, sort=scores, header=header)
    return drawn.facet(facet=each, columns=1).resolve_scale(x="independent").resolve_axis(x="independent")


def _shares(report: Report, part: str, inks: Inks) -> Any:
    """A bar for each share and its bootstrap interval as a line, or no line where there is none."""
    import altair as alt

    rows = _rows([figure for figure in report.figures if figure.part == part and figure.unit == "share"])
    if rows.empty:
        return None
    order = rows["group"].drop_duplicates().tolist()
    base = alt.Chart(rows).encode(
        y=alt.Y("group:N", sort=order, title=None, axis=alt.Axis(labelLimit=240)),
        yOffset=alt.YOffset("name:N", sort=list(inks.grades)),
    )
    scale = alt.Scale(domain=list(inks.grades), range=list(inks.grades.values()))
    bars = base.mark_bar().encode(
        x=alt.X("value:Q", title="share of answers", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("name:N", scale=scale, sort=list(inks.grades), title=None, legend=_TOP),
    )
    lines = base.mark_rule(strokeWidth=1.5, color=inks.line).encode(x="low:Q", x2="high:Q")
    counts = (
        base.transform_calculate(label="'n = ' + datum.n")
        .mark_text(align="left", dx=4, color=inks.number)
        .encode(x=alt.datum(1), text="label:N")
    )
    return (bars + lines.transform_filter("isValid(datum.low)") + counts).properties(width=420, height=alt.Step(21))


def _detection(report: Report, inks: Inks) -> Any:
    import altair as alt

    rows = _rows([line.detection for line in report.raters])
    if rows.empty:
        return None
    out = {line.rater for line in report.excluded}
    rows["rater"], rows["state"] = rows["name"], ["excluded" if name in out else "kept" for name in rows["name"]]
    base = alt.Chart(rows).encode(y=alt.Y("rater:N", title=None))
    scale = alt.Scale(domain=["kept", "excluded"], range=[inks.grades["strict"], "#b9bfc7"])
    points = base.mark_point(filled=True, size=60).encode(
        x=alt.X("value:Q", title="d', own descriptions against other heads'"),
        color=alt.Color("state:N", scale=scale, title=None, legend=_TOP),
    )
    lines = base.mark_rule().encode(
        x="low:Q", x2="high:Q", color=alt.Color("state:N", scale=scale, title=None, legend=_TOP)
    )
    zero = alt.Chart(pd.DataFrame({"chance": [0]})).mark_rule(strokeDash=[4, 3], color="#777").encode(x="chance:Q")
    return (zero + lines + points).properties(width=420, height=alt.Step(20))


def _confusion(report: Report, inks: Inks) -> Any:
    """Shares of each column, so that rare abstentions are seen; the counts are written in the cells."""
    import altair as alt

    rows = _cells(report.confusion)
    totals = rows.groupby("column")["count"].transform("sum")
    if not rows["count"].sum():
        return None
    rows["share"] = rows["count"] / totals.where(totals > 0)
    base = alt.Chart(rows).encode(
        x=alt.X("column:N", sort=list(DESCRIBED), title="the describer said", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("row:N", sort=list(PRESENCE), title="pattern seen by people"),
    )
    scale = alt.Scale(domain=[0, 1], range=list(inks.shares))
    color = alt.Color("share:Q", scale=scale, title="share of column", legend=alt.Legend(format="%"))
    few, most = map(alt.value, inks.on_shares)
    ink = alt.when(alt.datum.share > 0.5).then(most).otherwise(few)
    return (base.mark_rect().encode(color=color) + base.mark_text().encode(text="count:Q", color=ink)).properties(
        width=220, height=150
    )


def _times(report: Report, inks: Inks) -> Any:
    import altair as alt

    rows = _cells(report.times)
    if not rows["count"].sum():
        return None
    return (
        alt.Chart(rows)
        .mark_bar(color=inks.grades["strict"])
        .encode(
            x=alt.X(
                "row:N", sort=list(report.times.rows), title="active seconds per item", axis=alt.Axis(labelAngle=-40)
            ),
            y=alt.Y("count:Q", title="answers"),
        )
        .properties(width=420, height=180)
    )


_CHARTS: dict[str, tuple[str, Callable[[Report, Inks], Any]]] = {
    "plausibility": ("Share of answers by kind of item; lines are 95 % bootstrap intervals", _plausibility),
    "detection": ("d' of each rater with its 95 % interval; the dashed line is chance", _detection),
    "confusion": ("Answers by pattern seen and what the describer said; colour is the share of the column", _confusion),
    "layer": ("Share of answers by layer; lines are 95 % bootstrap intervals", _layer),
    "calibration": ('Share of answers "fits" by the height of the automatic score: its reliability', _calibration),
    "times": ("Answers by active time, both stages together", _times),
}


def _rows(figures: list[Figure]) -> pd.DataFrame:
    """The figures that have a value, with the last interval of each."""
    rows = []
    for figure in figures:
        if figure.value is not None:
            reach = next((found for found in reversed(figure.intervals) if found.method != "Wilson"), None)
            ends = {"low": reach.low if reach else None, "high": reach.high if reach else None}
            rows.append({"name": figure.name, "group": figure.group, "value": figure.value, "n": figure.n} | ends)
    return pd.DataFrame(rows)


def _cells(counts: Counts) -> pd.DataFrame:
    cells = [
        {"row": name, "column": column, "count": count}
        for name, row in zip(counts.rows, counts.cells, strict=True)
        for column, count in zip(counts.columns, row, strict=True)
    ]
    return pd.DataFrame(cells)
