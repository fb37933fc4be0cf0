"""Questions to a catalogue in SQL, which change nothing: of its tables, and of views that join what belongs together.

The views are put before the question (``WITH heads AS ...``), so that a catalogue that may only be read has them too,
on every database alike. They hold the models' own heads, not placebos.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from describe.errors import InputError

__all__ = ["VIEWS", "Answered", "ask"]

_OF_HEAD = "FROM head h JOIN extraction e ON e.id = h.extraction_id JOIN model m ON m.id = e.model_id"
_OWN = "e.placebo IS NULL"

VIEWS = {
    "heads": (
        "a head of a model, in one extraction, with its headline",
        f"SELECT h.id AS head_id, m.name AS model, m.content_hash, e.id AS extraction, h.layer, h.head, h.saliency,"
        f" k.kind, k.headline {_OF_HEAD} LEFT JOIN head_card k ON k.head_id = h.id WHERE {_OWN}",
    ),
    "descriptions": (
        "what a describer said of a head, failures with their cause",
        "SELECT d.id AS description_id, h.id AS head_id, m.name AS model, h.layer, h.head, l.llm, l.prompt, d.role,"
        " d.inputs, d.pattern, d.unclear, d.failure, d.detail, d.reasoning, d.created"
        f" {_OF_HEAD} JOIN description d ON d.head_id = h.id JOIN labeller l ON l.id = d.labeller_id WHERE {_OWN}",
    ),
    "scores": (
        "how a description was scored, and the same of a wrong one",
        "SELECT s.id AS score_id, d.id AS description_id, m.name AS model, h.layer, h.head, l.llm, d.role,"
        " j.llm AS judge, s.measure, s.value, s.low, s.high, s.wrong, s.n, s.failure"
        f" {_OF_HEAD} JOIN description d ON d.head_id = h.id JOIN labeller l ON l.id = d.labeller_id"
        f" JOIN score s ON s.description_id = d.id JOIN labeller j ON j.id = s.judge_id WHERE {_OWN}",
    ),
    "calls": (
        "a call to an LLM about a head",
        "SELECT c.id AS call_id, m.name AS model, h.layer, h.head, c.llm, c.endpoint, c.outcome, c.detail, c.tokens_in,"
        f" c.tokens_out, c.money, c.seconds, c.created {_OF_HEAD} JOIN call c ON c.head_id = h.id WHERE {_OWN}",
    ),
}
"""The views: what a row is, and the question that makes them."""


@dataclass(frozen=True)
class Answered:
    """Rows that answer a question, with the names of their columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def ask(engine: Engine, question: str) -> Answered:
    """The answer to a question in SQL: one SELECT. Raises `InputError` for anything else, and for what is no SQL."""
    text = question.strip().rstrip(";").rstrip()
    kind = re.match(r"(select|with|values)\b", text, re.IGNORECASE)
    if kind is None:
        raise InputError("a question begins with SELECT, WITH or VALUES: nothing else is asked here")
    views = ", ".join(f"{name} AS ({made})" for name, (_, made) in VIEWS.items())
    recursive = re.match(r"with\s+recursive\b", text, re.IGNORECASE)
    own = re.sub(r"^with(\s+recursive)?\b", "", text, count=1, flags=re.IGNORECASE).lstrip()
    asked = f"WITH {'RECURSIVE ' if recursive else ''}{views}{', ' if own != text else ' '}{own}"
    try:
        with engine.connect() as connection:
            sqlite = connection.dialect.name == "sqlite"
            connection.exec_driver_sql("PRAGMA query_only = ON" if sqlite else "SET TRANSACTION READ ONLY")
            try:
                found = connection.exec_driver_sql(asked)
                return Answered(list(found.keys()), [tuple(row) for row in found])
            finally:
                connection.rollback()
                if sqlite:
                    connection.exec_driver_sql("PRAGMA query_only = OFF")
    except DBAPIError as error:
        raise InputError(f"the question cannot be answered: {' '.join(str(error.orig).split())[:300]}") from error
