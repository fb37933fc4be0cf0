"""Causes that keep a database from answering, in words, and whether it may pass: nothing of it holds a password."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, OperationalError

__all__ = ["may_pass", "reason"]

_SQLITE = {
    "is locked": ("is locked by another process", True),
    "disk is full": ("cannot grow: the disk is full", True),
    "disk I/O error": ("cannot be read or written: the disk reports an error, or is full", True),
    "malformed": ("is damaged: put a backup in its place (see docs/security.md)", False),
    "is not a database": ("is damaged, or no SQLite file: put a backup in its place", False),
    "Could not decode": ("is damaged: put a backup in its place (see docs/security.md)", False),
    "readonly database": ("cannot be written to: its file or folder is read-only", False),
    "unable to open database file": (
        "cannot be opened: its file or folder may not be read, or too many are open",
        False,
    ),
}
"""By a part of what SQLite says: what to say of the catalogue, and whether waiting helps."""


def reason(error: DBAPIError) -> str:
    """The fault of the catalogue, to follow these words."""
    said = " ".join(str(error.orig).split())
    for part, (words, _) in _SQLITE.items():
        if part in said and _of_sqlite(error):
            return words
    if may_pass(error):
        return f"does not answer: the connection to the database is gone ({said[:200]})"
    return f"cannot be used: the database says: {said[:300]}"


def may_pass(error: DBAPIError) -> bool:
    """Whether the same may be done again later, when a lock is let go, room is made or a server is back."""
    if _of_sqlite(error):
        return any(passes for part, (_, passes) in _SQLITE.items() if part in str(error.orig))
    return error.connection_invalidated or isinstance(error, OperationalError)


def _of_sqlite(error: DBAPIError) -> bool:
    return not type(error.orig).__module__.startswith("psycopg")
