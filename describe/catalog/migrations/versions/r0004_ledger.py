"""The ledger: every call to an LLM, with what it took and what came back."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "call",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("labeller_id", sa.Integer, nullable=False),
        sa.Column("head_id", sa.Integer),
        sa.Column("llm", sa.String(512), nullable=False),
        sa.Column("endpoint", sa.String(512), nullable=False),
        sa.Column("template_hash", sa.String(64), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text),
        sa.Column("reply", sa.Text),
        sa.Column("model", sa.String(512)),
        sa.Column("request_id", sa.String(256)),
        sa.Column("tokens_in", sa.Integer),
        sa.Column("tokens_out", sa.Integer),
        sa.Column("tokens_reasoning", sa.Integer),
        sa.Column("money", sa.Float),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_call"),
        sa.ForeignKeyConstraint(["labeller_id"], ["labeller.id"], name="fk_call_labeller_id_labeller"),
        sa.ForeignKeyConstraint(["head_id"], ["head.id"], name="fk_call_head_id_head"),
    )
    op.create_index("ix_call_head_id", "call", ["head_id"])
    op.create_index("ix_call_request_hash", "call", ["request_hash"])
