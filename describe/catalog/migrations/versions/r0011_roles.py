"""The roles of heads, and descriptions of one role beside those of the whole head."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "head_role",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("head_id", sa.Integer, nullable=False),
        sa.Column("role", sa.Integer, nullable=False),
        sa.Column("sign", sa.String(16), nullable=False),
        sa.Column("rows", sa.JSON, nullable=False),
        sa.Column("held_out", sa.JSON, nullable=False),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("reach", sa.Float, nullable=False),
        sa.Column("p_value", sa.Float, nullable=False),
        sa.Column("evidence", sa.JSON),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("settings_hash", sa.String(64), nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_head_role"),
        sa.ForeignKeyConstraint(["head_id"], ["head.id"], name="fk_head_role_head_id_head"),
        sa.UniqueConstraint("head_id", "role", name="uq_head_role_head_id_role"),
    )
    op.add_column("batch_request", sa.Column("role", sa.Integer, nullable=False, server_default="0"))
    with _without_children("description"), op.batch_alter_table("description") as table:
        table.add_column(sa.Column("role", sa.Integer, nullable=False, server_default="0"))
        table.drop_constraint("uq_description_head_id_labeller_id", type_="unique")
        table.create_unique_constraint("uq_description_head_id_labeller_id_role", ["head_id", "labeller_id", "role"])


@contextmanager
def _without_children(parent: str) -> Iterator[None]:
    """SQLite changes a constraint by making the table anew, and lets go of none that other rows refer to.

    So the tables that do are taken away meanwhile, and made again as they were.
    """
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        yield
        return
    tables = sa.inspect(connection)
    children = [
        name
        for name in tables.get_table_names()
        if any(key["referred_table"] == parent for key in tables.get_foreign_keys(name))
    ]
    made_by = sa.text("SELECT sql FROM sqlite_master WHERE tbl_name = :name AND sql IS NOT NULL ORDER BY type DESC")
    statements = {name: list(connection.execute(made_by, {"name": name}).scalars()) for name in children}
    for name in children:
        connection.exec_driver_sql(f'CREATE TEMP TABLE "kept_{name}" AS SELECT * FROM "{name}"')  # noqa: S608
        connection.exec_driver_sql(f'DROP TABLE "{name}"')
    yield
    for name in children:
        for statement in statements[name]:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f'INSERT INTO "{name}" SELECT * FROM temp."kept_{name}"')  # noqa: S608
        connection.exec_driver_sql(f'DROP TABLE temp."kept_{name}"')
