"""Reading operations: lists of (source, target) words, ours or a user's.

A file is ``NAME.json`` or ``NAME/NAME.json``: a list of [source, target], or an object with ``pairs`` and, beside it,
``category``, ``direction``, ``sources`` and ``checked``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from describe.errors import InputError

__all__ = ["ALL", "CATEGORIES", "Operation", "Problem", "load_operations"]

ALL = Path("all")
"""In place of a directory: the 20 operations of headscribe, and those beside them (`describe/operations/more`)."""

CATEGORIES = ("algorithmic", "knowledge", "linguistic", "translation")


@dataclass(frozen=True)
class Operation:
    """A predefined operation: the words it maps from and to, without leading spaces."""

    name: str
    category: str
    direction: str
    pairs: tuple[tuple[str, str], ...]

    @property
    def copying(self) -> bool:
        """Operations that copy are scored with a smaller k."""
        return "copying" in self.name

    @property
    def content_hash(self) -> str:
        """SHA-256 of the name and the pairs."""
        content = json.dumps([self.name, self.pairs], ensure_ascii=False)
        return hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()


@dataclass(frozen=True)
class Problem:
    """A file, or an operation for this model, that cannot be used; the others can. Shown as one line."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def load_operations(directory: Path | None = None) -> tuple[list[Operation], list[Problem]]:
    """The operations of a directory, by default ours, in order of name; and what could not be read, with the reason.

    ``directory``: or `ALL`, where no directory is called so.

    Raises `InputError` when the directory is not there or holds no operation at all.
    """
    ours = Path(str(resources.files("describe.operations")))
    if directory == ALL and not directory.exists():
        both = [load_operations(ours / name) for name in ("data", "more")]
        return sorted((o for found, _ in both for o in found), key=lambda o: o.name), []
    if directory is None:
        directory = ours / "data"
    if not directory.is_dir():
        raise InputError(f"there is no directory of operations '{directory}'")
    files = [*directory.glob("*.json"), *(f for f in directory.glob("*/*.json") if f.stem == f.parent.name)]
    operations: dict[str, Operation] = {}
    problems: list[Problem] = []
    for path in sorted(files, key=lambda file: (file.stem, len(file.parts))):
        where = str(path.relative_to(directory))
        if path.stem in operations:
            problems.append(
                Problem(where, f"'{path.stem}' is there already, as {path.name} above it; this file is left out")
            )
            continue
        try:
            operations[path.stem] = _read(path)
        except (ValueError, OSError) as error:
            problems.append(Problem(where, str(error)))
    if not operations:
        first = f" ({problems[0]})" if problems else ""
        raise InputError(
            f"'{directory}' holds no operation that can be used{first}: NAME.json with [source, target] pairs"
        )
    return list(operations.values()), problems


def _read(path: Path) -> Operation:
    """One file. Raises ValueError that names the entry and what is wrong with it."""
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    about: dict[str, Any] = content if isinstance(content, dict) else {}
    entries = about.get("pairs") if about else content
    if not isinstance(entries, list):
        raise ValueError("it is neither a list of [source, target] nor an object with such a list as 'pairs'")
    if about.get("name", path.stem) != path.stem:
        raise ValueError(f"it calls itself '{about['name']}', not '{path.stem}' as the file is called")
    pairs = tuple(_pair(number, entry) for number, entry in enumerate(entries, 1))
    return Operation(path.stem, str(about.get("category", "other")), str(about.get("direction", "")), pairs)


def _pair(number: int, entry: Any) -> tuple[str, str]:
    if not (
        isinstance(entry, list) and len(entry) == 2 and all(isinstance(word, str) and word.strip() for word in entry)
    ):
        raise ValueError(f"entry {number}, {json.dumps(entry, ensure_ascii=False)[:80]}, is not two strings")
    return entry[0].strip(), entry[1].strip()
