"""Where heads look: their attention while the model runs."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attention_run",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("settings_hash", sa.String(64), nullable=False),
        sa.Column("standard", sa.Boolean, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("found", sa.JSON),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attention_run"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_attention_run_model_id_model"),
        sa.UniqueConstraint("model_id", "settings_hash", name="uq_attention_run_model_id_settings_hash"),
    )
    op.create_table(
        "attention_document",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("found", sa.LargeBinary, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attention_document"),
        sa.ForeignKeyConstraint(["run_id"], ["attention_run.id"], name="fk_attention_document_run_id_attention_run"),
        sa.UniqueConstraint("run_id", "number", name="uq_attention_document_run_id_number"),
    )
    op.create_table(
        "attention_head",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("layer", sa.Integer, nullable=False),
        sa.Column("head", sa.Integer, nullable=False),
        sa.Column("kinds", sa.JSON, nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("found", sa.LargeBinary, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attention_head"),
        sa.ForeignKeyConstraint(["run_id"], ["attention_run.id"], name="fk_attention_head_run_id_attention_run"),
        sa.UniqueConstraint("run_id", "layer", "head", name="uq_attention_head_run_id_layer_head"),
    )
