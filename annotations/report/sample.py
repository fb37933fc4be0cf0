"""A sample of ratings and the figures that can be taken from it, each with its intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from annotations.report.records import Figure
from annotations.statistics import Interval, agreement, between, d_prime, pairs_of
from describe.statistics import auroc, resample, wilson

__all__ = ["BOOTSTRAP", "DETECTION", "HEAD_BOOTSTRAP", "Mask", "Sample"]

BOOTSTRAP = "bootstrap"
"""Over heads and raters."""

HEAD_BOOTSTRAP = "bootstrap over heads"
"""Of agreement: a rater drawn twice would agree with themselves."""

DETECTION = ("d' of all answers together", "mean of the raters' d'")
"""The two ways to take d' of several raters; the first is lower where raters say yes more or less readily."""

Mask = Any  # a Series of booleans, one per row
Floats = npt.NDArray[np.float64]


class Sample:
    """Ratings of several raters, with the heads and raters drawn again and again.

    Attributes:
        rows: the ratings, one per rater and item.
        seed: of everything that is drawn.
        n_heads, n_raters: how many the ratings are of. A head is one table of mappings, whatever description it had:
            all items about it are drawn together.
    """

    def __init__(self, rows: pd.DataFrame, seed: int, draws: int) -> None:
        self.rows, self.seed = rows, seed
        self._heads, heads = pd.factorize(pd.MultiIndex.from_frame(rows[["model", "head"]]))
        self._raters, raters = pd.factorize(rows["rater"], sort=True)
        self.n_heads, self.n_raters = len(heads), len(raters)
        self._drawn = resample(max(self.n_heads, 1), max(self.n_raters, 1), seed, draws)

    def share(self, part: str, name: str, group: str, among: Mask, hit: Mask) -> Figure:
        """The share of the answers ``among`` that are ``hit``, with Wilson's interval and the bootstrap's."""
        n, hits = int(among.sum()), int((among & hit).sum())
        if not n:
            return Figure(part, name, group, "share", None, 0, 0, note="no such answers")
        found = self._few(among) or between(self._shares(among, hit), BOOTSTRAP)
        share, low, high = wilson(hits, n)
        return Figure(part, name, group, "share", share, n, hits, *_intervals(found, Interval("Wilson", low, high)))

    def difference(self, part: str, name: str, group: str, sides: tuple[Mask, Mask], hit: Mask) -> Figure:
        """The share of ``hit`` among the first side's answers minus the second's; both of the same draws."""
        sizes = [int(side.sum()) for side in sides]
        if not all(sizes):
            return Figure(part, name, group, "points", None, sum(sizes), note="one of the two sides has no answers")
        first, second = (float(hit[side].mean()) for side in sides)
        few = self._few(sides[0]) or self._few(sides[1])
        found = few or between(self._shares(sides[0], hit) - self._shares(sides[1], hit), BOOTSTRAP)
        return Figure(part, name, group, "points", first - second, sum(sizes), None, *_intervals(found))

    def detection(self, part: str, group: str, sides: tuple[Mask, Mask], hit: Mask) -> list[Figure]:
        """d' of all answers together, and the mean of the raters' d' (of those with answers on both sides)."""
        n = int(sides[0].sum() + sides[1].sum())
        cells = [self._cells(mask) for side in sides for mask in (side & hit, side)]
        told = np.array([cell.sum(axis=0) for cell in cells])
        both = (told[1] > 0) & (told[3] > 0)
        if not both.any():
            why = "no rater has answers on both own and other descriptions"
            return [Figure(part, name, group, "d'", None, n, note=why) for name in DETECTION]
        total, by_rater = ([draw(cell) for cell in cells] for draw in (self._drawn.total, self._drawn.by_rater))
        weights = self._drawn.raters * (by_rater[1] > 0) * (by_rater[3] > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (weights * d_prime(*by_rater).value).sum(axis=1) / weights.sum(axis=1)
        pooled = np.where((total[1] > 0) & (total[3] > 0), d_prime(*total).value, np.nan)
        values = (d_prime(*told.sum(axis=1)).value, d_prime(*told[:, both]).value.mean())
        few = self._few(sides[0]) or self._few(sides[1])
        return [
            Figure(part, name, group, "d'", float(value), n, None, *_intervals(few or between(draws, BOOTSTRAP)))
            for name, value, draws in zip(DETECTION, values, (pooled, means), strict=True)
        ]

    def ranking(self, part: str, name: str, group: str, among: Mask, heights: pd.Series, hit: Mask) -> Figure:
        """The AUROC with which ``heights``, one a row, rank the answers ``among`` that are ``hit`` above the others."""
        chosen = among.to_numpy()
        scores, yes = heights[among].to_numpy(float), hit.to_numpy()[chosen]
        value = float(auroc(scores, yes)[0])
        if not np.isfinite(value):
            note = "no answers with a score" if not len(yes) else "all answers are the same"
            return Figure(part, name, group, "coefficient", None, len(yes), note=note)
        heads, raters = self._heads[chosen], self._raters[chosen]
        draws = [
            auroc(scores, yes, self._drawn.heads[some][:, heads] * self._drawn.raters[some][:, raters])
            for some in np.array_split(np.arange(len(self._drawn.heads)), max(1, len(yes) // 100))
        ]
        found = self._few(among) or between(np.concatenate(draws), BOOTSTRAP)
        return Figure(part, name, group, "coefficient", value, len(yes), None, *_intervals(found))

    def agreement(self, group: str, among: Mask, column: str, scale: tuple[str, ...], ordered: bool) -> list[Figure]:
        """Raw agreement, alpha and AC1 on ``column``; answers outside ``scale`` count as missing. n is of items."""
        among = among & self.rows[column].isin(scale)
        items, _ = pd.factorize(self.rows.loc[among, "item"])
        counts = np.zeros((items.max(initial=-1) + 1, len(scale)))
        np.add.at(counts, (items, pd.Categorical(self.rows.loc[among, column], list(scale)).codes), 1)
        head_of = np.zeros(len(counts), dtype=np.intp)
        head_of[items] = self._heads[among.to_numpy()]
        told = pairs_of(counts)
        drawn = pairs_of(counts, self._drawn.heads[:, head_of])
        nominal, nominal_drawn = agreement(told), agreement(drawn)
        wanted = [("raw agreement", nominal.raw, nominal_drawn.raw), ("AC1", nominal.ac1, nominal_drawn.ac1)]
        wanted.append(("alpha, nominal", nominal.alpha, nominal_drawn.alpha))
        if ordered:
            wanted.append(("alpha, ordinal", agreement(told, "ordinal").alpha, agreement(drawn, "ordinal").alpha))
        n = int(told.paired)
        few = "one head: no bootstrap" if len(set(head_of)) < 2 else None
        return [_coefficient(name, group, n, value, draws, few) for name, value, draws in wanted]

    def _shares(self, among: Mask, hit: Mask) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            shares: Floats = self._drawn.total(self._cells(among & hit)) / self._drawn.total(self._cells(among))
        return shares

    def _cells(self, mask: Mask) -> Floats:
        """How many answers of ``mask`` each head has from each rater: (I, R)."""
        chosen = mask.to_numpy()
        cells = np.zeros((self.n_heads, self.n_raters))
        np.add.at(cells, (self._heads[chosen], self._raters[chosen]), 1)
        return cells

    def _few(self, among: Mask) -> str | None:
        return "one head: no bootstrap" if len(set(self._heads[among.to_numpy()])) < 2 else None


def _intervals(found: Interval | str, *others: Interval) -> tuple[tuple[Interval, ...], str]:
    """The intervals there are, and the words for one that is not."""
    return (others, found) if isinstance(found, str) else ((*others, found), "")


def _coefficient(name: str, group: str, n: int, value: Any, draws: Floats, few: str | None) -> Figure:
    if not n:
        return Figure("agreement", name, group, "coefficient", None, 0, note="no item has answers of two raters")
    if not np.isfinite(value):
        return Figure("agreement", name, group, "coefficient", None, n, note="not defined: all answers are the same")
    found = few or between(draws, HEAD_BOOTSTRAP)
    return Figure("agreement", name, group, "coefficient", float(value), n, None, *_intervals(found))
