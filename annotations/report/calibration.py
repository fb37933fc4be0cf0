"""How far automatic scores tell what people will say: by every measure and judge, and by all of these together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from annotations.report.frame import GRADES, OWN, STRICT, own_and_other
from annotations.report.records import Figure, ScoreBin
from annotations.report.sample import Mask, Sample
from annotations.statistics import SHUFFLES, Interval, by_luck, cross_validated
from describe.measures import MEASURES
from describe.statistics import middle

__all__ = ["BINS", "SCORE", "TOGETHER", "auroc_name", "by_measure", "calibration", "luck_name"]

BINS = 4
"""Of the reliability curve, with about as many descriptions in each."""

SCORE = "the score"
"""That was shown first when the study was made, of whichever measure it was."""

TOGETHER = "all measures together"

LEAST = 10
"""Heads from which something can be learnt of others."""

Floats = npt.NDArray[np.float64]


def auroc_name(score: str, grade: str = "strict") -> str:
    """The figure that says how well a score ranks the answers."""
    return f"AUROC of {score}, {grade}"


def luck_name(score: str) -> str:
    """The figure that says how well it does after the ratings were shuffled."""
    return f"{auroc_name(score)}, ratings shuffled"


def calibration(sample: Sample) -> Iterator[Figure]:
    """Own descriptions with automatic scores, by source: do these rank them, and what is each height worth?"""
    rows = sample.rows
    own = own_and_other(rows)[OWN]
    heights = {SCORE: rows["score"], **by_measure(rows)}
    if not any((own & height.notna()).any() for height in heights.values()):
        note = "no description had a score when the study was made, and none has one now"
        yield Figure("calibration", auroc_name(SCORE), OWN, "coefficient", None, 0, note=note)
    for source in sorted(rows.loc[own, "source"].unique()):
        of_source = own & (rows["source"] == source)
        known = {name: height for name, height in heights.items() if (of_source & height.notna()).any()}
        for name, height in known.items():
            among = of_source & height.notna()
            yield from _ranked(sample, name, source, among, height)
            yield from _reliability(sample, name, source, among, height)
        measures = {name: height for name, height in known.items() if name != SCORE}
        if len(measures) > 1:
            yield from _together(sample, source, of_source, measures)


def by_measure(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Every score of the descriptions that were rated, by measure and judge, the most telling measure first."""
    if "scores" not in rows:
        return {}
    told = [json.loads(text) if isinstance(text, str) else {} for text in rows["scores"]]
    order = list(MEASURES)
    names = {(order.index(name.partition(" by ")[0]), name) for one in told for name in one}
    return {
        name: pd.Series([one.get(name, np.nan) for one in told], index=rows.index, dtype=float)
        for _, name in sorted(names)
    }


def _ranked(sample: Sample, name: str, source: str, among: Mask, height: pd.Series) -> Iterator[Figure]:
    """The score's AUROC by both grades, and what it is with the ratings shuffled."""
    for grade, answers in GRADES:
        figure = sample.ranking(
            "calibration", auroc_name(name, grade), source, among, height, sample.rows["fit"].isin(answers)
        )
        yield _counted(figure, sample, among)
    values = height[among].groupby(sample.rows.loc[among, "item"]).first().to_numpy(float)[:, None]
    yield _luck(sample, name, source, among, values, lambda drawn: drawn[:, 0])


def _luck(
    sample: Sample, name: str, source: str, among: Mask, values: Floats, ordered: Callable[[Floats], Floats]
) -> Figure:
    """The mean and the middle 95 % of AUROCs after the ratings were dealt out anew among the descriptions."""
    rows = sample.rows[among]
    yes, (_, item) = rows["fit"].isin(STRICT).to_numpy(), np.unique(rows["item"], return_inverse=True)
    figure = Figure("calibration", luck_name(name), source, "coefficient", None, len(yes))
    if yes.all() or not yes.any() or len(values) < 2:
        return replace(figure, note="nothing to shuffle: one description, or all answers are the same")
    drawn = by_luck(values, item, yes, sample.seed, ordered)
    interval = Interval(f"{SHUFFLES} shuffles", *middle(drawn))
    return _counted(replace(figure, value=float(drawn.mean()), intervals=(interval,)), sample, among)


def _reliability(sample: Sample, name: str, source: str, among: Mask, height: pd.Series) -> Iterator[Figure]:
    """The share that fits in bins of the score's height, with about as many descriptions in each."""
    hit = sample.rows["fit"].isin(STRICT)
    heights = height[among].groupby(sample.rows.loc[among, "item"]).first()
    edges = np.unique(np.quantile(heights, np.linspace(0, 1, BINS + 1)))
    place = np.clip(np.searchsorted(edges, height, side="right"), 1, max(len(edges) - 1, 1))
    for i, low in enumerate(edges[:-1] if len(edges) > 1 else edges, 1):
        high = edges[min(i, len(edges) - 1)]
        of = f"{source}, {name.removeprefix('the ')} {low:.2f} to {high:.2f}"
        share = sample.share("calibration", "strict", of, among & (place == i), hit)
        yield replace(share, bin=ScoreBin(source, float(low), float(high), name))


def _together(sample: Sample, source: str, of_source: Mask, measures: Mapping[str, pd.Series]) -> Iterator[Figure]:
    """All measures as one score, of heads that it was not fitted to."""
    table = pd.DataFrame(dict(measures))
    among = of_source & table.notna().any(axis=1)
    rows = sample.rows[among]
    hit = sample.rows["fit"].isin(STRICT)
    item, shares = rows["item"], hit[among].groupby(rows["item"]).mean().to_numpy(float)
    values = table[among].groupby(item).first().to_numpy(float)
    first = rows.drop_duplicates("item").sort_values("item")
    heads, names = pd.factorize(first["model"] + " " + first["head"])
    if len(names) < LEAST:
        note = f"{len(names)} heads: what {LEAST} say is the least that can be learnt from"
        yield Figure("calibration", auroc_name(TOGETHER), source, "coefficient", None, len(rows), note=note)
        return

    def ordered(drawn: Floats) -> Floats:
        return cross_validated(drawn, shares, heads, sample.seed)

    height = pd.Series(np.nan, index=sample.rows.index)
    height[among] = ordered(values)[np.unique(item, return_inverse=True)[1]]
    figure = sample.ranking("calibration", auroc_name(TOGETHER), source, among, height, hit)
    yield _counted(figure, sample, among)
    yield _luck(sample, TOGETHER, source, among, values, ordered)


def _counted(figure: Figure, sample: Sample, among: Mask) -> Figure:
    """With the number of descriptions that it rests on."""
    return replace(figure, descriptions=int(sample.rows.loc[among, "item"].nunique()))
