"""From ratings and a study's settings to its report. Pure: nothing is read, nothing written."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from annotations.records import COVERAGE, FIT, KINDS, PRESENCE, SCOPE
from annotations.report.exclusion import carefulness, judge, rules_in_words
from annotations.report.figures import SWAPPED, all_figures, confusion
from annotations.report.frame import CONTROLS, OWN, STRICT, checked, own_and_other, repeats
from annotations.report.records import Counts, Figure, RaterLine, Report, Study
from annotations.statistics import Interval, d_prime
from describe.statistics import DRAWS
from describe.versions import headscribe_version

__all__ = ["build"]

_ANSWERS = (("presence", PRESENCE), ("fit", FIT), ("coverage", COVERAGE), ("scope", SCOPE))
_TIMES = tuple(range(0, 121, 10))  # seconds: bounds of the histogram's bins; the last is open


def build(ratings: pd.DataFrame, study: Any, *, seed: int = 0, draws: int = DRAWS) -> Report:
    """The report of a study: ``ratings`` as of `annotations.report.frame.COLUMNS`, ``study`` as of `Study.of`.

    Every interval is of 95 %; ``seed`` and ``draws`` are the bootstrap's.
    Raises `InputError` for ratings that cannot be.
    """
    settings, rows = Study.of(study), checked(ratings)
    twice = repeats(rows)
    raters = tuple(
        _rater(settings, str(name), part, twice[twice["rater"] == name])
        for name, part in rows.groupby("rater", sort=True)
    )
    out = {line.rater for line in raters if line.reasons}
    nobody_left = bool(out) and len(out) == len(raters)
    kept = rows if nobody_left else rows[~rows["rater"].isin(out)].reset_index(drop=True)
    return Report(
        study=settings,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=headscribe_version(),
        draws=draws,
        seed=seed,
        items=_items(settings, rows),
        gaps=_gaps(settings, rows),
        rules=rules_in_words(settings),
        raters=raters,
        figures=all_figures(kept, seed, draws),
        figures_all=all_figures(rows, seed, draws) if out and not nobody_left else (),
        confusion=confusion(kept),
        answers=tuple(_answers(kept, column, scale) for column, scale in _ANSWERS),
        times=_times(kept),
    )


def _rater(study: Study, name: str, rows: pd.DataFrame, twice: pd.DataFrame) -> RaterLine:
    found = carefulness(rows, twice)
    reasons, notes = judge(study, found)
    detection, criterion = _detection(name, rows[rows["occasion"] == 1])
    return RaterLine(name, *found, detection, criterion, reasons, notes)


def _detection(name: str, rows: pd.DataFrame) -> tuple[Figure, float | None]:
    groups = own_and_other(rows)
    own, other = groups[OWN], groups[CONTROLS["swap_easy"]] | groups[CONTROLS["swap_hard"]]
    hit, n = rows["fit"].isin(STRICT), int(own.sum() + other.sum())
    group = f"own against {SWAPPED}"
    if not (own.any() and other.any()):
        return Figure("rater", name, group, "d'", None, n, note="no answers on both own and other descriptions"), None
    found = d_prime((own & hit).sum(), own.sum(), (other & hit).sum(), other.sum())
    interval = Interval("normal", float(found.low), float(found.high))
    return Figure("rater", name, group, "d'", float(found.value), n, None, (interval,)), float(found.criterion)


def _items(study: Study, rows: pd.DataFrame) -> Counts:
    """Items planned and met, and first answers, by kind."""
    first = rows[rows["occasion"] == 1]
    planned = study.n_items or {}
    cells = tuple(
        (int(planned.get(kind, 0)), int(part["item"].nunique()), len(part))
        for kind in KINDS
        for part in [first[first["kind"] == kind]]
    )
    return Counts("Items by kind", KINDS, ("items planned", "items answered", "answers"), cells)


def _gaps(study: Study, rows: pd.DataFrame) -> tuple[str, ...]:
    """Missing answers: presentations never answered, and questions left open in those that were."""
    first = rows[rows["occasion"] == 1]
    told = []
    if study.n_items and study.raters_per_item:
        wanted = sum(study.n_items.values()) * study.raters_per_item
        missing = max(wanted - len(first), 0)
        told.append(f"{len(first):,} of {wanted:,} planned first answers were given; {missing:,} are missing")
        short = int((first.groupby("item").size() < study.raters_per_item).sum())
        never = max(sum(study.n_items.values()) - first["item"].nunique(), 0)
        told.append(f"{short:,} items have fewer than {study.raters_per_item} raters, and {never:,} have none")
    else:
        told.append("How many answers were planned is not recorded")
    for column, _ in _ANSWERS:
        optional = " (optional)" if column == "scope" else ""
        told.append(f"Left open on {column}{optional}: {int(rows[column].isna().sum()):,} of {len(rows):,} answers")
    return tuple(told)


def _answers(rows: pd.DataFrame, column: str, scale: tuple[str, ...]) -> Counts:
    """First answers to one question by kind of item, open ones counted."""
    first = rows[rows["occasion"] == 1]
    cells = []
    for kind in KINDS:
        told = first.loc[first["kind"] == kind, column]
        cells.append((*(int((told == answer).sum()) for answer in scale), int(told.isna().sum())))
    return Counts(column, KINDS, (*scale, "no answer"), tuple(cells))


def _times(rows: pd.DataFrame) -> Counts:
    """How many answers took how long, both stages together."""
    seconds = (rows["seconds_a"] + rows["seconds_b"]).dropna()
    found, _ = np.histogram(seconds, bins=[*_TIMES, np.inf])
    names = [f"{low} to {high}" for low, high in pairwise(_TIMES)] + [f"{_TIMES[-1]} and more"]
    return Counts("Seconds per item", tuple(names), ("answers",), tuple((int(count),) for count in found))
