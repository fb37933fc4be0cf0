"""How far judges find descriptions true; the rows they are judged by; and placebos, which are nobody's heads."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("extraction", sa.Column("placebo", sa.String(32)))
    op.add_column("head", sa.Column("held_out", sa.JSON))
    op.create_table(
        "score",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("description_id", sa.Integer, nullable=False),
        sa.Column("judge_id", sa.Integer, nullable=False),
        sa.Column("measure", sa.String(32), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("placebo", sa.Float),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("failure", sa.String(32)),
        sa.Column("detail", sa.Text),
        sa.Column("found", sa.JSON, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("settings_hash", sa.String(64), nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_score"),
        sa.ForeignKeyConstraint(["description_id"], ["description.id"], name="fk_score_description_id_description"),
        sa.ForeignKeyConstraint(["judge_id"], ["labeller.id"], name="fk_score_judge_id_labeller"),
        sa.UniqueConstraint(
            "description_id",
            "judge_id",
            "measure",
            "settings_hash",
            name="uq_score_description_id_judge_id_measure_settings_hash",
        ),
    )
    op.create_index("ix_score_judge_id", "score", ["judge_id"])
