"""The frame of ratings that a report is made from: one row per answered presentation, its newest revision."""

from __future__ import annotations

import pandas as pd

from annotations.records import FIT, KINDS, PRESENCE
from describe.errors import InputError

__all__ = ["BASELINE", "COLUMNS", "LENIENT", "STRICT", "checked", "repeats"]

COLUMNS = (
    *("rater", "item", "occasion", "position", "kind", "expected", "model", "head", "layer", "source", "unclear"),
    *("true_unclear", "score", "presence", "own_words", "fit", "coverage", "scope", "comment", "revisions"),
    *("seconds_a", "seconds_b", "shown_at", "answered_at"),
)
STRICT = ("fits",)
"""The answers on fit that make a description plausible."""

LENIENT = ("fits", "partly")
"""As above, counting what fits in part."""

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


def repeats(ratings: pd.DataFrame) -> pd.DataFrame:
    """The first answers to the items that a rater met twice, with the second as ``presence_again``, ``fit_again``."""
    again = ratings.loc[ratings["occasion"] == 2, ["rater", "item", "presence", "fit"]]
    return ratings[ratings["occasion"] == 1].merge(again, on=["rater", "item"], suffixes=("", "_again"))
