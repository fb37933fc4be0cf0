"""Charts on the pages, each with its picture and its data to download; a click on a head leads to its page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import pandas as pd
import streamlit as st

from annotations.report.charts import drawable
from app.charts import DARK, LIGHT, Theme, picture_of
from app.model_names import model_address
from app.tables import csv_table
from app.web.heads import open_head
from describe.operations.analysis import plain_rows
from describe.records import HeadId, ModelInfo

__all__ = ["downloads", "map_size", "picked", "plot", "scatter"]

Drawn = Callable[[Theme], Any]


def plot(
    drawn: Drawn,
    data: pd.DataFrame,
    name: str,
    words: str,
    *,
    width: Literal["content"] | int = "content",
    height: Literal["content"] | int = "content",
    pick: ModelInfo | None = None,
) -> None:
    """Show a chart, with ``words`` for those who do not see it; width and height are those of all of it, in pixels.

    ``drawn``: the chart in a theme; on the page that of the page, in a file that of paper.
    ``pick``: the model whose heads can be clicked in it, where the chart has the selection ``head``.
    """
    key = f"chart-{name}"
    how: dict[str, Any] = {"width": width, "height": height, "alt": words, "key": key}
    if pick is None:
        st.altair_chart(drawn(_theme()), **how)
    else:
        found = st.altair_chart(drawn(_theme()), **how, on_select="rerun", selection_mode="head")
        head = picked(found)
        if head is not None:
            open_head(model_address(pick), head)
    downloads(partial(drawn, LIGHT), data, name)


def _theme() -> Theme:
    return DARK if st.context.theme.type == "dark" else LIGHT


def map_size(model: ModelInfo) -> dict[str, Any]:
    """Pixels of a map of a model's heads, with its title, axes and legend."""
    layers = model.n_layers * max(5, min(16, 600 // model.n_layers))
    return {"width": 200 + max(160, min(620, 26 * model.n_heads)), "height": 130 + max(90, layers)}


def picked(found: Any) -> HeadId | None:
    """The head that was clicked in a chart."""
    rows = found.get("selection", {}).get("head") or []
    return HeadId(int(rows[0]["layer"]), int(rows[0]["head"])) if rows else None


def downloads(chart: Callable[[], Any] | None, data: pd.DataFrame, name: str) -> None:
    """A chart as PNG and SVG, and its data; each is made when it is asked for."""
    file = re.sub(r"[^\w.-]+", "-", name)[:80].strip("-.") or "data"
    forms = {
        "CSV": ("csv", "text/csv", partial(_csv, data)),
        "JSON": ("json", "application/json", partial(_json, data)),
    }
    if chart is not None and drawable():
        forms = {form.upper(): (form, mime, partial(_picture, chart, form)) for form, mime in PICTURES.items()} | forms
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.caption("Download", width="content")
        for label, (ending, mime, made) in forms.items():
            st.download_button(
                label, made, f"{file}.{ending}", mime, key=f"{name}-{ending}", on_click="ignore", type="tertiary"
            )
        if chart is not None and not drawable():
            st.caption("As PNG and SVG with pip install 'headscribe[plots]'")


PICTURES = {"png": "image/png", "svg": "image/svg+xml"}


def _picture(chart: Callable[[], Any], form: str) -> bytes:
    return picture_of(chart(), form)


def scatter(rows: pd.DataFrame, by: str, title: str, theme: Theme) -> Any:
    """Static against dynamic scores, a point a head; a click on one is the selection ``head``."""
    import altair as alt

    axis = alt.Axis(tickCount=5)
    return (
        alt.Chart(rows[["layer", "head", "static", by]], title=title)
        .mark_circle(size=45, opacity=0.55, color=theme.ink, cursor="pointer")
        .encode(
            x=alt.X("static:Q", title="static score, from the weights", scale=alt.Scale(domain=[0, 1]), axis=axis),
            y=alt.Y(f"{by}:Q", title="dynamic score, in prompts", scale=alt.Scale(domain=[0, 1]), axis=axis),
            tooltip=[
                "layer:Q",
                "head:Q",
                alt.Tooltip("static:Q", format=".3f"),
                alt.Tooltip(f"{by}:Q", title="dynamic", format=".3f"),
            ],
        )
        .add_params(alt.selection_point("head", fields=["layer", "head"]))
        .properties(width=340, height=300)
    )


def _csv(data: pd.DataFrame) -> bytes:
    return csv_table(plain_rows(data)).encode("utf-8", "backslashreplace")


def _json(data: pd.DataFrame) -> bytes:
    return json.dumps(plain_rows(data), ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace")
