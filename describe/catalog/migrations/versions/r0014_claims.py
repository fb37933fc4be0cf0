"""The claims of descriptions, which were read out of their words until now; those of statistics once more."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from describe.catalog.rows import json_hash
from describe.catalog.stated_claims import claims_stated

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

labeller = sa.table("labeller", sa.column("id"), sa.column("llm"), sa.column("settings", sa.JSON))
description = sa.table(
    "description",
    *(sa.column(name) for name in ("id", "head_id", "labeller_id", "role", "inputs", "pattern", "failure")),
    sa.column("claims", sa.JSON),
)
evidence = sa.table("evidence", sa.column("head_id"), sa.column("settings_hash"), sa.column("found", sa.JSON))
head_role = sa.table("head_role", sa.column("head_id"), sa.column("role"), sa.column("evidence", sa.JSON))

AT_ONCE = 500


def upgrade() -> None:
    op.add_column("description", sa.Column("claims", sa.JSON, nullable=False, server_default="[]"))
    connection = op.get_bind()
    change = sa.update(description).where(description.c.id == sa.bindparam("of")).values(claims=sa.bindparam("stated"))
    statistics = sa.select(labeller.c.id, labeller.c.settings).where(labeller.c.llm == "statistics")
    for author in connection.execute(statistics).all():
        for query in (_of_heads(author), _of_roles(author)):
            for some in _in_parts(connection, query):
                rows = ((row, claims_stated(row.inputs, row.pattern, _found(row, author))) for row in some)
                changed = [{"of": row.id, "stated": claims} for row, claims in rows if claims]
                if changed:
                    connection.execute(change, changed)


def _of_heads(author: Any) -> Any:
    """Descriptions of whole heads, each with what was significant of the head when it was described."""
    tested = sa.and_(
        evidence.c.head_id == description.c.head_id, evidence.c.settings_hash == json_hash(author.settings)
    )
    query = sa.select(description.c.id, description.c.inputs, description.c.pattern, evidence.c.found)
    return query.join_from(description, evidence, tested).where(
        description.c.labeller_id == author.id, description.c.role == 0, description.c.failure.is_(None)
    )


def _of_roles(author: Any) -> Any:
    """Descriptions of roles, each with what was significant of the role."""
    same = sa.and_(head_role.c.head_id == description.c.head_id, head_role.c.role == description.c.role)
    query = sa.select(description.c.id, description.c.inputs, description.c.pattern, head_role.c.evidence)
    return query.join_from(description, head_role, same).where(
        description.c.labeller_id == author.id, description.c.failure.is_(None)
    )


def _found(row: Any, author: Any) -> list[dict[str, Any]]:
    if hasattr(row, "found"):
        return list(row.found)
    tested = row.evidence
    return list(tested["found"]) if tested and tested["settings"] == author.settings else []


def _in_parts(connection: sa.Connection, query: Any) -> Iterator[Any]:
    last = 0
    while rows := connection.execute(
        query.where(description.c.id > last).order_by(description.c.id).limit(AT_ONCE)
    ).all():
        yield rows
        last = rows[-1].id
