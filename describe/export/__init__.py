"""Exporting the heads of models: one module a format, all fed with records of heads.

Files and folders are complete or not there: each is written beside its place and renamed.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from describe.files import is_stream, replacing, replacing_folder
from describe.records import ModelInfo
from describe.versions import headscribe_version

if TYPE_CHECKING:
    from describe.head_record import HeadRecord

__all__ = ["FORMATS", "Format", "Parts", "export"]

Parts = Iterator[tuple[ModelInfo, "Iterator[HeadRecord]"]]
"""Models, each with its heads: to be gone through once, in order."""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: as ``--format`` has it, and its module here, which has ``write_file(parts, path)``,
            ``write_folder(parts, folder, licence)``, or both.
        file, folder: what it can be written as; where both, a path that ends in ``.html`` is a file.
        held_out: it holds the rows that no describer sees; others need not read them.
    """

    name: str
    file: bool = True
    folder: bool = False
    held_out: bool = False

    @property
    def module(self) -> Any:
        """The function that writes it, loaded when it is first used."""
        return importlib.import_module(f"describe.export.{self.name}")

    def is_folder(self, path: Path) -> bool:
        """It is written to this path as a folder."""
        one_page = path.suffix.lower() in (".html", ".htm") or is_stream(path)
        return self.folder and not (self.file and one_page)


_ROWS = (
    Format("jsonl", held_out=True),
    Format("csv"),
    Format("parquet", held_out=True),
    Format("markdown"),
    Format("html", folder=True),
    Format("dataset", file=False, folder=True, held_out=True),
)

FORMATS: dict[str, Format] = {row.name: row for row in _ROWS}
"""By name. A new format is one row here, and the module of its name."""


def export(
    parts: Iterable[tuple[ModelInfo, Iterable[HeadRecord]]], form: str, path: Path, licence: str | None = None
) -> int:
    """Write the heads of models to ``path`` in a format. Returns how many; raises `InputError` when it cannot.

    ``-`` is standard output. ``licence``: under which a dataset may be used, as the Hub names licences.
    """
    count = 0

    def counted(heads: Iterable[HeadRecord]) -> Iterator[HeadRecord]:
        nonlocal count
        for head in heads:
            count += 1
            yield head

    counting = ((model, counted(heads)) for model, heads in parts)
    chosen = FORMATS[form]
    if chosen.is_folder(path):
        with replacing_folder(path, {"made_by": f"headscribe {headscribe_version()}", "format": form}) as partial:
            chosen.module.write_folder(counting, partial, licence)
    else:
        with replacing(path) as partial:
            chosen.module.write_file(counting, partial)
    return count
