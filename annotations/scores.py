"""The automatic scores of what raters judged: by every measure, of every judge."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from annotations.records import Study
from annotations.schema import study_item
from describe.catalog import Catalogue, schema
from describe.measures import MEASURES

__all__ = ["by_item", "score_name"]

_ASKED = 500
"""Descriptions of one query: databases take so many parameters."""


def score_name(measure: str, judge: str) -> str:
    """A measure as one judge takes it: ``write by openai:gpt-5-mini``."""
    return f"{measure} by {judge}"


def by_item(catalogue: Catalogue, study: Study) -> dict[int, dict[str, float]]:
    """The newest value of each measure by each judge of the own descriptions of a study, by the item's number.

    Scores of today, made before the study or after it: raters saw none of them. A description counts while the
    catalogue holds it in the words that raters were shown.
    """
    columns = (study_item.c.number, study_item.c.content, study_item.c.origin)
    query = select(*columns).where(study_item.c.study_id == study.id, study_item.c.kind == "real")
    with catalogue.engine.connect() as connection:
        shown = {row.number: (row.origin, row.content) for row in connection.execute(query)}
    ids = {number: origin["description_id"] for number, (origin, _) in shown.items() if "description_id" in origin}
    scored = _of_descriptions(catalogue, sorted(set(ids.values())))
    found = {}
    for number, id in ids.items():
        origin, content = shown[number]
        said, values = scored.get(id, (None, {}))
        if said == (origin["extraction_id"], content["inputs"], content["pattern"]) and values:
            found[number] = dict(values)
    return found


def _of_descriptions(
    catalogue: Catalogue, ids: Sequence[int]
) -> dict[int, tuple[tuple[int, str, str], dict[str, float]]]:
    """Of each description that has a score: extraction, inputs and pattern; and its scores."""
    head, description, judge, score = schema.head, schema.description, schema.labeller, schema.score
    query = (
        select(score.c.description_id, score.c.measure, score.c.value, judge.c.llm)
        .add_columns(head.c.extraction_id, description.c.inputs, description.c.pattern)
        .join(judge, score.c.judge_id == judge.c.id)
        .join(description, score.c.description_id == description.c.id)
        .join(head, description.c.head_id == head.c.id)
        .where(score.c.value.is_not(None), score.c.measure.in_(list(MEASURES)))
        .order_by(score.c.created, score.c.id)
    )
    found: dict[int, tuple[tuple[int, str, str], dict[str, float]]] = {}
    with catalogue.engine.connect() as connection:
        for first in range(0, len(ids), _ASKED):
            for row in connection.execute(query.where(score.c.description_id.in_(ids[first : first + _ASKED]))):
                said = (row.extraction_id, row.inputs or "", row.pattern or "")
                values = found.setdefault(row.description_id, (said, {}))[1]
                values[score_name(row.measure, row.llm)] = row.value
    return found
