"""A table for spreadsheets."""

from __future__ import annotations

import csv
from pathlib import Path

from describe.export import Parts
from describe.export.table import COLUMNS, table_rows
from describe.text import no_formula

__all__ = ["write_file"]


def write_file(parts: Parts, path: Path) -> None:
    """A row per head and description; cells that a spreadsheet would run as a formula start with an apostrophe.

    All texts are in quotes: a bare carriage return would begin a row.
    """
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        for _, heads in parts:
            for head in heads:
                writer.writerows({name: no_formula(cell) for name, cell in row.items()} for row in table_rows(head))
