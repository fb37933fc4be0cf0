"""Labellers and their descriptions of heads."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "labeller",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("llm", sa.String(512), nullable=False),
        sa.Column("prompt", sa.String(256), nullable=False),
        sa.Column("template_hash", sa.String(64), nullable=False),
        sa.Column("template", sa.Text, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_labeller"),
        sa.UniqueConstraint("key_hash", name="uq_labeller_key_hash"),
    )
    op.create_table(
        "description",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("head_id", sa.Integer, nullable=False),
        sa.Column("labeller_id", sa.Integer, nullable=False),
        sa.Column("inputs", sa.Text),
        sa.Column("pattern", sa.Text),
        sa.Column("reasoning", sa.Text),
        sa.Column("unclear", sa.Boolean, nullable=False),
        sa.Column("failure", sa.String(32)),
        sa.Column("detail", sa.Text),
        sa.Column("reply", sa.Text),
        sa.Column("prompt_hash", sa.String(64)),
        sa.Column("usage", sa.JSON, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_description"),
        sa.ForeignKeyConstraint(["head_id"], ["head.id"], name="fk_description_head_id_head"),
        sa.ForeignKeyConstraint(["labeller_id"], ["labeller.id"], name="fk_description_labeller_id_labeller"),
        sa.UniqueConstraint("head_id", "labeller_id", name="uq_description_head_id_labeller_id"),
    )
    op.create_index("ix_description_labeller_id", "description", ["labeller_id"])
