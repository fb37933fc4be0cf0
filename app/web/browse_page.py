"""The first page: models, a map of a model's heads coloured by any figure, and the heads as a table."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.web.drawing import notice, words_and_name
from app.web.gate import require_reader
from app.web.head_map import FIGURES, Figure, head_map, of_operation, span
from app.web.heads import HEAD_PAGE, choose_describer, choose_models, cut, open_head, overview
from app.web.shared import catalogue
from describe.head_record import STATES, HeadSummary
from describe.measures import VERDICTS
from describe.records import THRESHOLD, HeadId

MAPS = 6
"""Models whose maps are drawn at once, at most."""

Model = dict[str, Any]
Tables = list[list[HeadSummary]]
Heads = list[tuple[Model, HeadSummary]]
Scores = dict[HeadId, dict[str, float]]

_SIDES = {"implements": "score", "suppresses": "suppression"}


def show() -> None:
    """Draw the page."""
    require_reader()
    if {"model", "head"} <= set(st.query_params):
        st.switch_page(HEAD_PAGE, query_params={name: st.query_params[name] for name in ("model", "head")})
    models = overview()
    if not models:
        return
    st.title("Heads")
    if len(models) > 1:
        _all_models(models)
    controls = st.columns([3, 2, 2])
    with controls[0]:
        chosen = choose_models(models, all_of_them=False)
        if len(models) == 1:
            st.html(words_and_name("Model", cut(models[0]["model"], 120)))
    if len(chosen) > MAPS:
        notice(f"The first {MAPS} of the chosen models are shown.")
    chosen = chosen[:MAPS]
    with controls[2]:
        every = [one for model in chosen for one in catalogue().browse.describers(model["extraction_id"])]
        llm = choose_describer(every, "Any: the best outcome")
    tables = [catalogue().browse.heads(model["extraction_id"], llm=llm) for model in chosen]
    with controls[1]:
        figure_of = _figure(chosen, tables)
    _maps(chosen, tables, figure_of)
    _heads(chosen, tables)


def _all_models(models: list[Model]) -> None:
    """The models as a table; a click chooses one."""
    with st.expander(f"All {len(models)} models"):
        rows = [
            {
                "model": cut(one["model"], 120),
                "reading": one["reading"],
                "family": cut(one["family"], 40),
                "layers": one["n_layers"],
                "heads a layer": one["n_heads"],
                "heads extracted": one["heads"],
                "described": one["described"],
                "describers": one["describers"],
                "operations": one["operations"],
            }
            for one in models
        ]
        number = _clicked(rows, "models")
        if number is not None:
            name = models[number]["model"]
            if st.session_state.get("model") != [name]:
                st.session_state["model"] = [name]
                st.rerun()


def _figure(chosen: list[Model], tables: Tables) -> list[Figure]:
    """The figure that the maps show, for each model."""
    operations = sorted({o["operation"] for model in chosen for o in catalogue().browse.operations(model["model_id"])})
    there = [one for one in FIGURES if any(one.value(row) is not None for rows in tables for row in rows)]
    names = [one.name for one in there] + [f"{side} {name}" for side in _SIDES for name in operations]
    name = st.selectbox("Colour", names, format_func=lambda one: cut(one, 80), key="colour", bind="query-params")
    plain = next((one for one in there if one.name == name), None)
    if plain is not None:
        return [plain] * len(chosen)
    side, _, operation = str(name).partition(" ")
    return [
        of_operation(operation, _SIDES[side], catalogue().browse.operation(model["model_id"], operation))
        for model in chosen
    ]


def _maps(chosen: list[Model], tables: Tables, figures: list[Figure]) -> None:
    domain = span_of_all(figures, tables)
    columns = st.columns(min(2, len(chosen)))
    for number, (model, rows, figure) in enumerate(zip(chosen, tables, figures, strict=True)):
        with columns[number % len(columns)]:
            if len(chosen) > 1:
                st.html(words_and_name("", cut(model["model"], 120)))
            chart = head_map(rows, figure, domain, (model["n_layers"], model["n_heads"]))
            key = f"map-{model['extraction_id']}"
            event: Any = st.altair_chart(chart, width="stretch", on_select="rerun", selection_mode="head", key=key)
            if picked := event.selection.get("head"):
                open_head(model["model"], HeadId(int(picked[0]["layer"]), int(picked[0]["head"])))
    st.caption("A cell is a head; grey: nothing is known. A click opens it.")


def span_of_all(figures: list[Figure], tables: Tables) -> tuple[float, float]:
    """One scale for all maps."""
    spans = [span(figure, [rows]) for figure, rows in zip(figures, tables, strict=True)]
    return min(low for low, _ in spans), max(high for _, high in spans)


def _heads(chosen: list[Model], tables: Tables) -> None:
    """The heads that pass the filters; sorted by any column, a click opens one."""
    every = [(model, row) for model, rows in zip(chosen, tables, strict=True) for row in rows]
    wanted, scores = _filters(chosen, every)
    st.caption(
        f"{len(wanted):,} of {len(every):,} heads. A click on a column's name sorts, one on a cell opens the head."
    )
    rows: list[dict[str, Any]] = [
        ({"model": cut(model["model"], 80)} if len(chosen) > 1 else {})
        | {
            "head": row.name,
            "pattern": cut(row.said, 220),
            "inputs": cut(row.inputs, 120),
            "outcome": row.state,
            "score": row.score,
            "wrong": row.wrong,
            "verdict": None if row.verdict == "not judged" else row.verdict,
            **({"operation": score} if score is not None else {}),
            "saliency": row.saliency,
            "findings": row.evidence,
            "effect": row.effect,
            "describer": cut(row.llm, 60),
        }
        for (model, row), score in zip(wanted, scores, strict=True)
    ]
    empty = {
        name for name in ("score", "wrong", "verdict", "findings", "effect") if all(row[name] is None for row in rows)
    }
    number = _clicked([{k: v for k, v in row.items() if k not in empty} for row in rows], "heads")
    if number is not None:
        model, row = wanted[number]
        open_head(model["model"], HeadId(row.layer, row.head))


def _filters(chosen: list[Model], every: Heads) -> tuple[Heads, list[float | None]]:
    """The heads that pass, and how strongly each implements the operation that was asked for."""
    columns = st.columns([3, 2, 2, 2, 2, 2])
    said = columns[0].text_input("Description has", max_chars=100, key="text", bind="query-params").casefold()
    states = columns[1].multiselect("Outcome", STATES, key="outcome", bind="query-params", placeholder="Any")
    names = sorted({o["operation"] for model in chosen for o in catalogue().browse.operations(model["model_id"])})
    operation = columns[2].selectbox(
        "Implements",
        names,
        index=None,
        format_func=lambda name: cut(name, 60),
        key="operation",
        bind="query-params",
        placeholder="Any operation",
    )
    last = max(model["n_layers"] for model in chosen) - 1
    low, high = columns[3].slider("Layers", 0, last, (0, last), key=f"layers-{last}") if last else (0, 0)
    least, most = columns[4].slider("Score", 0.0, 1.0, (0.0, 1.0), 0.01, key="scores")
    verdicts = columns[5].multiselect("Verdict", VERDICTS, key="verdict", bind="query-params", placeholder="Any")
    wanted = [
        (model, row)
        for model, row in every
        if low <= row.layer <= high
        and (not states or row.state in states)
        and (not verdicts or row.verdict in verdicts)
        and (not said or said in f"{row.inputs} {row.said}".casefold())
        and ((least, most) == (0.0, 1.0) or (row.score is not None and least <= row.score <= most))
    ]
    return (wanted, [None] * len(wanted)) if operation is None else _implementing(wanted, operation)


def _implementing(every: Heads, operation: str) -> tuple[Heads, list[float | None]]:
    """The heads that implement an operation, and their relation scores."""
    scores: dict[int, Scores] = {
        number: catalogue().browse.operation(number, operation) for number in {model["model_id"] for model, _ in every}
    }
    found = [
        ((model, row), scores[model["model_id"]].get(HeadId(row.layer, row.head), {}).get("score", 0.0))
        for model, row in every
    ]
    strong = [(one, score) for one, score in found if score >= THRESHOLD]
    return [one for one, _ in strong], [score for _, score in strong]


def _clicked(rows: list[dict[str, Any]], key: str) -> int | None:
    """Draw a table; the number of the row that was clicked."""
    import pandas as pd

    numbers = {
        name: st.column_config.NumberColumn(format="%.2f")
        for name in ("score", "wrong", "operation", "saliency", "effect")
    }
    event: Any = st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        height="auto" if key == "models" else 560,
        key=f"table-{key}",
        on_select="rerun",
        selection_mode="single-cell",
        column_config={
            **(numbers if key == "heads" else {}),
            "head": st.column_config.TextColumn(pinned=True, width=60),
            "pattern": st.column_config.TextColumn(width="large"),
        },
    )
    return int(event.selection.cells[0][0]) if event.selection.cells else None


show()
