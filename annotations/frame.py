"""The ratings of a study as a table: what statistics and report work on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, select

from annotations import schema
from annotations.records import Study
from annotations.scores import by_item
from describe.catalog import Catalogue
from describe.catalog.rows import aware

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "ratings"]

COLUMNS = {
    "rater": "the rater's pseudonym",
    "item": "the item's number in the study",
    "occasion": "1; 2 for the same item shown to the same rater again",
    "position": "how many-th item of this rater, from 1",
    "kind": "real, swap_easy, swap_hard, shuffled or catch",
    "expected": "the right fit of a catch item",
    "model": "whose head's table is shown",
    "head": "layer.head whose table is shown; empty for a catch item",
    "layer": "its layer, from 0; -1 for a catch item",
    "source": "who wrote the description that is shown",
    "unclear": "the description that is shown is an abstention",
    "true_unclear": "the describer abstained on the head whose table is shown",
    "score": "automatic score of the description when the study was made, if it had one",
    "scores": 'all its scores that are known by now, JSON: {"write by openai:gpt-5-mini": 0.61}',
    "presence": "stage A, table alone: is there a pattern? clear, weak, none",
    "own_words": "stage A: the pattern in the rater's own words",
    "fit": "stage B: fits, partly, does not fit, can't tell; newest revision, as all of stage B",
    "coverage": "stage B: rows that the description covers: none, few, most, all",
    "scope": "stage B: too broad, too narrow, right",
    "comment": "stage B: free text",
    "revisions": "how many times stage B was answered anew",
    "seconds_a": "active seconds on stage A",
    "seconds_b": "active seconds on stage B, revisions included",
    "shown_at": "when the table was first sent to the rater's page, UTC",
    "answered_at": "when stage B was first answered, UTC",
}
"""The columns of the frame, and what they hold."""


def ratings(catalogue: Catalogue, study: Study) -> pd.DataFrame:
    """One row per answered presentation, by rater and position, with the columns of `COLUMNS`; raters excluded none.

    Texts that were not given are None, a missing score is NaN, times are UTC timestamps.
    """
    import pandas as pd

    rows = list(_rows(catalogue, study))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    texts = ("scores", "expected", "presence", "own_words", "fit", "coverage", "scope", "comment")
    kinds: dict[str, Any] = dict.fromkeys(("rater", "kind", "model", "head", "source", *texts), object)
    kinds |= dict.fromkeys(("item", "occasion", "position", "layer", "revisions"), "int64")
    kinds |= dict.fromkeys(("unclear", "true_unclear"), bool) | dict.fromkeys(
        ("score", "seconds_a", "seconds_b"), float
    )
    for name in ("shown_at", "answered_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    frame = frame.astype(kinds)
    for name in texts:
        frame[name] = frame[name].where(frame[name].notna(), None)
    return frame


def _rows(catalogue: Catalogue, study: Study) -> Iterable[dict[str, Any]]:
    shown, item, rater, event = (
        schema.study_presentation,
        schema.study_item,
        schema.study_rater,
        schema.study_event,
    )
    of_item = [item.c[name] for name in COLUMNS if name in item.c]
    query = (
        select(shown, rater.c.pseudonym, item.c.number, *of_item)
        .join(item, shown.c.item_id == item.c.id)
        .join(rater, shown.c.rater_id == rater.c.id)
        .where(item.c.study_id == study.id, shown.c.answered.is_not(None))
        .order_by(rater.c.id, shown.c.position)
    )
    events = (
        select(event.c.presentation_id, event.c.type, event.c.active_ms, event.c.created)
        .where(event.c.study_id == study.id, event.c.presentation_id.is_not(None))
        .order_by(event.c.id)
    )
    scores = {number: json.dumps(found, sort_keys=True) for number, found in by_item(catalogue, study).items()}
    with catalogue.engine.connect() as connection:
        entries: list[Row[Any]] = list(connection.execute(events))
        presented: list[Row[Any]] = list(connection.execute(query))
    of_presentation: dict[int, list[Row[Any]]] = {}
    for entry in entries:
        of_presentation.setdefault(entry.presentation_id, []).append(entry)
    for row in presented:
        happened = of_presentation.get(row.id, [])
        yield {
            "rater": row.pseudonym,
            "item": row.number,
            "occasion": row.occasion,
            "position": row.position,
            **{column.name: getattr(row, column.name) for column in of_item},
            "scores": scores.get(row.number),
            **row.stage_a,
            **row.stage_b,
            "revisions": sum(e.type == "revised" for e in happened),
            "seconds_a": sum(e.active_ms or 0 for e in happened if e.type == "answered_a") / 1000,
            "seconds_b": sum(e.active_ms or 0 for e in happened if e.type in ("answered_b", "revised")) / 1000,
            "shown_at": aware(next((e.created for e in happened if e.type == "shown_a"), row.created)),
            "answered_at": aware(row.answered),
        }
