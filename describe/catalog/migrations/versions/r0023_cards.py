"""The cards of heads, which are made when they are first asked for, and the words that they are found by."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "head_card",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("head_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("headline", sa.Text(), nullable=False),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["head_id"], ["head.id"], name="fk_head_card_head_id_head"),
        sa.PrimaryKeyConstraint("id", name="pk_head_card"),
        sa.UniqueConstraint("head_id", name="uq_head_card_head_id"),
    )
    op.add_column("passage", sa.Column("of_card", sa.Boolean(), nullable=False, server_default=sa.false()))
