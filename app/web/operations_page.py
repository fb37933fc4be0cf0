"""The operations of a model: which heads implement and suppress each, by layer, and how models compare."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st
from markupsafe import Markup

from app import charts
from app.model_names import model_address
from app.tables import number
from app.web.drawing import notice, paragraphs, table
from app.web.gate import require_reader
from app.web.heads import (
    about_model,
    chosen_in_address,
    chosen_model,
    head_anchor,
    head_links,
    operation_anchor,
)
from app.web.plots import downloads, map_size, plot
from app.web.scored import operations_of
from app.web.shared import catalogue
from app.web.starting import start_link
from describe.operations import analysis
from describe.pipeline import comparison
from describe.records import MIN_PAIRS, THRESHOLD, HeadId, ModelInfo, OperationScores
from describe.text import spaced, visible

MOST_MODELS = 8
"""Models side by side, at most: more cannot be told apart in a chart."""


def show() -> None:
    """Draw the page."""
    require_reader()
    st.title("Operations")
    chosen = chosen_model()
    if chosen is None:
        return
    model_id, model = chosen
    operations, scores = operations_of(model_id)
    if not operations:
        about_model(model, [])
        notice("No operation was scored for this model yet: headscribe relations MODEL does so, from its weights.")
        start_link("Score operations here", do="relations", model=model.name)
        return
    threshold = st.number_input(
        "A head implements an operation from this score on", 0.01, 1.0, THRESHOLD, 0.05, format="%.2f", width=340
    )
    about_model(model, [analysis.findings(operations, model.vocab_size, threshold)])
    _summary(model, operations, threshold)
    if scores.empty:
        return notice(f"No operation has {MIN_PAIRS} pairs of single tokens in this model's vocabulary.")
    _one(model, scores, threshold)
    _layers(model, scores, threshold)
    _several(model, scores, threshold)
    _models(model, threshold)


def _summary(model: ModelInfo, operations: list[OperationScores], threshold: float) -> None:
    found, address = analysis.summary(operations, threshold), model_address(model)
    rows = [_row(address, row) for row in found.to_dict("records")]
    st.html(table(_HEADINGS, rows, (2, 3, 4, 6), lines=True))
    flat = {f"top_{by}": found[f"top_{by}"].map(_heads) for by in charts.SIDES}
    downloads(None, found.assign(**flat), "operations")


_HEADINGS = ("operation", "category", "pairs", "k", "implement it", "strongest", "suppress it", "strongest suppressors")


def _row(model: str, row: dict[str, Any]) -> tuple[str, ...]:
    about = row["category"], str(row["pairs"])
    if not row["valid"]:
        name = visible(spaced(row["operation"]))
        return (name, *about, "", "", f"not valid for this model: under {MIN_PAIRS} pairs", "", "")
    score, suppression = ((str(row[f"heads_{by}"]), _linked(model, row[f"top_{by}"])) for by in charts.SIDES)
    return (operation_anchor(model, row["operation"]), *about, str(row["k"]), *score, *suppression)


def _linked(model: str, strongest: list[tuple[str, float]]) -> Markup:
    return Markup(",  ").join(head_anchor(model, head, f"({value:.2f})") for head, value in strongest)


def _heads(strongest: list[tuple[str, float]]) -> str:
    return ",  ".join(f"{head} ({value:.2f})" for head, value in strongest)


def _one(model: ModelInfo, scores: pd.DataFrame, threshold: float) -> None:
    """The map of one operation, relation or suppression, and the heads that stand out."""
    st.subheader("One operation")
    names = scores["operation"].drop_duplicates().tolist()
    strongest = scores.loc[scores["score"].idxmax(), "operation"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        operation = chosen_in_address("Operation", "operation", names, strongest, _shown, 340)
        by = st.segmented_control(
            "Score", list(charts.SIDES), default="score", format_func=SAID.__getitem__, required=True, key="side"
        )
    rows = scores[scores["operation"] == operation]
    title = f"{_shown(operation)}: {charts.SIDES[by]}"
    chart = partial(charts.heat_map, rows, by, title, charts.top_of_scale(rows), mark_from=threshold, pick=True)
    left, right = st.columns([width := map_size(model)["width"], 1230 - width], gap="large")
    with left:
        words = f"Map of all heads by {charts.SIDES[by]}, layers down, heads across"
        plot(chart, rows, f"{operation}-{by}", words, **map_size(model), pick=model)
        st.caption(f"Framed: {threshold:g} or more. A click on a head leads to its page.")
    with right:
        top = analysis.top_heads(rows, 10, by)
        if top.empty:
            return notice("No head has a score above 0.")
        st.caption(f"Strongest {charts.SIDES[by]}s")
        heads = [(HeadId(row.layer, row.head), f"{getattr(row, by):.2f}") for row in top.itertuples()]
        st.html(head_links(model_address(model), heads))


def _layers(model: ModelInfo, scores: pd.DataFrame, threshold: float) -> None:
    """Functions of layers: operations by category, and the strongest operation of each head."""
    st.subheader("By layer")
    share = analysis.category_share(scores, threshold)
    best = scores.loc[scores.groupby(["layer", "head"])["score"].idxmax()]
    left, right = st.columns(2, gap="large")
    with left:
        words = "Share of each layer's heads that implement an operation of a category"
        plot(partial(charts.category_chart, share), share, "categories-by-layer", words, height=420)
    with right:
        words = "Map of all heads by the category of their strongest operation"
        plot(partial(charts.strongest_chart, best), best, "strongest-operation", words, **map_size(model))


def _several(model: ModelInfo, scores: pd.DataFrame, threshold: float) -> None:
    found = analysis.multi_operation_heads(scores, threshold)
    if found.empty:
        return
    with st.expander(f"Heads that implement several operations ({len(found)})"):
        address = model_address(model)
        strong = scores[scores["score"] >= threshold].sort_values("score", ascending=False)
        implemented = {HeadId(*place): rows["operation"] for place, rows in strong.groupby(["layer", "head"])}
        rows = [
            (
                head_anchor(address, head),
                Markup(", ").join(operation_anchor(address, name) for name in implemented[head]),
            )
            for head in (HeadId(row.layer, row.head) for row in found.itertuples())
        ]
        st.html(table(("head", "operations"), rows))
        downloads(None, found, "several-operations")


def _models(model: ModelInfo, threshold: float) -> None:
    """This model beside others: which operations all of them implement, and at which depth."""
    st.subheader("Between models")
    able = catalogue().relations.scored_models()
    others = {
        model_address(other): other for other in catalogue().models() if other != model and other.content_hash in able
    }
    if not others:
        return notice("To compare models, score the operations of another one: headscribe relations MODEL.")
    chosen = st.multiselect(
        "Compare with", list(others), default=list(others)[:3], max_selections=MOST_MODELS - 1, width=600
    )
    if chosen:
        _comparison([(one, _scores(one)) for one in (model, *(others[name] for name in chosen))], threshold)


def _scores(model: ModelInfo) -> list[OperationScores]:
    model_id, _ = catalogue().find_model(f"{model.name}@{model.content_hash}")
    return operations_of(model_id)[0]


def _comparison(scored: list[tuple[ModelInfo, list[OperationScores]]], threshold: float) -> None:
    found = comparison(scored, threshold, gqa=False)
    words = "Share of each model's heads that implement each operation"
    plot(partial(charts.counts_chart, found.counts), found.counts, "universality", words, width=720)
    common = found.universality[found.universality["in_every_model"]]["operation"].tolist()
    said = f"Implemented by a head of every one of these models: {', '.join(map(_shown, common)) or 'no operation'}."
    st.html(paragraphs([f"{said} Where a bar is missing, no head does, or the operation is not valid for that model."]))
    with st.expander("Counts, with their share of all heads", expanded=True):
        rows = [(visible(spaced(operation)), *rest) for operation, *rest in found.counted]
        headings = ("operation", *found.heads, "in every model")
        st.html(table(headings, rows, range(1, len(found.heads) + 1), lines=True))
    with st.expander("By relative depth"):
        words = "Share of heads that implement each operation, by relative depth, for each model"
        plot(partial(charts.depth_chart, found.depth), found.depth, "relative-depth", words)
    headings = ("model", "model", "operations", "r of strongest heads", "r of shares of heads")
    rows = [
        (row.first, row.second, str(row.operations), number(row.r_strongest), number(row.r_share))
        for row in found.correlations.itertuples()
    ]
    with st.expander("How alike their profiles are"):
        st.html(table(headings, rows, (2, 3, 4)))
        downloads(None, found.correlations, "profiles")


SAID = {"score": "promotes", "suppression": "suppresses"}


def _shown(operation: str) -> str:
    return visible(spaced(operation))


show()
