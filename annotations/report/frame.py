"""The frame of ratings that a report is made from: one row per answered presentation, its newest revision."""

from __future__ import annotations

import pandas as pd

from annotations.records import FIT, KINDS, PRESENCE
from describe.errors import InputError

__all__ = [
    "BASELINE",
    "COLUMNS",
    "CONTROLS",
    "GRADES",
    "LENIENT",
    "OWN",
    "STRICT",
    "checked",
    "own_and_other",
    "repeats",
]

COLUMNS = (
    *("rater", "item", "occasion", "position", "kind", "expected", "model", "head", "layer", "source", "unclear"),
    *("true_unclear", "score", "presence", "own_words", "fit", "coverage", "scope", "comment", "revisions"),
    *("seconds_a", "seconds_b", "shown_at", "answered_at"),
)
STRICT = ("fits",)
"""The answers on fit that make a description plausible."""

LENIENT = ("fits", "partly")
"""As above, counting what fits in part."""

GRADES = (("strict", STRICT), ("lenient", LENIENT))

OWN = "own description"
CONTROLS = {
    "swap_easy": "another head's, random",
    "swap_hard": "another head's, similar output",
    "shuffled": "own, targets shuffled",
}
"""Kinds of controls -> how the report calls them."""

BASELINE = "statistics"
"""The source whose descriptions are made without an LLM."""


def checked(ratings: pd.DataFrame) -> pd.DataFrame:
    """The ratings in a fixed order; raises `InputError` for columns, kinds or answers that cannot be."""
    missing = [name for name in COLUMNS if name not in ratings.columns]
    if missing:
        raise InputError(f"the ratings lack the columns {', '.join(missing)}")
    for column, allowed in (("kind", KINDS), ("presence", PRESENCE), ("fit", FIT), ("occasion", (1, 2))):
        strange = set(ratings[column].dropna()) - set(allowed)
        if strange:
            raise InputError(f"the ratings have an unknown {column}: {sorted(map(str, strange))[0]!r}")
    twice = ratings.duplicated(["rater", "item", "occasion"])
    if twice.any():
        row = ratings[twice].iloc[0]
        raise InputError(f"rater {row['rater']} answered item {row['item']} twice on occasion {row['occasion']}")
    types = {"unclear": bool, "true_unclear": bool, "seconds_a": float, "seconds_b": float}
    return ratings.astype(types).sort_values(["rater", "position", "occasion"], ignore_index=True)


def own_and_other(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Group -> which rows: the heads' own descriptions, and each control; an "Unclear" is no description."""
    answered, described = rows["fit"].notna(), ~rows["unclear"]
    groups = {OWN: answered & described & (rows["kind"] == "real")}
    return groups | {name: answered & described & (rows["kind"] == kind) for kind, name in CONTROLS.items()}


def repeats(ratings: pd.DataFrame) -> pd.DataFrame:
    """The first answers to the items that a rater met twice, with the second as ``presence_again``, ``fit_again``."""
    again = ratings.loc[ratings["occasion"] == 2, ["rater", "item", "presence", "fit"]]
    return ratings[ratings["occasion"] == 1].merge(again, on=["rater", "item"], suffixes=("", "_again"))
