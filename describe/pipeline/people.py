"""``headscribe import-descriptions``: what people wrote of heads, who are describers like any other."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from describe.catalog import Catalogue
from describe.catalog.database import begin_write
from describe.catalog.descriptions import insert_description
from describe.errors import InputError
from describe.files import from_home
from describe.head_record.form import finite_json
from describe.labelling import UNCLEAR
from describe.pipeline.common import find
from describe.records import Description, HeadId, ModelInfo, parse_heads
from describe.text import shortened, visible
from describe.versions import versions

__all__ = ["PERSON", "PROMPT", "PeopleImported", "import_descriptions"]

PERSON, PROMPT = "person:", "by hand"
"""The beginning of a person's name as a describer, and a name for the prompt that people were not given."""

COLUMNS = ("head", "inputs", "pattern", "author")

LARGEST, LONGEST = 1 << 26, 4000
"""Bytes of a file, and characters of a sentence, that are taken."""

NAME = 200
"""Characters of an author's name."""


@dataclass(frozen=True, slots=True)
class PeopleImported:
    """The result: descriptions by author, and how many of all of them were there already."""

    model: str
    authors: dict[str, int]
    known: int


@dataclass(frozen=True, slots=True)
class _Line:
    """A description of a file, with the place that it comes from."""

    where: str
    head: HeadId
    author: str
    said: Description


def import_descriptions(
    catalogue: Catalogue, path: Path, *, model: str | None = None, reading: str | None = None
) -> PeopleImported:
    """Enter the descriptions of a CSV or JSONL file with ``head``, ``inputs``, ``pattern`` and ``author``: all or none.

    ``model``: of this one; None: of the only one that the catalogue holds; ``reading``: as `find` takes it. Raises
    `InputError`, with the line, for what cannot be taken, and for a head of which its author said something else.
    """
    info, extraction_id = find(catalogue, model or _only_model(catalogue), reading)
    lines = [_line(where, row, info) for where, row in _rows(from_home(path))]
    if not lines:
        raise InputError(f"'{path}' has no description")
    there = {
        (record.id, one.llm): (one.inputs, one.pattern)
        for record in catalogue.head_records(info, extraction_id, held_out=False)
        for one in (None, *record.descriptions)
        if one is not None and one.prompt == PROMPT
    }
    extracted = catalogue.saved_heads(extraction_id)
    new: dict[tuple[HeadId, str], _Line] = {}
    for line in lines:
        key = line.head, line.author
        said = line.said.inputs, line.said.pattern
        if line.head not in extracted:
            raise InputError(f"{line.where}: head {line.head} is not in the catalogue; nothing was imported")
        earlier = there.get(key)
        if key in new or earlier not in (None, said):
            who = visible(line.author.removeprefix(PERSON))
            raise InputError(f"{line.where}: {who} describes head {line.head} twice; nothing was imported")
        new[key] = line
    entered = {key: line for key, line in new.items() if key not in there}
    authors = {author: catalogue.register_labeller(author, PROMPT, "", {"by": "a person"}) for _, author in entered}
    with begin_write(catalogue.engine) as connection:
        for (head, author), line in entered.items():
            insert_description(connection, extraction_id, head, authors[author], line.said, versions())
    counts = {author: sum(key[1] == author for key in entered) for author in sorted({line.author for line in lines})}
    return PeopleImported(info.name, counts, len(new) - len(entered))


def _only_model(catalogue: Catalogue) -> str:
    names = [info.name for info in catalogue.models()]
    if len(names) != 1:
        raise InputError(f"say of which model with --model: the catalogue holds {', '.join(names) or 'none'}")
    return names[0]


def _rows(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """The rows of a file, each with its place."""
    if not path.is_file():
        raise InputError(f"there is no file '{path}'")
    if path.stat().st_size > LARGEST:
        raise InputError(f"'{path}' is larger than {LARGEST >> 20} MiB: these are no descriptions")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"cannot read '{path}': it is no text in UTF-8") from error
    if text.lstrip().startswith("{"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                where = f"line {number} of '{path}'"
                try:
                    found = finite_json(line)
                except ValueError as error:
                    raise InputError(f"{where} is no JSON: {error}; nothing was imported") from error
                if not isinstance(found, dict):
                    raise InputError(f"{where} is no JSON object; nothing was imported")
                yield where, found
        return
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"'{path}' has no column {missing[0]}: a file has {', '.join(COLUMNS)}")
    try:
        for row in reader:
            yield f"line {reader.line_num} of '{path}'", dict(row)
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} of '{path}': {error}; nothing was imported") from error


def _line(where: str, row: dict[str, object], info: ModelInfo) -> _Line:
    """A row as a description. Raises `InputError` with what is wrong."""
    texts: dict[str, str] = {}
    for name in COLUMNS:
        value = row.get(name)
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{where}: {name} is missing; nothing was imported")
        most = NAME if name == "author" else LONGEST
        if len(value) > most:
            raise InputError(f"{where}: {name} has {len(value)} characters, {most} is the most; nothing was imported")
        texts[name] = value.strip()
    try:
        head = HeadId.parse(texts["head"])
        parse_heads(texts["head"], info.n_layers, info.n_heads)
    except InputError as error:
        raise InputError(f"{where}: {shortened(str(error), 200)}; nothing was imported") from error
    unclear = texts["pattern"].lower() == UNCLEAR.lower()
    said = Description(inputs=texts["inputs"], pattern=UNCLEAR if unclear else texts["pattern"], unclear=unclear)
    return _Line(where, head, PERSON + texts["author"], said)
