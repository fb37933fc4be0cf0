"""Charts of operations and checks, and pictures of them: a PNG with its data beside it as CSV.

Altair draws them, without a browser; the web app shows the same charts.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from annotations.report.charts import drawable
from app.tables import csv_table
from describe.errors import InputError
from describe.files import replacing, write_atomically
from describe.operations import analysis
from describe.text import spaced, visible

__all__ = [
    "DARK",
    "LIGHT",
    "SIDES",
    "Theme",
    "ablation_chart",
    "category_chart",
    "counts_chart",
    "depth_chart",
    "heat_map",
    "picture_of",
    "save_ablations",
    "save_comparison",
    "save_relations",
    "strongest_chart",
    "top_of_scale",
]


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of charts on one background.

    Attributes:
        scores: of a score and of a suppression score, from 0 up; ``curves``: of accuracies as heads are removed, those
            of the operation and random ones first; ``kinds``: of categories and models; ``ink``: of a single mark.
    """

    scores: Mapping[str, list[str]]
    curves: list[str]
    kinds: list[str]
    ink: str


LIGHT = Theme(
    {"score": ["#f4f6f9", "#7aa6d6", "#08306b"], "suppression": ["#f9f5f4", "#e58b74", "#67000d"]},
    ["#b2182b", "#555555", "#2166ac", "#4393c3", "#92c5de", "#5aae61", "#a6dba0", "#762a83", "#c2a5cf"],
    ["#2f6fab", "#d9822b", "#3a9d6a", "#8e5ea2", "#c0504d", "#7f7f7f", "#b8a13a", "#4bb2c5"],
    "#2f6fab",
)
DARK = Theme(
    {"score": ["#1c2430", "#3d74b3", "#d3e6ff"], "suppression": ["#2b1f20", "#b8543f", "#ffd9cd"]},
    ["#ff7d85", "#b3bac2", "#7ab8f5", "#4393c3", "#b5dcf0", "#7fd08a", "#b9e5b4", "#c99ad6", "#dcc8e4"],
    ["#6aa5e0", "#eda35c", "#67c796", "#b98fd0", "#e58079", "#a9b0b8", "#d3be5f", "#74cfe0"],
    "#8ab8ea",
)

SIDES = {"score": "relation score", "suppression": "suppression score"}
"""The two scores of a head for an operation, by their columns."""

_LEAST_TOP = 0.3  # a picture of an operation that no head implements stays pale


def save_relations(table: pd.DataFrame, threshold: float, folder: Path) -> list[Path]:
    """Heatmaps of every operation, its top heads, categories by layer, heads with several operations.

    Returns the files written.
    """
    _folder(folder)
    written = []
    for operation, rows in table.groupby("operation"):
        written += _save(_heatmaps(str(operation), rows), rows, folder / str(operation))
    best = table.loc[table.groupby(["layer", "head"])["score"].idxmax()]
    top = analysis.top_heads(table, 5)
    share = analysis.category_share(table, threshold)
    written += _save(strongest_chart(best), best, folder / "strongest-operation")
    written += _save(_top_heads(top), top, folder / "top-heads")
    written += _save(category_chart(share), share, folder / "categories-by-layer")
    several = analysis.multi_operation_heads(table, threshold)
    if len(several):
        rows = table.merge(several[["layer", "head"]])
        written += _save(_several(rows[rows["score"] >= threshold]), several, folder / "several-operations")
    return written


def save_comparison(counts: pd.DataFrame, depth: pd.DataFrame, folder: Path) -> list[Path]:
    """Heads that implement each operation in each model, in all and by relative depth. Returns the files written."""
    _folder(folder)
    written = _save(counts_chart(counts), counts, folder / "universality")
    return written + _save(depth_chart(depth), depth, folder / "relative-depth")


def save_ablations(curves: dict[str, pd.DataFrame], folder: Path) -> list[Path]:
    """For each operation, how accuracy falls as its heads, random heads, are removed. Returns the files written."""
    _folder(folder)
    written = []
    for operation, rows in curves.items():
        written += _save(ablation_chart(operation, rows), rows, folder / f"ablate-{operation}")
    return written


def ablation_chart(operation: str, rows: pd.DataFrame, theme: Theme = LIGHT) -> Any:
    """Accuracy by heads removed; a band of a standard deviation about the mean of random heads."""
    alt = _altair()
    kinds = list(dict.fromkeys(rows["kind"]))
    scale = alt.Scale(domain=kinds, range=theme.curves[: len(kinds)])
    legend = alt.Legend(symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3)
    base = alt.Chart(rows, title=f"{_named(operation)}: accuracy as heads are removed").encode(
        x=alt.X("removed:Q", title="heads removed", axis=alt.Axis(tickMinStep=1)),
        color=alt.Color("kind:N", title=None, scale=scale, legend=legend),
    )
    accuracy = alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]))
    band = base.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", title="accuracy"), y2="high:Q")
    return (band + base.mark_line().encode(y=accuracy)).properties(width=420, height=240)


def heat_map(
    rows: pd.DataFrame,
    by: str,
    title: str,
    top: float,
    theme: Theme = LIGHT,
    *,
    mark_from: float | None = None,
    pick: bool = False,
) -> Any:
    """Layer x head, coloured by a score from 0 to ``top``.

    ``mark_from``: cells are framed from this score on. ``pick``: a cell that is clicked is the selection ``head``.
    """
    alt = _altair()
    color = alt.Color(f"{by}:Q", title="score", scale=alt.Scale(range=theme.scores[by], domain=[0, top], clamp=True))
    base = alt.Chart(_lean(rows, by), title=title).encode(
        x=alt.X("head:O", axis=_ticks(rows, "head")),
        y=_layers(rows),
        color=color,
        tooltip=["layer:O", "head:O", alt.Tooltip(f"{by}:Q", title="score", format=".3f")],
    )
    if mark_from is not None:
        frame = alt.when(alt.datum[by] >= mark_from).then(alt.value("#e08a1e")).otherwise(alt.value(None))
        base = base.encode(stroke=frame, strokeWidth=alt.value(1.5))
    drawn = base.mark_rect(cursor="pointer") if pick else base.mark_rect()
    if pick:
        drawn = drawn.add_params(alt.selection_point("head", fields=["layer", "head"]))
    return drawn.properties(**_size(rows))


def _heatmaps(operation: str, rows: pd.DataFrame) -> Any:
    """Layer x head, relation and suppression side by side on one scale."""
    top = top_of_scale(rows)
    charts = [heat_map(rows, by, title, top) for by, title in SIDES.items()]
    return _altair().hconcat(*charts, title=_named(operation)).resolve_scale(color="independent")


def top_of_scale(rows: pd.DataFrame) -> float:
    """Where the colours of an operation's scores end: one scale for both sides, pale where no head implements it."""
    return max(_LEAST_TOP, float(rows[list(SIDES)].max().max()))


def strongest_chart(best: pd.DataFrame, theme: Theme = LIGHT) -> Any:
    """Which operation each head implements most, by category; pale where hardly."""
    alt = _altair()
    rows = _lean(_in_words(best), "category", "operation", "score")
    return (
        alt.Chart(
            rows,
            title=alt.Title("Strongest operation of each head", subtitle="faint: a low score", subtitleColor="#808890"),
        )
        .mark_rect()
        .encode(
            tooltip=["layer:O", "head:O", "operation:N", alt.Tooltip("score:Q", format=".3f")],
            x=alt.X("head:O", axis=_ticks(best, "head")),
            y=_layers(best),
            color=_category(theme),
            opacity=alt.Opacity("score:Q", scale=alt.Scale(domain=[0, 1], range=[0.05, 1]), legend=None),
        )
        .properties(**_size(best))
    )


def _top_heads(top: pd.DataFrame) -> Any:
    """The strongest heads of each operation side by side, named, coloured by score."""
    alt = _altair()
    named = _in_words(top).assign(
        name=top["layer"].astype(str) + "." + top["head"].astype(str),
        rank=top.groupby("operation")["score"].rank(method="first", ascending=False).astype(int),
    )
    base = alt.Chart(named, title="Heads with the highest relation scores").encode(
        x=alt.X("rank:O", axis=alt.Axis(labelAngle=0)), y=alt.Y("operation:N", title=None)
    )
    color = alt.Color("score:Q", title="score", scale=alt.Scale(range=LIGHT.scores["score"], domain=[0, 1]))
    ink = alt.when(alt.datum.score > 0.5).then(alt.value("white")).otherwise(alt.value("black"))
    label = alt.Text("label:N")
    text = base.transform_calculate(label="datum.name + '  ' + format(datum.score, '.2f')")
    return (
        base.mark_rect().encode(color=color) + text.mark_text(fontSize=10).encode(text=label, color=ink)
    ).properties(width=480, height=alt.Step(20))


def _several(rows: pd.DataFrame) -> Any:
    """Which operations the heads with several of them implement."""
    alt = _altair()
    named = _in_words(rows).assign(name=rows["layer"].astype(str) + "." + rows["head"].astype(str))
    order = named.sort_values(["layer", "head"])["name"].drop_duplicates().tolist()
    color = alt.Color("score:Q", title="score", scale=alt.Scale(range=LIGHT.scores["score"], domain=[0, 1]))
    return (
        alt.Chart(named, title="Heads that implement several operations")
        .mark_rect()
        .encode(x=alt.X("operation:N", title=None), y=alt.Y("name:N", title="head", sort=order), color=color)
        .properties(width=alt.Step(28), height=alt.Step(18))
    )


def category_chart(share: pd.DataFrame, theme: Theme = LIGHT) -> Any:
    """The share of each layer's heads that implement an operation of a category, a line for each."""
    alt = _altair()
    return (
        alt.Chart(share, title="Heads that implement a category")
        .mark_line(point=True)
        .encode(
            x=alt.X("layer:Q", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("share:Q", title="share of the layer's heads", axis=alt.Axis(format="%")),
            color=_category(theme),
        )
        .properties(width=560, height=280)
    )


def counts_chart(counts: pd.DataFrame, theme: Theme = LIGHT) -> Any:
    """The share of each model's heads that implement each operation, a bar for each model."""
    alt = _altair()
    return (
        alt.Chart(_in_words(counts), title="Heads that implement each operation")
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title="share of the model's heads", axis=alt.Axis(format=".1%")),
            tooltip=["operation:N", "model:N", "heads:Q", alt.Tooltip("share:Q", format=".1%")],
            y=alt.Y("operation:N", title=None, axis=alt.Axis(labelLimit=240)),
            yOffset="model:N",
            color=alt.Color("model:N", title="model", scale=alt.Scale(range=theme.kinds)),
        )
        .properties(width=420, height=alt.Step(12))
    )


def depth_chart(depth: pd.DataFrame, theme: Theme = LIGHT) -> Any:
    """The share of heads that implement each operation by relative depth, a line for each model."""
    alt = _altair()
    shown = _in_words(depth[depth.groupby("operation")["heads"].transform("sum") > 0])
    return (
        alt.Chart(shown)
        .mark_line(point=True)
        .encode(
            x=alt.X("depth:Q", title="relative depth", scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("share:Q", title="share of heads", axis=alt.Axis(format="%")),
            color=alt.Color("model:N", title="model", scale=alt.Scale(range=theme.kinds)),
        )
        .properties(width=200, height=110)
        .facet(facet=alt.Facet("operation:N", title=None), columns=4)
        .properties(title="Heads that implement each operation, by relative depth")
    )


def _in_words(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with operations named as people read them."""
    return rows.assign(operation=rows["operation"].map(_named))


def _lean(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The columns that a map of heads needs of a table, and no more: it is sent to the reader's browser."""
    few = {
        name: "category" for name in columns if not pd.api.types.is_numeric_dtype(rows[name])
    }  # each text is sent once
    return rows[["layer", "head", *columns]].astype({"layer": "int16", "head": "int16"} | few)


def _category(theme: Theme) -> Any:
    """Colours of categories: a category looks the same in every chart of a model."""
    alt = _altair()
    legend = alt.Legend(orient="bottom", columns=3)  # beside, it would not fit a narrow page
    return alt.Color("category:N", title="category", scale=alt.Scale(range=theme.kinds), legend=legend)


def _named(operation: str) -> str:
    return visible(spaced(operation))


def _layers(rows: pd.DataFrame) -> Any:
    return _altair().Y("layer:O", axis=_ticks(rows, "layer"))


def _ticks(rows: pd.DataFrame, column: str) -> Any:
    """Every value where few, else every fifth or tenth."""
    last = int(rows[column].max())
    step = 1 if last < 16 else 5 if last < 50 else 10
    return _altair().Axis(values=list(range(0, last + 1, step)), labelAngle=0, grid=False)


def _size(rows: pd.DataFrame) -> dict[str, int]:
    """Cells wide enough to see, pictures that fit a page."""
    heads, layers = int(rows["head"].max()) + 1, int(rows["layer"].max()) + 1
    cell = max(4, min(18, 480 // max(heads, 1)))
    return {"width": max(120, heads * cell), "height": max(60, layers * max(4, min(14, 600 // layers)))}


def _save(chart: Any, data: pd.DataFrame, stem: Path) -> list[Path]:
    """The picture and its data, each complete or not there."""
    picture, table = stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".csv")
    with replacing(picture) as partial:
        partial.write_bytes(picture_of(chart, "png"))
    write_atomically(table, csv_table(analysis.plain_rows(data)))
    return [picture, table]


def picture_of(chart: Any, form: str) -> bytes:
    """The chart as ``png`` or ``svg``, as it looks on paper, whatever theme a page has. Needs vl-convert."""
    made: Any = io.BytesIO() if form == "png" else io.StringIO()
    options = {"ppi": 144} if form == "png" else {}
    with _altair().data_transformers.enable("default", max_rows=None):  # models have more heads than its limit, 5000
        chart.configure_view(strokeWidth=0).save(made, format=form, **options)
    found = made.getvalue()
    return found if isinstance(found, bytes) else found.encode("utf-8", "backslashreplace")


def _folder(folder: Path) -> None:
    if not drawable():
        raise InputError("pictures need vl-convert: pip install 'headscribe[plots]'")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the directory '{folder}': {error.strerror}") from error


def _altair() -> Any:
    import altair

    return altair
