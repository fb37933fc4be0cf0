"""Full-text search over the tokens of heads and over descriptions."""

import sqlalchemy as sa
from alembic import op

from describe.catalog.passages import fill

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Terms have no spaces, and any other character is part of one.
SQLITE = (
    "CREATE VIRTUAL TABLE passage_words USING fts5(terms, content='passage', content_rowid='id', detail=none,"
    " columnsize=0, prefix='3', tokenize=\"unicode61 remove_diacritics 0 categories 'L* M* N* P* S* C*'\")",
    "CREATE TRIGGER passage_added AFTER INSERT ON passage BEGIN"
    " INSERT INTO passage_words(rowid, terms) VALUES (new.id, new.terms); END",
    "CREATE TRIGGER passage_removed AFTER DELETE ON passage BEGIN"
    " INSERT INTO passage_words(passage_words, rowid, terms) VALUES ('delete', old.id, old.terms); END",
    "CREATE TRIGGER passage_changed AFTER UPDATE ON passage BEGIN"
    " INSERT INTO passage_words(passage_words, rowid, terms) VALUES ('delete', old.id, old.terms);"
    " INSERT INTO passage_words(rowid, terms) VALUES (new.id, new.terms); END",
)
POSTGRESQL = (
    "ALTER TABLE passage ADD COLUMN words tsvector"
    " GENERATED ALWAYS AS (array_to_tsvector(string_to_array(terms, ' '))) STORED",
    "CREATE INDEX ix_passage_words ON passage USING gin (words)",
)


def upgrade() -> None:
    op.create_table(
        "passage",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("extraction_id", sa.Integer, nullable=False),
        sa.Column("head_id", sa.Integer, nullable=False),
        sa.Column("description_id", sa.Integer),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_passage"),
        sa.ForeignKeyConstraint(["extraction_id"], ["extraction.id"], name="fk_passage_extraction_id_extraction"),
        sa.ForeignKeyConstraint(["head_id"], ["head.id"], name="fk_passage_head_id_head"),
        sa.ForeignKeyConstraint(
            ["description_id"], ["description.id"], name="fk_passage_description_id_description", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("description_id", name="uq_passage_description_id"),
    )
    op.create_index("ix_passage_head_id", "passage", ["head_id"])
    for statement in {"sqlite": SQLITE, "postgresql": POSTGRESQL}[op.get_bind().dialect.name]:
        op.execute(statement)
    fill(op.get_bind())
