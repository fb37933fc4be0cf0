"""Batches: requests that wait at a server, to be found again by any process."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("labeller_id", sa.Integer, nullable=False),
        sa.Column("extraction_id", sa.Integer, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("file_id", sa.String(256)),
        sa.Column("server_id", sa.String(256)),
        sa.Column("omitted", sa.JSON, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_batch"),
        sa.ForeignKeyConstraint(["labeller_id"], ["labeller.id"], name="fk_batch_labeller_id_labeller"),
        sa.ForeignKeyConstraint(["extraction_id"], ["extraction.id"], name="fk_batch_extraction_id_extraction"),
        sa.UniqueConstraint("key", name="uq_batch_key"),
    )
    op.create_table(
        "batch_request",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("batch_id", sa.Integer, nullable=False),
        sa.Column("head_id", sa.Integer, nullable=False),
        sa.Column("custom_id", sa.String(64), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("in_flight", sa.String(64)),
        sa.Column("most", sa.Float, nullable=False),
        sa.Column("call_id", sa.Integer),
        sa.PrimaryKeyConstraint("id", name="pk_batch_request"),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name="fk_batch_request_batch_id_batch"),
        sa.ForeignKeyConstraint(["head_id"], ["head.id"], name="fk_batch_request_head_id_head"),
        sa.ForeignKeyConstraint(["call_id"], ["call.id"], name="fk_batch_request_call_id_call"),
        sa.UniqueConstraint("batch_id", "custom_id", name="uq_batch_request_batch_id_custom_id"),
        sa.UniqueConstraint("in_flight", name="uq_batch_request_in_flight"),
        sa.UniqueConstraint("call_id", name="uq_batch_request_call_id"),
    )
