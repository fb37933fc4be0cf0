"""Descriptions as far as overviews and headlines need them, of all heads of an extraction at once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from describe.catalog import schema
from describe.catalog.rows import iso
from describe.head_record import HeadlineScore, Told, outcome
from describe.head_record.facts import ATTENTION

__all__ = ["CUT", "told_of"]

CUT = 500
"""Characters of a description that an overview shows."""


def told_of(connection: Connection, extraction_id: int, llm: str | None = None) -> dict[int, list[Told]]:
    """The descriptions of each head, by its id, in the order of its record; of their words a little more than `CUT`
    characters; ``llm``: those by this one alone."""
    head, told, by = schema.head, schema.description, schema.labeller
    texts = [func.substr(told.c[name], 1, CUT + 1).label(name) for name in ("inputs", "pattern")]
    query = (
        select(told.c.id, told.c.head_id, by.c.llm, *texts, told.c.unclear, told.c.failure, told.c.role)
        .add_columns(told.c.created, told.c.kind, by.c.id.label("labeller_id"))
        .join(head, told.c.head_id == head.c.id)
        .join(by, told.c.labeller_id == by.c.id)
        .where(head.c.extraction_id == extraction_id)
        .order_by(told.c.role, told.c.id)
    )
    if llm is not None:
        query = query.where(by.c.llm == llm)
    scores = _scores(connection, extraction_id)
    made = {row.id: row.settings.get("shows") for row in connection.execute(select(by.c.id, by.c.settings))}
    found: dict[int, list[Told]] = {}
    for row in connection.execute(query):
        one = Told(
            llm=row.llm,
            state=outcome(row.failure, row.unclear),
            pattern=row.pattern,
            inputs=row.inputs,
            role=row.role or None,
            kind=row.kind,
            tells="looks" if made[row.labeller_id] == ATTENTION else "writes",
            judged=scores.get(row.id, ()),
            described=iso(row.created),
            failure=row.failure,
        )
        found.setdefault(row.head_id, []).append(one)
    return found


def _scores(connection: Connection, extraction_id: int) -> dict[int, list[HeadlineScore]]:
    """The scores of each description that have a value, by its id."""
    head, told, score, judge = schema.head, schema.description, schema.score, schema.labeller
    columns = [score.c[name] for name in ("description_id", "measure", "value", "low", "high", "wrong", "created")]
    grouping = score.c.found["grouping"]["value"].as_float().label("grouping")
    p = score.c.found["p"].as_float().label("p")
    query = (
        select(judge.c.llm, grouping, p, *columns)
        .join(judge, score.c.judge_id == judge.c.id)
        .join(told, score.c.description_id == told.c.id)
        .join(head, told.c.head_id == head.c.id)
        .where(head.c.extraction_id == extraction_id)
        .order_by(score.c.created, score.c.id)
    )
    newest: dict[int, dict[tuple[str, str], Any]] = {}
    for row in connection.execute(query):
        newest.setdefault(row.description_id, {})[row.measure, row.llm] = row
    return {
        description_id: [
            HeadlineScore(
                measure=row.measure,
                judge=row.llm,
                value=row.value,
                scored=iso(row.created),
                **{name: getattr(row, name) for name in ("low", "high", "wrong", "grouping", "p")},
            )
            for row in judged.values()
            if row.value is not None
        ]
        for description_id, judged in newest.items()
    }
