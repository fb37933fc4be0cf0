"""Checks by running a model: static against dynamic scores of operations, and what is lost with their heads."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st
from markupsafe import Markup

from app import charts
from app.model_names import model_address
from app.tables import change, number, p_value
from app.web.drawing import notice, paragraphs, table
from app.web.gate import require_reader
from app.web.heads import about_model, chosen_model, head_anchor, operation_anchor
from app.web.plots import downloads, plot, scatter
from app.web.scored import checks_of
from app.web.starting import start_link
from describe.inference import points
from describe.pipeline import KnownChecks, ablation_curves, ablation_rows, correlation_rows
from describe.records import ModelInfo
from describe.text import spaced, visible

CONTEXTS = {"without_context": "as if it attended to the source alone", "with_context": "as the head attends"}


def show() -> None:
    """Draw the page."""
    require_reader()
    st.title("Checks")
    chosen = chosen_model()
    if chosen is None:
        return
    model_id, model = chosen
    found = checks_of(model_id, model)
    about_model(model, [found.correlated, found.removed])
    _correlations(model, found)
    _ablations(model, found)


def _correlations(model: ModelInfo, found: KnownChecks) -> None:
    st.subheader("Do heads write in prompts what their weights say?")
    rows = correlation_rows(found.correlations)
    if not rows:
        return _missing(model, "correlate", "No prompts were run through this model yet")
    side, sources, operation = _which(found)
    shown = [row for row in rows if (row["side"], row["sources"]) == (side, sources)]
    row = next(row for row in shown if row["operation"] == operation)
    every = pd.DataFrame(points(found.static[operation], found.dynamic[operation, sources], side))
    heads = every.groupby(["layer", "head", "static"], as_index=False)[list(CONTEXTS)].mean()
    for column, (by, words) in zip(st.columns(2, gap="large"), CONTEXTS.items(), strict=True):
        with column:
            title = f"{_shown(operation)}, {by.replace('_', ' ')}: r {number(row[f'r_{by}'])}"
            name = f"{operation}-{side}-{by}"
            alt = f"Static against dynamic {side} scores of all heads"
            plot(partial(scatter, heads, by, title), every, name, alt, pick=model)
            st.caption(f"The dynamic score is what the head writes {words}. p {p_value(row[f'p_{by}'])}.")
    st.caption(
        f"A point is a head, its dynamic score the mean over {every['template'].nunique()} templates; Pearson's r is"
        f" over all {row['points']:,} heads and templates, of {row['pairs']} pairs. The data has them all."
    )
    with st.expander("All operations", expanded=True):
        st.html(table(_HEADINGS, [_correlation(model_address(model), row) for row in shown], range(1, 8), lines=True))
        downloads(None, pd.DataFrame(rows), "correlations")


def _which(found: KnownChecks) -> tuple[Any, Any, str]:
    """Whether promoting or suppressing, sources of one token or several, and the operation."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sides = {"relation": "promotes", "suppression": "suppresses"}
        side = st.segmented_control(
            "Score", list(sides), default="relation", format_func=sides.__getitem__, required=True, key="checks-side"
        )
        parts = [part for part in ("single", "multi") if any(known == part for _, known in found.dynamic)]
        sources = parts[0]
        if len(parts) > 1:
            words = {"single": "of one token", "multi": "of several tokens"}
            sources = st.segmented_control(
                "Sources", parts, default="single", format_func=words.__getitem__, required=True, key="checks-sources"
            )
        best = sorted(
            (row for row in found.correlations if (row.side, row.sources) == (side, sources)), key=lambda r: -r.largest
        )
        names = [row.operation for row in best]
        operation = st.selectbox("Operation", names, format_func=_shown, width=340, key=f"checks-{sources}-operation")
    return side, sources, operation


_HEADINGS = (
    "operation",
    "pairs",
    "k",
    "r without context",
    "p",
    "r with context",
    "p",
    "largest static score",
)


def _correlation(model: str, row: dict[str, Any]) -> tuple[str, ...]:
    numbers = (text for by in CONTEXTS for text in (number(row[f"r_{by}"]), p_value(row[f"p_{by}"])))
    largest = number(row["largest_static_score"])
    return operation_anchor(model, row["operation"]), str(row["pairs"]), str(row["k"]), *numbers, largest


def _ablations(model: ModelInfo, found: KnownChecks) -> None:
    st.subheader("Is an ability lost with its heads?")
    if not found.ablations:
        return _missing(model, "ablate", "No heads were removed from this model yet")
    operation = st.selectbox("Operation", list(found.ablations), format_func=_shown, width=340, key="ablated")
    curves = pd.DataFrame(ablation_curves(found.ablations[operation]))
    words = "Accuracy as heads are removed: those of the operation, random ones, and control tasks"
    drawn = partial(charts.ablation_chart, operation, curves)
    plot(drawn, curves, f"ablate-{operation}", words, width=720, height=340)
    removed = found.ablations[operation]
    st.caption(
        f"Over {removed.prompts} prompts; the band is a standard deviation of {len(removed.random)} draws of random"
        " heads."
    )
    address = model_address(model)
    first = Markup(", ").join(head_anchor(address, head) for head in removed.heads[:10])
    more = f" and {len(removed.heads) - 10} more" if len(removed.heads) > 10 else ""
    st.html(paragraphs([Markup("Removed, strongest first: {}{}").format(first, more)]))
    rows = ablation_rows(found.ablations)
    with st.expander("All operations, where each task fares worst", expanded=True):
        st.html(table(_ABLATED, [_ablation(address, row) for row in rows], range(1, 8), lines=True))
        downloads(None, pd.DataFrame(rows), "ablations")
    rest = {name: value for name, value in found.tasks.items() if name not in found.ablations}
    if rest:
        said = "; ".join(f"{_shown(name)} {value:.2f}" for name, value in rest.items())
        st.html(paragraphs([f"Tasks that were tried and not ablated, with the accuracy of the whole model: {said}."]))


_ABLATED = (
    "operation",
    "prompts",
    "heads removed",
    "base",
    "its heads removed",
    "random heads removed",
    "control tasks' base",
    "its heads removed",
    "control tasks",
)


def _ablation(model: str, row: dict[str, Any]) -> tuple[str, ...]:
    return (
        operation_anchor(model, row["operation"]),
        str(row["prompts"]),
        str(row["heads"]),
        number(row["base"]),
        change(row["targeted"], row["targeted_change"]),
        f"{change(row['random'], row['random_change'])} ± {row['random_sd']:.2f}",
        number(row["control_base"]),
        change(row["control"], row["control_change"]),
        _shown(row["controls"]),
    )


def _missing(model: ModelInfo, command: str, words: str) -> None:
    notice(f"{words}: headscribe {command} MODEL does so, and takes minutes.")
    start_link("Do it here", do=command, model=model.name)


def _shown(operation: str) -> str:
    return visible(spaced(operation))


show()
