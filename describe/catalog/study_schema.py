"""The tables of human studies. They stand in the catalogue's database and refer to none of its other tables: what was
shown is frozen with the item, whatever becomes of the heads and descriptions it was made from.

    study ─< study_item ─< study_place >─ study_rater
    study ─< study_rater ─< study_presentation >─ study_item
    study ── study_recruitment
    study ─< study_event

A place is a seat for one rater at one item: an item has as many as raters are wanted, so that it can never be answered
by more. A presentation is an item in a rater's sequence. Events are only ever added; triggers refuse anything else, as
long as the study itself is not discarded, which only one without answers is.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from describe.catalog.schema import metadata

__all__ = ["EVENTS_ARE_KEPT", "study", "study_event", "study_item", "study_place", "study_presentation"]
__all__ += ["study_rater", "study_recruitment"]

study = Table(
    "study",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("models", JSON, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("raters_per_item", Integer, nullable=False),
    Column("guideline", Text, nullable=False),
    Column("consent", Text, nullable=False),
    Column("exclusion", JSON, nullable=False, comment="the rules, fixed at creation"),
    Column("n_items", JSON, nullable=False, comment="by kind"),
    Column("settings", JSON, nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("version", Integer, nullable=False, comment="1, and one more with every extension"),
    Column("versions", JSON, nullable=False),
    Column("stopped", DateTime(timezone=True)),
    Column("archived", DateTime(timezone=True), comment="put away: among the studies no more unless asked for"),
    Column(
        "discarded", Boolean, nullable=False, server_default=false(), comment="within the transaction that deletes it"
    ),
    Column("created", DateTime(timezone=True), nullable=False),
)

study_item = Table(
    "study_item",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("study.id"), nullable=False),
    Column("number", Integer, nullable=False, comment="from 1, in random order"),
    Column("block", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("expected", String(16), comment="the right fit of a catch item"),
    Column("model", String(512), nullable=False),
    Column("head", String(32), nullable=False, comment="whose table is shown"),
    Column("layer", Integer, nullable=False),
    Column("source", String(1024), nullable=False, comment="who wrote the description"),
    Column("unclear", Boolean, nullable=False, comment="the description shown is an abstention"),
    Column("true_unclear", Boolean, nullable=False, comment="the describer abstained on the head whose table is shown"),
    Column("score", Float),
    Column("content", JSON, nullable=False, comment="rows, inputs, pattern, unclear: what is shown, frozen"),
    Column("content_hash", String(64), nullable=False),
    Column("touches", JSON, nullable=False, comment="heads that the table or the description is of"),
    Column("origin", JSON, nullable=False, comment="how it was made"),
    UniqueConstraint("study_id", "number"),
)

study_rater = Table(
    "study_rater",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("study.id"), nullable=False),
    Column("pseudonym", String(16), nullable=False),
    Column("code_hash", String(64), nullable=False, unique=True, comment="SHA-256 of a code of 100 random bits"),
    Column("consented", DateTime(timezone=True)),
    Column("practised", Integer, nullable=False, comment="practice items done"),
    Column("revoked", DateTime(timezone=True)),
    Column("external_id", String(64), comment="by which a platform knows the rater; in no export"),
    Column("recruited", Boolean, nullable=False, server_default=false(), comment="entered by the study's one link"),
    Column("about", JSON(none_as_null=True), comment="answers to the questions about the rater"),
    Column("screening", JSON(none_as_null=True), comment="the try, and which of its items were answered rightly"),
    Column("screened", DateTime(timezone=True), comment="passed the check before the items"),
    Column("screened_out", DateTime(timezone=True), comment="failed it twice"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("study_id", "pseudonym"),
    Index("ix_study_rater_external", "study_id", "external_id", unique=True),
)

study_recruitment = Table(
    "study_recruitment",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", ForeignKey("study.id"), nullable=False, unique=True),
    Column("code_hash", String(64), nullable=False, unique=True, comment="SHA-256 of the code in the link"),
    Column("cap", Integer, nullable=False, comment="raters at most"),
    Column("id_parameter", String(64), comment="of the address: the id by which a platform knows the rater"),
    Column("completion_code", String(128), comment="shown to raters at the end"),
    Column("return_url", String(1024), comment="where raters go then"),
    Column("closed", DateTime(timezone=True)),
    Column("created", DateTime(timezone=True), nullable=False),
)

study_place = Table(
    "study_place",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("item_id", ForeignKey("study_item.id"), nullable=False),
    Column("number", Integer, nullable=False, comment="from 1 to the raters wanted"),
    Column("rater_id", ForeignKey("study_rater.id"), comment="who holds it"),
    Column("leased_until", DateTime(timezone=True), comment="unanswered and later than this, it may be handed on"),
    Column("answered", DateTime(timezone=True)),
    UniqueConstraint("item_id", "number"),
    UniqueConstraint("item_id", "rater_id"),
)

_OPEN = text("answered IS NULL AND closed IS NULL")

study_presentation = Table(
    "study_presentation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rater_id", ForeignKey("study_rater.id"), nullable=False),
    Column("item_id", ForeignKey("study_item.id"), nullable=False, index=True),
    Column("occasion", Integer, nullable=False, comment="1, or 2 for a repeat"),
    Column("position", Integer, nullable=False, comment="in the rater's sequence, from 1"),
    Column("stage_a", JSON(none_as_null=True), comment="what was said of the table"),
    Column("stage_b", JSON(none_as_null=True), comment="what was said of the description, newest revision"),
    Column("answered", DateTime(timezone=True), comment="when both stages were answered first"),
    Column("reopened", DateTime(timezone=True), comment="undone, until it is answered again"),
    Column("closed", DateTime(timezone=True), comment="handed on to others before it was answered"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("rater_id", "item_id", "occasion"),
    UniqueConstraint("rater_id", "position"),
    Index("ix_study_presentation_open", "rater_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
)

study_event = Table(
    "study_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", String(36), nullable=False, unique=True, comment="of the submission: sent twice, it counts once"),
    Column("study_id", ForeignKey("study.id"), nullable=False, index=True),
    Column("rater_id", ForeignKey("study_rater.id"), index=True),
    Column("presentation_id", ForeignKey("study_presentation.id"), index=True),
    Column("type", String(16), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("active_ms", Integer, comment="the rater's active time since the stage was shown first, milliseconds"),
    Column("shown_hash", String(64), comment="SHA-256 of what was shown"),
    Column("study_version", Integer, nullable=False),
    Column("app_version", String(64), nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
)

EVENTS_ARE_KEPT = {
    "sqlite": (
        "CREATE TRIGGER study_event_UPDATE BEFORE UPDATE ON study_event"
        " BEGIN SELECT RAISE(ABORT, 'study events are only ever added'); END",
        "CREATE TRIGGER study_event_DELETE BEFORE DELETE ON study_event"
        " WHEN NOT EXISTS (SELECT 1 FROM study WHERE id = OLD.study_id AND discarded = 1)"
        " BEGIN SELECT RAISE(ABORT, 'study events are only ever added'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION study_event_keep() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN"
        " IF TG_OP = 'DELETE' AND EXISTS (SELECT 1 FROM study WHERE id = OLD.study_id AND discarded) THEN RETURN OLD;"
        " END IF;"
        " RAISE EXCEPTION 'study events are only ever added'; END $$",
        "CREATE TRIGGER study_event_keep BEFORE UPDATE OR DELETE ON study_event"
        " FOR EACH ROW EXECUTE FUNCTION study_event_keep()",
    ),
}
"""Triggers that refuse a change of an event, by dialect; none may be deleted but with a whole study."""
