"""``headscribe import``: heads from another catalogue's export, all or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from describe.catalog import Catalogue
from describe.catalog.importing import Imported, take_in
from describe.catalog.sqlite_file import CatalogueMadeError
from describe.errors import InputError
from describe.export.parquet import read_heads
from describe.files import from_home
from describe.head_record.form import finite_json
from describe.operations import load_operations

__all__ = ["import_heads"]

LONGEST = 1 << 28
"""Bytes of the longest line that is read: some ten thousand times those of a common head."""


def import_heads(catalogue: Catalogue, path: Path) -> Imported:
    """Enter the heads of a ``jsonl`` or ``parquet`` export, or of a dataset folder, in one transaction.

    Raises `InputError`, with the line or row, for anything that headscribe does not export, and for heads that the
    catalogue holds with other content; then nothing was changed.
    """
    path = from_home(path)
    if not path.exists():
        raise InputError(f"there is no file '{path}'")
    if not (path.is_file() or path.is_dir()):
        raise InputError(f"'{path}' is no regular file")
    pairs = {o.content_hash: [list(pair) for pair in o.pairs] for o in load_operations()[0]}
    try:
        try:
            return take_in(catalogue.engine, _heads(path), pairs)
        except CatalogueMadeError:
            return take_in(catalogue.engine, _heads(path), pairs)
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from error


def _heads(path: Path) -> Iterator[tuple[str, Any]]:
    """Each head with the place it comes from."""
    if path.is_dir():
        from describe.export.dataset import heads_of

        for file in heads_of(path):
            yield from _rows(file)
    elif path.open("rb").read(4) == b"PAR1":
        yield from _rows(path)
    else:
        yield from _lines(path)


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    number = 0
    rows = read_heads(path)
    while True:
        number += 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except ValueError as error:
            raise InputError(f"row {number} of '{path}': {error}; nothing was imported") from error
        yield f"row {number} of '{path}'", row


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST + 1):
            number += 1
            where = f"line {number} of '{path}'"
            if len(line) > LONGEST:
                raise InputError(f"{where} is longer than {LONGEST >> 20} MiB; nothing was imported")
            if not line.strip():
                continue
            try:
                record = finite_json(line.removeprefix(b"\xef\xbb\xbf").decode("utf-8"))
            except ValueError as error:
                raise InputError(
                    f"{where} is not JSON as headscribe exports it: {error}; nothing was imported"
                ) from error
            yield where, record
