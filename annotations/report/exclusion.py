"""Which raters a study's rules exclude. The rules and their limits are fixed at creation, before any answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from annotations.report.frame import repeats
from annotations.report.records import Study

__all__ = ["LEAST", "RULES", "Carefulness", "carefulness", "judge", "kept", "rules_in_words"]


class Carefulness(NamedTuple):
    """Signs of one rater's care; counts, and the median active seconds of an item."""

    answered: int
    failed: int
    catches: int
    changed: int
    repeats: int
    seconds: float | None


LEAST = 3
"""Catch items, or repeats, of a rater on which a rule can rest: of one or two, a single slip would be half."""


class Rule(NamedTuple):
    """A measure of a rater (None: not to be had), of how much and how much at least, the side that excludes, words."""

    measure: Callable[[Carefulness], float | None]
    counted: Callable[[Carefulness], int]
    least: int
    at_most: bool
    words: str
    show: Callable[[float], str]


def _percent(value: float) -> str:
    return f"{value:.0%}".replace("%", " %")


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


RULES: dict[str, Rule] = {
    "max_failed_catch": Rule(
        lambda of: of.failed / of.catches if of.catches else None,
        lambda of: of.catches,
        LEAST,
        True,
        "catch items failed",
        _percent,
    ),
    "max_repeat_disagreement": Rule(
        lambda of: of.changed / of.repeats if of.repeats else None,
        lambda of: of.repeats,
        LEAST,
        True,
        "repeats answered otherwise",
        _percent,
    ),
    "min_seconds_per_item": Rule(
        lambda of: of.seconds, lambda of: of.answered, 1, False, "median time per item", _seconds
    ),
}
"""Name of a rule -> what it measures."""


def carefulness(rows: pd.DataFrame, pairs: pd.DataFrame) -> Carefulness:
    """One rater's, from all their ``rows`` and their repeated items as ``pairs``.

    A catch item is failed by any answer but the expected one; a repeat is changed by another answer on fit.
    """
    catches = rows[(rows["kind"] == "catch") & rows["fit"].notna()]
    pairs = pairs[pairs["fit"].notna() & pairs["fit_again"].notna()]
    seconds = (rows["seconds_a"] + rows["seconds_b"]).median()
    return Carefulness(
        answered=len(rows),
        failed=int((catches["fit"] != catches["expected"]).sum()),
        catches=len(catches),
        changed=int((pairs["fit"] != pairs["fit_again"]).sum()),
        repeats=len(pairs),
        seconds=None if pd.isna(seconds) else float(seconds),
    )


def judge(study: Study, found: Carefulness) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The reasons to exclude a rater, and the rules that could not be applied to them, in words."""
    reasons, notes = [], []
    for name, limit in (study.exclusion or {}).items():
        if name not in RULES:
            continue
        rule = RULES[name]
        value = rule.measure(found)
        if value is None:
            notes.append(f"{rule.words}: nothing to measure")
        elif rule.counted(found) < rule.least:
            notes.append(f"{rule.words}: only {rule.counted(found)} met, {rule.least} are needed")
        elif value > limit if rule.at_most else value < limit:
            side = "more" if rule.at_most else "less"
            reasons.append(f"{rule.words}: {rule.show(value)}, {side} than {rule.show(limit)}")
    return tuple(reasons), tuple(notes)


def kept(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the raters whom the study's rules do not exclude."""
    twice = repeats(rows)
    out = [
        name
        for name, part in rows.groupby("rater")
        if judge(study, carefulness(part, twice[twice["rater"] == name]))[0]
    ]
    return rows[~rows["rater"].isin(out)]


def rules_in_words(study: Study) -> tuple[str, ...]:
    """The study's rules; one that this version does not know is said to be left out."""
    told = []
    for name, limit in (study.exclusion or {}).items():
        if name in RULES:
            rule = RULES[name]
            least = f", where at least {rule.least} were met" if rule.least > 1 else ""
            told.append(f"{rule.words}: {'more' if rule.at_most else 'less'} than {rule.show(limit)}{least}")
        else:
            told.append(f"{name} = {limit}: this version of headscribe does not know the rule; it was not applied")
    return tuple(told)
