"""Checks of operations and heads by running the model."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "check_run",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("settings_hash", sa.String(64), nullable=False),
        sa.Column("standard", sa.Boolean, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_check_run"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_check_run_model_id_model"),
        sa.UniqueConstraint("model_id", "kind", "settings_hash", name="uq_check_run_model_id_kind_settings_hash"),
    )
    op.create_table(
        "operation_check",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("operation_id", sa.Integer, nullable=False),
        sa.Column("part", sa.String(32), nullable=False),
        sa.Column("found", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_operation_check"),
        sa.ForeignKeyConstraint(["run_id"], ["check_run.id"], name="fk_operation_check_run_id_check_run"),
        sa.ForeignKeyConstraint(["operation_id"], ["operation.id"], name="fk_operation_check_operation_id_operation"),
        sa.UniqueConstraint("run_id", "operation_id", "part", name="uq_operation_check_run_id_operation_id_part"),
    )
    op.create_table(
        "head_check",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("head_id", sa.Integer, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("settings_hash", sa.String(64), nullable=False),
        sa.Column("found", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_head_check"),
        sa.ForeignKeyConstraint(["head_id"], ["head.id"], name="fk_head_check_head_id_head"),
        sa.UniqueConstraint("head_id", "settings_hash", name="uq_head_check_head_id_settings_hash"),
    )
