"""The cards of heads as LLMs word them, with the evidence that each statement rests on."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "head_worded",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("head_id", sa.Integer(), nullable=False),
        sa.Column("labeller_id", sa.Integer(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("evidence_hash", sa.String(64), nullable=False),
        sa.Column("statements", sa.JSON(), nullable=False),
        sa.Column("others", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Integer(), nullable=False),
        sa.Column("failure", sa.String(32)),
        sa.Column("detail", sa.Text()),
        sa.Column("reply", sa.Text()),
        sa.Column("prompt_hash", sa.String(64)),
        sa.Column("usage", sa.JSON(), nullable=False),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["head_id"], ["head.id"], name="fk_head_worded_head_id_head"),
        sa.ForeignKeyConstraint(["labeller_id"], ["labeller.id"], name="fk_head_worded_labeller_id_labeller"),
        sa.PrimaryKeyConstraint("id", name="pk_head_worded"),
        sa.UniqueConstraint(
            "head_id", "labeller_id", "evidence_hash", name="uq_head_worded_head_id_labeller_id_evidence_hash"
        ),
    )
    op.create_index("ix_head_worded_labeller_id", "head_worded", ["labeller_id"])
