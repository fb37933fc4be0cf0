"""The map of a model: a cell per head, layer by layer, coloured by one figure of the heads. Chosen by a click."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.web.heads import cut
from describe.attention import MAPPED, MEANINGS, SAYS
from describe.figures import PARTS
from describe.head_record import HeadSummary
from describe.records import HeadId

__all__ = ["FIGURES", "Figure", "head_map", "of_operation", "span"]

_OUTCOMES = {"described": "#2f6fab", "unclear": "#e2a53a", "failed": "#b9412f", "none": "#c9ced4"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of heads.

    Attributes:
        name: as one chooses it.
        value: what a head's row gives for it; None where there is none.
        whole: the span of its colours; None: as far as the values go.
        colours: of values that are words.
    """

    name: str
    value: Callable[[HeadSummary], Any]
    whole: tuple[float, float] | None = None
    colours: Mapping[str, str] | None = None


_COLOURS = (
    "#b9412f",
    "#d98a3d",
    "#2f6fab",
    "#8a8f98",
    "#7a54a8",
    "#3f9a8c",
    "#d9c34a",
    "#5f8f3a",
    "#b96a9a",
    "#3b4a5a",
)
_KINDS = {**dict(zip(SAYS, _COLOURS, strict=False)), "none": "#e4e7ea"}


def _kind(row: HeadSummary) -> str | None:
    return None if row.kinds is None else next((kind for kind in row.kinds if kind in _KINDS), "none")


def _look(name: str) -> Callable[[HeadSummary], float | None]:
    return lambda row: None if row.looks is None else row.looks.get(name)


def _part(name: str) -> Callable[[HeadSummary], float | None]:
    return lambda row: None if row.figure is None else getattr(row.figure, name).share


FIGURES = (
    Figure("Score of the description", lambda row: row.score, (0.0, 1.0)),
    Figure("Outcome: described, unclear, failed", lambda row: row.state, colours=_OUTCOMES),
    Figure("Largest saliency", lambda row: row.saliency),
    Figure("Evidence: how many findings", lambda row: row.evidence),
    Figure("Evidence: strongest effect (h)", lambda row: row.effect),
    *(Figure(words.share, _part(name)) for name, words in PARTS.items()),
    Figure("Where it looks: the kind of head", _kind, colours=_KINDS),
    *(Figure(f"Attention to {MEANINGS[name]}", _look(name), (0.0, 1.0)) for name in MAPPED),
)


def of_operation(name: str, side: str, scores: dict[HeadId, dict[str, float]]) -> Figure:
    """The figure ``score`` or ``suppression`` of an operation, by what `BrowseStore.operation` gives."""

    def value(row: HeadSummary) -> float | None:
        found = scores.get(HeadId(row.layer, row.head))
        return found[side] if found else None

    return Figure(name, value)


def span(figure: Figure, tables: Sequence[list[HeadSummary]]) -> tuple[float, float]:
    """From the least to the largest value in these tables, so that maps side by side have one scale."""
    values = [v for rows in tables for row in rows if isinstance(v := figure.value(row), int | float)]
    low, high = min([*values, 0.0]), max([*values, 0.0])
    if figure.whole is not None and figure.whole[0] <= low and high <= figure.whole[1]:
        return figure.whole
    return (low, high) if high > low else (low, low + 1.0)


def head_map(rows: list[HeadSummary], figure: Figure, domain: tuple[float, float], shape: tuple[int, int]) -> Any:
    """An Altair chart of heads, with the selection ``head`` of a cell's ``layer`` and ``head``; ``shape`` (L, H)."""
    import altair as alt
    import pandas as pd

    layers, heads = shape
    data = [
        {
            "layer": row.layer,
            "head": row.head,
            "name": row.name,
            "value": figure.value(row),
            "said": cut(row.said, 140) if row.state == "described" else row.state,
        }
        for row in rows
    ]
    picked = alt.selection_point(name="head", fields=["layer", "head"], on="click", clear=False)
    outcome = figure.colours is not None
    colour = alt.Color(field="value", type="nominal" if outcome else "quantitative", title=None)
    if figure.colours is not None:
        colour = colour.scale(domain=list(figure.colours), range=list(figure.colours.values()))
    else:
        colour = colour.scale(scheme="viridis", domain=list(domain), clamp=True)
    shown = alt.Tooltip(field="value", type="nominal" if outcome else "quantitative", title="value")
    shown = shown if outcome else shown.format(".3~g")
    return (
        alt.Chart(pd.DataFrame(data))
        .mark_rect(cursor="pointer", invalid="show")
        .encode(
            x=alt.X(field="head", type="ordinal", title="head", scale=_every(heads), axis=_ticks(heads)),
            y=alt.Y(field="layer", type="ordinal", title="layer", scale=_every(layers), axis=_ticks(layers)),
            color=colour,
            tooltip=[
                alt.Tooltip(field="name", type="nominal", title="head"),
                shown,
                alt.Tooltip(field="said", type="nominal", title="description"),
            ],
        )
        .add_params(picked)
        .properties(height=max(120, min(640, layers * max(5, min(18, 560 // layers)))))
        .configure_view(strokeWidth=0)
        .configure_scale(invalid={"color": {"value": _OUTCOMES["none"]}})
    )


def _every(number: int) -> Any:
    import altair as alt

    return alt.Scale(domain=list(range(number)), paddingInner=0.06 if number <= 64 else 0)


def _ticks(number: int) -> Any:
    import altair as alt

    step = 1 if number <= 16 else 5 if number <= 50 else 10
    return alt.Axis(values=list(range(0, number, step)), labelAngle=0, ticks=False, domain=False)
