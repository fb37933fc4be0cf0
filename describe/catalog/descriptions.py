"""Descriptions of heads, abstentions and failures: how one is entered, and read again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, select

from describe.catalog import schema
from describe.catalog.heads import IS_HEAD, place
from describe.catalog.passages import add_description
from describe.catalog.rows import bare, iso, now, storable
from describe.head_record import DescriptionProvenance, DescriptionRecord
from describe.records import Description, HeadId

__all__ = ["descriptions_of", "insert_description"]

# Built once: building it anew for every head costs more than running it.
_BY_LABELLER = and_(
    schema.description.c.head_id == schema.head.c.id,
    schema.description.c.labeller_id == bindparam("by_labeller"),
    schema.description.c.role == bindparam("of_role"),
)
_DESCRIBED = (
    select(schema.head.c.id, schema.description.c.id, schema.description.c.failure)
    .join_from(schema.head, schema.description, _BY_LABELLER, isouter=True)
    .where(IS_HEAD)
)
_INSERT = schema.description.insert()


def insert_description(
    connection: Connection,
    extraction_id: int,
    head: HeadId,
    labeller_id: int,
    outcome: Description,
    versions: dict[str, str],
) -> None:
    """Enter the outcome of one head or role. An earlier failure gives way to it; an earlier answer stays."""
    table = schema.description
    fields = {name: storable(value) for name, value in asdict(outcome).items()}
    fields |= {"versions": versions, "created": now()}
    known = place(extraction_id, head) | {"by_labeller": labeller_id, "of_role": head.role}
    head_id, earlier, failure = connection.execute(_DESCRIBED, known).one()
    if earlier is None:
        key = {"head_id": head_id, "labeller_id": labeller_id, "role": head.role}
        described = int(connection.execute(_INSERT, fields | key).inserted_primary_key[0])  # type: ignore[index]
    elif failure is not None:
        connection.execute(table.update().where(table.c.id == earlier).values(**fields))
        described = earlier
    else:
        return
    if outcome.failure is None and not outcome.unclear:
        add_description(connection, extraction_id, head_id, described, fields["inputs"], fields["pattern"])


def descriptions_of(
    connection: Connection,
    wanted: ColumnElement[bool],
    scores: dict[int, dict[str, Any]],
    labellers: Collection[int] | None,
) -> dict[int, list[DescriptionRecord]]:
    """The descriptions of each of some heads, by the head's id: of the whole head first, then in order of entry.

    ``scores`` are those of descriptions, by their id; ``labellers``: the descriptions of these alone.
    """
    head, description, labeller = schema.head, schema.description, schema.labeller
    made_by = [labeller.c[name] for name in ("llm", "prompt", "template", "template_hash", "settings")]
    query = (
        select(description, *made_by)
        .join(head, description.c.head_id == head.c.id)
        .join(labeller, description.c.labeller_id == labeller.c.id)
        .where(wanted)
        .order_by(description.c.role, description.c.id)
    )
    if labellers is not None:
        query = query.where(labeller.c.id.in_(labellers))
    found: dict[int, list[DescriptionRecord]] = {}
    for row in connection.execute(query):
        found.setdefault(row.head_id, []).append(_record(row, scores.get(row.id, {})))
    return found


_SAID = ("inputs", "pattern", "reasoning", "groups", "detail", "reply", "usage")


def _record(row: Row[Any], scores: dict[str, Any]) -> DescriptionRecord:
    made: dict[str, Any] = bare(row._asdict(), _SAID) | {"described": iso(row.created)}
    return DescriptionRecord.of(
        **{name: made[name] for name in DescriptionRecord.model_fields if name in made} | {"role": row.role or None},
        scores={measure: dict(sorted(judged.items())) for measure, judged in sorted(scores.items())},
        provenance=DescriptionProvenance.of(**{name: made[name] for name in DescriptionProvenance.model_fields}),
    )
