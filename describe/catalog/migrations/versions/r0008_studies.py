"""Human studies: items, raters, places, presentations, and events that are only ever added."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SQLITE = """
CREATE TRIGGER study_event_{change} BEFORE {change} ON study_event
BEGIN SELECT RAISE(ABORT, 'study events are only ever added'); END
"""
POSTGRES = """
CREATE FUNCTION study_event_keep() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'study events are only ever added'; END $$;
CREATE TRIGGER study_event_keep BEFORE UPDATE OR DELETE ON study_event
FOR EACH ROW EXECUTE FUNCTION study_event_keep()
"""


def upgrade() -> None:
    _design()
    _rating()
    _events()


def _design() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("models", sa.JSON, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("raters_per_item", sa.Integer, nullable=False),
        sa.Column("guideline", sa.Text, nullable=False),
        sa.Column("consent", sa.Text, nullable=False),
        sa.Column("exclusion", sa.JSON, nullable=False),
        sa.Column("n_items", sa.JSON, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("settings_hash", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("stopped", sa.DateTime(timezone=True)),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.UniqueConstraint("name", name="uq_study_name"),
    )
    op.create_table(
        "study_item",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("block", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("expected", sa.String(16)),
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("head", sa.String(32), nullable=False),
        sa.Column("layer", sa.Integer, nullable=False),
        sa.Column("source", sa.String(1024), nullable=False),
        sa.Column("unclear", sa.Boolean, nullable=False),
        sa.Column("true_unclear", sa.Boolean, nullable=False),
        sa.Column("score", sa.Float),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("touches", sa.JSON, nullable=False),
        sa.Column("origin", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study_item"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_study_item_study_id_study"),
        sa.UniqueConstraint("study_id", "number", name="uq_study_item_study_id_number"),
    )


def _rating() -> None:
    op.create_table(
        "study_rater",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("pseudonym", sa.String(16), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("consented", sa.DateTime(timezone=True)),
        sa.Column("practised", sa.Integer, nullable=False),
        sa.Column("revoked", sa.DateTime(timezone=True)),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study_rater"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_study_rater_study_id_study"),
        sa.UniqueConstraint("code_hash", name="uq_study_rater_code_hash"),
        sa.UniqueConstraint("study_id", "pseudonym", name="uq_study_rater_study_id_pseudonym"),
    )
    op.create_table(
        "study_place",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("item_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("rater_id", sa.Integer),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.Column("answered", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_study_place"),
        sa.ForeignKeyConstraint(["item_id"], ["study_item.id"], name="fk_study_place_item_id_study_item"),
        sa.ForeignKeyConstraint(["rater_id"], ["study_rater.id"], name="fk_study_place_rater_id_study_rater"),
        sa.UniqueConstraint("item_id", "number", name="uq_study_place_item_id_number"),
        sa.UniqueConstraint("item_id", "rater_id", name="uq_study_place_item_id_rater_id"),
    )
    op.create_table(
        "study_presentation",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("rater_id", sa.Integer, nullable=False),
        sa.Column("item_id", sa.Integer, nullable=False),
        sa.Column("occasion", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("stage_a", sa.JSON),
        sa.Column("stage_b", sa.JSON),
        sa.Column("answered", sa.DateTime(timezone=True)),
        sa.Column("reopened", sa.DateTime(timezone=True)),
        sa.Column("closed", sa.DateTime(timezone=True)),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study_presentation"),
        sa.ForeignKeyConstraint(["rater_id"], ["study_rater.id"], name="fk_study_presentation_rater_id_study_rater"),
        sa.ForeignKeyConstraint(["item_id"], ["study_item.id"], name="fk_study_presentation_item_id_study_item"),
        sa.UniqueConstraint("rater_id", "item_id", "occasion", name="uq_study_presentation_rater_id_item_id_occasion"),
        sa.UniqueConstraint("rater_id", "position", name="uq_study_presentation_rater_id_position"),
    )
    op.create_index("ix_study_presentation_item_id", "study_presentation", ["item_id"])
    unanswered = sa.text("answered IS NULL AND closed IS NULL")
    op.create_index(
        "ix_study_presentation_open",
        "study_presentation",
        ["rater_id"],
        unique=True,
        sqlite_where=unanswered,
        postgresql_where=unanswered,
    )


def _events() -> None:
    op.create_table(
        "study_event",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("rater_id", sa.Integer),
        sa.Column("presentation_id", sa.Integer),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("active_ms", sa.Integer),
        sa.Column("shown_hash", sa.String(64)),
        sa.Column("study_version", sa.Integer, nullable=False),
        sa.Column("app_version", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study_event"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_study_event_study_id_study"),
        sa.ForeignKeyConstraint(["rater_id"], ["study_rater.id"], name="fk_study_event_rater_id_study_rater"),
        sa.ForeignKeyConstraint(
            ["presentation_id"], ["study_presentation.id"], name="fk_study_event_presentation_id_study_presentation"
        ),
        sa.UniqueConstraint("uuid", name="uq_study_event_uuid"),
    )
    op.create_index("ix_study_event_study_id", "study_event", ["study_id"])
    op.create_index("ix_study_event_rater_id", "study_event", ["rater_id"])
    op.create_index("ix_study_event_presentation_id", "study_event", ["presentation_id"])
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(SQLITE.format(change=change))
    else:
        op.execute(POSTGRES)
