"""Operations, and how strongly heads implement them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "operation",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("category", sa.String(64), nullable=False),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("pairs", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_operation"),
        sa.UniqueConstraint("name", "content_hash", name="uq_operation_name_content_hash"),
    )
    op.create_table(
        "relation_run",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("settings_hash", sa.String(64), nullable=False),
        sa.Column("standard", sa.Boolean, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_relation_run"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_relation_run_model_id_model"),
        sa.UniqueConstraint("model_id", "settings_hash", name="uq_relation_run_model_id_settings_hash"),
    )
    op.create_table(
        "relation",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("operation_id", sa.Integer, nullable=False),
        sa.Column("k", sa.Integer, nullable=False),
        sa.Column("pairs_used", sa.Integer, nullable=False),
        sa.Column("valid", sa.Boolean, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_relation"),
        sa.ForeignKeyConstraint(["run_id"], ["relation_run.id"], name="fk_relation_run_id_relation_run"),
        sa.ForeignKeyConstraint(["operation_id"], ["operation.id"], name="fk_relation_operation_id_operation"),
        sa.UniqueConstraint("run_id", "operation_id", name="uq_relation_run_id_operation_id"),
    )
    op.create_table(
        "relation_layer",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("relation_id", sa.Integer, nullable=False),
        sa.Column("layer", sa.Integer, nullable=False),
        sa.Column("scores", sa.JSON, nullable=False),
        sa.Column("suppression", sa.JSON, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_relation_layer"),
        sa.ForeignKeyConstraint(["relation_id"], ["relation.id"], name="fk_relation_layer_relation_id_relation"),
        sa.UniqueConstraint("relation_id", "layer", name="uq_relation_layer_relation_id_layer"),
    )
