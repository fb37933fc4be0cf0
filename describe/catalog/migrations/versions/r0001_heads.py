"""Models, extractions and heads."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalogue_info",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_catalogue_info"),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("family", sa.String(64), nullable=False),
        sa.Column("n_layers", sa.Integer, nullable=False),
        sa.Column("n_heads", sa.Integer, nullable=False),
        sa.Column("n_kv_heads", sa.Integer, nullable=False),
        sa.Column("d_model", sa.Integer, nullable=False),
        sa.Column("d_head", sa.Integer, nullable=False),
        sa.Column("vocab_size", sa.Integer, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model"),
        sa.UniqueConstraint("name", "content_hash", name="uq_model_name_content_hash"),
    )
    op.create_table(
        "extraction",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("settings_hash", sa.String(64), nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_extraction"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_extraction_model_id_model"),
        sa.UniqueConstraint("model_id", "settings_hash", name="uq_extraction_model_id_settings_hash"),
    )
    op.create_table(
        "head",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("extraction_id", sa.Integer, nullable=False),
        sa.Column("layer", sa.Integer, nullable=False),
        sa.Column("head", sa.Integer, nullable=False),
        sa.Column("saliency", sa.Float, nullable=False),
        sa.Column("salient", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_head"),
        sa.ForeignKeyConstraint(["extraction_id"], ["extraction.id"], name="fk_head_extraction_id_extraction"),
        sa.UniqueConstraint("extraction_id", "layer", "head", name="uq_head_extraction_id_layer_head"),
    )
