"""Claims: what only one process at a time may do with a catalogue. A claim ends with its process, even by kill -9."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Engine, text

from describe.catalog.sqlite_file import path_of
from describe.errors import CatalogueError

__all__ = ["claimed"]


@contextmanager
def claimed(engine: Engine, what: str, taken: str) -> Iterator[None]:
    """Hold the claim to ``what``, a word fit for a file name, while the block runs.

    Raises `CatalogueError`, saying ``taken``, when another process holds it.
    """
    place = path_of(engine.url)
    if engine.dialect.name == "postgresql":
        with _claimed_in_postgresql(engine, what, taken):
            yield
    elif place is not None:
        with _claimed_by_file(Path(f"{os.path.realpath(place)}.{what}.lock"), taken):
            yield
    else:
        yield


@contextmanager
def _claimed_by_file(path: Path, taken: str) -> Iterator[None]:
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise CatalogueError(taken) from None
    except OSError as error:
        raise CatalogueError(f"cannot write '{path}': {error.strerror}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held, so that nobody holds a file that is gone
        lock.release()


@contextmanager
def _claimed_in_postgresql(engine: Engine, what: str, taken: str) -> Iterator[None]:
    key = int.from_bytes(hashlib.sha256(f"headscribe {what}".encode()).digest()[:8], "big", signed=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar():
            raise CatalogueError(taken)
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
