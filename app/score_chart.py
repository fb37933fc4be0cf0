"""Coverage against score as a picture, with what wrong descriptions and placebo heads come to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from app.charts import _altair, _folder, _save
from describe.measures import MEASURES
from describe.text import visible

__all__ = ["save_scores", "score_chart"]

COLOURS = ["#2166ac", "#b2182b", "#d9822b", "#3a9d6a"]


def save_scores(found: list[dict[str, Any]], folder: Path) -> list[Path]:
    """For each author and judge of `describe.pipeline.score_report` coverage against score, with the placebos. Returns
    the files written."""
    _folder(folder)
    written = []
    for row in (row for row in found if row["curve"]):
        name = "-".join(str(row.get(part) or "") for part in ("llm", "prompt", "of", "judge", "measure"))
        points = _score_points(row)
        title = f"{row['llm']} ({row['prompt']}), judged by {row['judge']}"
        chart = score_chart(points, title, row["measure"])
        written += _save(chart, points, folder / f"score-{re.sub(r'[^A-Za-z0-9.]+', '-', name)}")
    return written


def _score_points(row: dict[str, Any]) -> pd.DataFrame:
    """``coverage``, ``score`` and ``of`` what: the descriptions and wrong ones, and each kind of placebo head."""
    value = MEASURES[row["measure"]].value
    curves = {"descriptions": row["curve"], "wrong descriptions": row["wrong_curve"]}
    points = [(p["coverage"], p[value], of) for of, curve in curves.items() for p in curve]
    for kind, placebo in row["placebos"].items() if row.get("of") != "roles" else ():  # placebos are whole heads
        if placebo and placebo[value]:
            share = placebo["described"] / placebo["heads"]
            points.append((share, placebo[value]["value"], f"placebo heads ({kind})"))
    return pd.DataFrame(points, columns=["coverage", "score", "of"])


def score_chart(points: pd.DataFrame, title: str, measure: str) -> Any:
    """The mean score of the best-scored share of heads; dashed, the mean of all wrong descriptions.

    Placebo heads are points: how many of them were described, and how well those descriptions score.
    """
    alt = _altair()
    kinds = list(dict.fromkeys(points["of"]))
    scale = alt.Scale(domain=kinds, range=COLOURS[: len(kinds)])
    known = MEASURES[measure]
    base = alt.Chart(points, title=visible(title)).encode(
        x=alt.X("coverage:Q", title="share of all heads", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
        y=alt.Y(
            "score:Q",
            title=known.axis,
            scale=alt.Scale(domain=list(known.span), clamp=True) if known.span else alt.Undefined,
        ),
        color=alt.Color("of:N", title=None, scale=scale),
    )
    dots = points["of"].str.startswith("placebo")
    wrong = points[points["of"] == "wrong descriptions"].tail(1)
    level = base.mark_rule(strokeDash=[4, 3]).encode(x=alt.value(0), x2=alt.value(420))
    layers = [base.mark_line(clip=True), level.properties(data=wrong), base.mark_point(filled=True, size=80)]
    for layer, rows in ((layers[0], points[~dots]), (layers[2], points[dots])):
        layer.data = rows
    return alt.layer(*layers).properties(width=420, height=260)
