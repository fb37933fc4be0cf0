"""One outcome of describing a head: how it is entered."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, and_, bindparam, select

from describe.catalog import schema
from describe.catalog.heads import IS_HEAD, place
from describe.catalog.passages import add_description
from describe.catalog.rows import now, storable
from describe.records import Description, HeadId

__all__ = ["insert_description"]

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
