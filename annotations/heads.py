"""Raters' judgements of one head's descriptions, over all studies, without saying who."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from annotations import schema
from annotations.records import FIT
from describe.catalog import Catalogue
from describe.records import HeadId

__all__ = ["judged"]


def judged(catalogue: Catalogue, model: str, head: HeadId) -> list[dict[str, Any]]:
    """How often each description of a head was judged how: ``source``, ``inputs``, ``pattern``, ``unclear``, ``fit``.

    ``fit`` counts the answers of `annotations.records.FIT`. Descriptions are those that were shown, as they were then;
    items that show something else than a head with its own description are left out, and so are repeats. Nobody is
    excluded: that is for a study's report.
    """
    item, shown = schema.study_item, schema.study_presentation
    query = (
        select(item.c.source, item.c.content, shown.c.stage_b)
        .join(shown, shown.c.item_id == item.c.id)
        .where(item.c.model == model, item.c.head == str(head), item.c.kind == "real")
        .where(shown.c.answered.is_not(None), shown.c.occasion == 1)
        .order_by(item.c.id)
    )
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    with catalogue.engine.connect() as connection:
        for row in connection.execute(query):
            told = {"source": row.source} | {name: row.content[name] for name in ("inputs", "pattern", "unclear")}
            fit = found.setdefault(tuple(told.values()), told | {"fit": dict.fromkeys(FIT, 0)})["fit"]
            fit[row.stage_b["fit"]] += 1
    return list(found.values())
