"""Raters who enter themselves by one link, what is asked before the items, and studies put away."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

UNDELETABLE = {
    "sqlite": (
        "DROP TRIGGER study_event_DELETE",
        "CREATE TRIGGER study_event_DELETE BEFORE DELETE ON study_event"
        " WHEN NOT EXISTS (SELECT 1 FROM study WHERE id = OLD.study_id AND discarded = 1)"
        " BEGIN SELECT RAISE(ABORT, 'study events are only ever added'); END",
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION study_event_keep() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN"
        " IF TG_OP = 'DELETE' AND EXISTS (SELECT 1 FROM study WHERE id = OLD.study_id AND discarded) THEN RETURN OLD;"
        " END IF;"
        " RAISE EXCEPTION 'study events are only ever added'; END $$",
    ),
}


def upgrade() -> None:
    op.add_column("study", sa.Column("archived", sa.DateTime(timezone=True)))
    op.add_column("study", sa.Column("discarded", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("study_rater", sa.Column("external_id", sa.String(64)))
    op.add_column("study_rater", sa.Column("recruited", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("study_rater", sa.Column("about", sa.JSON))
    op.add_column("study_rater", sa.Column("screening", sa.JSON))
    op.add_column("study_rater", sa.Column("screened", sa.DateTime(timezone=True)))
    op.add_column("study_rater", sa.Column("screened_out", sa.DateTime(timezone=True)))
    op.create_index("ix_study_rater_external", "study_rater", ["study_id", "external_id"], unique=True)
    op.create_table(
        "study_recruitment",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("cap", sa.Integer, nullable=False),
        sa.Column("id_parameter", sa.String(64)),
        sa.Column("completion_code", sa.String(128)),
        sa.Column("return_url", sa.String(1024)),
        sa.Column("closed", sa.DateTime(timezone=True)),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study_recruitment"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_study_recruitment_study_id_study"),
        sa.UniqueConstraint("study_id", name="uq_study_recruitment_study_id"),
        sa.UniqueConstraint("code_hash", name="uq_study_recruitment_code_hash"),
    )
    for statement in UNDELETABLE[op.get_bind().dialect.name]:
        op.get_bind().exec_driver_sql(statement)
