"""Which pairs of tokens heads' queries and keys connect, beside random heads and attention on text."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "head_query_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("head_id", sa.Integer(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("settings_hash", sa.String(64), nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["head_id"], ["head.id"], name="fk_head_query_key_head_id_head"),
        sa.PrimaryKeyConstraint("id", name="pk_head_query_key"),
        sa.UniqueConstraint("head_id", "settings_hash", name="uq_head_query_key_head_id_settings_hash"),
    )
