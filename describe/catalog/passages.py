"""The index of full-text search: what is looked for (a passage: a head's tokens, or a description) and how.

SQLite keeps the index in an FTS5 table, PostgreSQL in a ``tsvector`` column with a GIN index; triggers and a generated
column fill them from ``passage.terms``, so that a passage is found as soon as its head or description is committed.
Both get terms that are made here (`describe.terms`), and so find the same.

    head ─< passage ── description
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    FromClause,
    Integer,
    Row,
    Subquery,
    Table,
    TableValuedAlias,
    Text,
    cast,
    column,
    exists,
    false,
    func,
    insert,
    literal,
    literal_column,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from describe.catalog import schema
from describe.terms import Term, head_terms, prose_terms

__all__ = [
    "INDEX",
    "add_description",
    "add_head",
    "counted",
    "fill",
    "matching",
    "matching_any",
    "passage",
    "replace_cards",
]

passage = Table(
    "passage",
    schema.metadata,
    Column("id", Integer, primary_key=True),
    Column("extraction_id", ForeignKey("extraction.id"), nullable=False),
    Column("head_id", ForeignKey("head.id"), nullable=False, index=True),
    Column(
        "description_id",
        ForeignKey("description.id", ondelete="CASCADE"),
        unique=True,
        comment="what is described; null: the head's tokens, or its card",
    ),
    Column("of_card", Boolean, nullable=False, server_default=false(), comment="the words of the head's card"),
    Column("size", Integer, nullable=False, comment="the number of terms"),
    Column("terms", Text, nullable=False, comment="the different terms, with spaces between: `describe.terms`"),
)

INDEX = {
    "sqlite": (  # terms have no spaces, and any other character is part of one
        "CREATE VIRTUAL TABLE passage_words USING fts5(terms, content='passage', content_rowid='id', detail=none,"
        " columnsize=0, prefix='3', tokenize=\"unicode61 remove_diacritics 0 categories 'L* M* N* P* S* C*'\")",
        "CREATE TRIGGER passage_added AFTER INSERT ON passage BEGIN"
        " INSERT INTO passage_words(rowid, terms) VALUES (new.id, new.terms); END",
        "CREATE TRIGGER passage_removed AFTER DELETE ON passage BEGIN"
        " INSERT INTO passage_words(passage_words, rowid, terms) VALUES ('delete', old.id, old.terms); END",
        "CREATE TRIGGER passage_changed AFTER UPDATE ON passage BEGIN"
        " INSERT INTO passage_words(passage_words, rowid, terms) VALUES ('delete', old.id, old.terms);"
        " INSERT INTO passage_words(rowid, terms) VALUES (new.id, new.terms); END",
    ),
    "postgresql": (
        "ALTER TABLE passage ADD COLUMN words tsvector"
        " GENERATED ALWAYS AS (array_to_tsvector(string_to_array(terms, ' '))) STORED",
        "CREATE INDEX ix_passage_words ON passage USING gin (words)",
    ),
}
"""The index itself and what fills it, by dialect."""

_AT_ONCE = 500
_INSERT = insert(passage)


def add_head(connection: Connection, extraction_id: int, head_id: int, rows: Sequence[Any]) -> None:
    """Enter a new head's tokens, from rows as the columns ``salient`` and ``distinct_rows`` have them."""
    connection.execute(_INSERT, _passage(extraction_id, head_id, None, head_terms(rows)))


def add_description(
    connection: Connection, extraction_id: int, head_id: int, description_id: int, *texts: str | None
) -> None:
    """Enter the words of a new description; an abstention has none to be found by."""
    connection.execute(_INSERT, _passage(extraction_id, head_id, description_id, prose_terms(*texts)))


def replace_cards(connection: Connection, extraction_id: int, terms: Mapping[int, Sequence[str]]) -> None:
    """Enter the words of the cards of heads, by the heads' ids, in place of earlier ones."""
    connection.execute(passage.delete().where(passage.c.head_id.in_(list(terms)), passage.c.of_card))
    rows = [
        _passage(extraction_id, head_id, None, list(words)) | {"of_card": True}
        for head_id, words in terms.items()
        if words
    ]
    if rows:
        connection.execute(insert(passage), rows)


def fill(connection: Connection, rows: Sequence[str] = ("salient",)) -> None:
    """Enter the heads and descriptions that are not in the index: those of an older catalogue, or from a file.

    ``rows``: columns of a head that hold its rows.
    """
    head, told = schema.head, schema.description
    # Not "IS NULL", for which SQLite takes the index of description_id and goes through all heads for each.
    of_tokens = func.coalesce(passage.c.description_id, 0) == 0
    heads = select(head.c.id, head.c.extraction_id, *(head.c[name] for name in rows)).where(
        ~exists().where(passage.c.head_id == head.c.id, of_tokens)
    )
    descriptions = (
        select(told.c.id, head.c.extraction_id, told.c.head_id, told.c.inputs, told.c.pattern)
        .join(head, told.c.head_id == head.c.id)
        .where(told.c.failure.is_(None), ~told.c.unclear)
        .where(~exists().where(passage.c.description_id == told.c.id))
    )

    def tokens_of(row: Row[Any]) -> dict[str, Any]:
        kept = [one for name in rows for one in row._mapping[name] or ()]
        return _passage(row.extraction_id, row.id, None, head_terms(kept))

    _fill(connection, heads, head.c.id, tokens_of)
    _fill(
        connection,
        descriptions,
        told.c.id,
        lambda r: _passage(r.extraction_id, r.head_id, r.id, prose_terms(r.inputs, r.pattern)),
    )


def matching(connection: Connection, term: Term) -> Subquery:
    """The ``id`` of each passage that has a term. Nothing in the term is taken for syntax."""
    index = _INDEXED[connection.dialect.name]
    return select(index.id.label("id")).where(index.meets(literal(index.written(term)))).subquery()


def matching_any(connection: Connection, terms: Sequence[Term]) -> Subquery:
    """The ``id`` of each passage that has one of some terms, as often as it has one."""
    index = _INDEXED[connection.dialect.name]
    asked = index.listed([index.written(term) for term in terms])
    return select(index.id.label("id")).select_from(asked).join(index.table, index.meets(asked.c.value)).subquery()


def counted(
    connection: Connection, terms: Sequence[Term], most: int, wanted: ColumnElement[bool] | None = None
) -> list[int]:
    """How many passages have each of some terms, counted up to ``most``; ``wanted``: of these passages alone.

    One statement: hundreds of them, or one of hundreds of parts, take longer to write than to answer.
    """
    index = _INDEXED[connection.dialect.name]
    written = [index.written(term) for term in terms]
    asked = index.listed(written)
    having = select(index.id.label("id")).where(index.meets(asked.c.value)).correlate(asked)
    if wanted is not None:
        there = having.subquery()
        having = select(passage.c.id).join(there, passage.c.id == there.c.id).where(wanted).correlate(asked)
    number = select(func.count()).select_from(having.limit(most).subquery()).correlate(asked).scalar_subquery()
    found: dict[str, int] = {row[0]: row[1] for row in connection.execute(select(asked.c.value, number))}
    return [found[one] for one in written]


class _Index(NamedTuple):
    """How a database's index is asked.

    Attributes:
        table: whose rows are found, by their ``id``.
        meets: that a row meets a query; ``written``: the query that a term is.
        listed: queries as rows, each a ``value``.
    """

    table: FromClause
    id: ColumnElement[int]
    meets: Callable[[ColumnElement[str]], ColumnElement[bool]]
    written: Callable[[Term], str]
    listed: Callable[[list[str]], TableValuedAlias]


_WORDS = table("passage_words", column("rowid", Integer))
_INDEXED = {
    "sqlite": _Index(
        _WORDS,
        _WORDS.c.rowid,
        lambda query: literal_column("passage_words").op("MATCH", is_comparison=True)(query),
        lambda term: '"{}"{}'.format(term.text.replace('"', '""'), "*" if term.prefix else ""),
        lambda queries: func.json_each(literal(queries, JSON)).table_valued(column("value", Text)),
    ),
    "postgresql": _Index(
        passage,
        passage.c.id,
        lambda query: literal_column("passage.words").op("@@", is_comparison=True)(cast(query, TSQUERY)),
        lambda term: "'{}'{}".format(term.text.replace("\\", "\\\\").replace("'", "''"), ":*" if term.prefix else ""),
        lambda queries: func.json_array_elements_text(literal(queries, JSON)).table_valued(column("value", Text)),
    ),
}


def _passage(extraction_id: int, head_id: int, description_id: int | None, terms: list[str]) -> dict[str, Any]:
    return {
        "extraction_id": extraction_id,
        "head_id": head_id,
        "description_id": description_id,
        "size": len(terms),
        "terms": " ".join(terms),
    }


def _fill(connection: Connection, query: Any, key: Any, made: Callable[[Any], dict[str, Any]]) -> None:
    last = 0
    while rows := connection.execute(query.where(key > last).order_by(key).limit(_AT_ONCE)).all():
        connection.execute(_INSERT, [made(row) for row in rows])
        last = rows[-1].id
