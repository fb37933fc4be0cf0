"""The raw data of a study as files: every event, every item, the ratings, and a codebook. Pseudonymous.

No code of a rater, no hash of one, and no password is in any of them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from annotations import log, schema
from annotations.about import ABOUT
from annotations.frame import COLUMNS, ratings
from annotations.records import COVERAGE, FIT, KINDS, PRESENCE, SCOPE, Study
from describe.catalog import Catalogue
from describe.catalog.rows import aware
from describe.errors import InputError
from describe.files import from_home, replacing, write_atomically
from describe.text import no_formula, visible

__all__ = ["backup", "events", "export"]

_EVENT_COLUMNS = {
    "uuid": "of the event; that of the submission where a page sent it",
    "created": "when it was entered, UTC, ISO 8601",
    "type": "what happened, see below",
    "rater": "the rater's pseudonym; empty for what the study's owner did",
    "item": "the item's number",
    "occasion": "1; 2 for a repeat",
    "position": "how many-th item of this rater",
    "active_ms": "milliseconds that the rater was active on the stage since it was shown, or answered before",
    "shown_hash": "SHA-256 of the JSON of what was shown: rows (stage A), content (stage B), or texts (consent)",
    "study_version": "1, and one more after every extension",
    "app_version": "of headscribe",
}
_PAYLOAD = {
    "presence": PRESENCE,
    "own_words": "free text",
    "fit": FIT,
    "coverage": COVERAGE,
    "scope": SCOPE,
    "comment": "free text",
    "stage": "of a refused submission: a, b",
    "reason": "why a submission was refused: already, handed on, too early, revoked",
    "number": "of a practice item or an item of the check, from 0",
    "attempt": "at the check: 1, 2",
    "right": "whether an item of the check was answered rightly",
    **{name: asked.answers for name, asked in ABOUT.items()},
    "raters_per_item": "wanted from here on",
    "items": "in the study",
    "settings_hash": "SHA-256 of the study's settings",
}


def events(catalogue: Catalogue, study: Study) -> Iterator[dict[str, Any]]:
    """Every event of a study in order, flat: the columns of the codebook, then the payload in ``payload``."""
    event, shown, item, rater = (
        schema.study_event,
        schema.study_presentation,
        schema.study_item,
        schema.study_rater,
    )
    query = (
        select(event, rater.c.pseudonym.label("rater"), item.c.number.label("item"), shown.c.occasion, shown.c.position)
        .join(rater, event.c.rater_id == rater.c.id, isouter=True)
        .join(shown, event.c.presentation_id == shown.c.id, isouter=True)
        .join(item, shown.c.item_id == item.c.id, isouter=True)
        .where(event.c.study_id == study.id)
        .order_by(event.c.id)
    )
    with catalogue.engine.connect() as connection:
        for row in connection.execute(query):
            created = aware(row.created).isoformat(timespec="milliseconds")
            own = {name: getattr(row, name) for name in _EVENT_COLUMNS} | {"created": created}
            inside = {name: value for name, value in row.payload.items() if name not in own}
            yield own | {"payload": inside}


def export(catalogue: Catalogue, study: Study, folder: Path) -> list[Path]:
    """Write ``events.csv``, ``events.jsonl``, ``items.jsonl``, ``ratings.csv``, ``study.json`` and ``codebook.md``.

    The folder is made if it is not there. Each file is complete or as it was. Raises `InputError` when it cannot.
    """
    if str(folder) == "-":
        raise InputError("six files cannot be written to standard output: name a directory with -o")
    folder = from_home(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the directory '{folder}': {error.strerror}") from error
    happened = list(events(catalogue, study))
    flat = [{**event, **event["payload"]} for event in happened]
    _csv(folder / "events.csv", [*_EVENT_COLUMNS, *_PAYLOAD], flat)
    _jsonl(folder / "events.jsonl", happened)
    _jsonl(folder / "items.jsonl", list(_items(catalogue, study)))
    _csv(folder / "ratings.csv", list(COLUMNS), ratings(catalogue, study).to_dict("records"))
    about = {name: value for name, value in asdict(study).items() if name != "id"}
    text = json.dumps(about, ensure_ascii=False, indent=2, default=lambda moment: moment.isoformat())
    write_atomically(folder / "study.json", text + "\n")
    write_atomically(folder / "codebook.md", codebook(study))
    names = ("events.csv", "events.jsonl", "items.jsonl", "ratings.csv", "study.json", "codebook.md")
    return [folder / name for name in names]


def backup(catalogue: Catalogue, path: Path) -> None:
    """Copy a SQLite catalogue, studies and all, while it is in use; the copy is complete or not there.

    Raises `InputError` for PostgreSQL, which has its own tools.
    """
    import sqlite3
    from contextlib import closing

    if catalogue.engine.dialect.name != "sqlite":
        raise InputError("this makes copies of SQLite catalogues only: copy a PostgreSQL catalogue with pg_dump")
    with replacing(path, database=True) as partial, closing(catalogue.engine.raw_connection()) as connection:
        source: Any = connection.driver_connection
        try:
            with closing(sqlite3.connect(partial)) as copy:
                source.backup(copy)
        except sqlite3.Error as error:
            raise InputError(f"cannot copy the catalogue to '{path}': {error}") from error


def codebook(study: Study) -> str:
    """Contents of the files, column by column (Markdown)."""

    def values(meaning: Any) -> str:
        return meaning if isinstance(meaning, str) else ", ".join(meaning)

    def listed(columns: dict[str, Any]) -> str:
        return "".join(f"- `{name}`: {values(meaning)}\n" for name, meaning in columns.items())

    return (
        f"# Codebook of the study {_plain(study.name)}\n\n"
        "Cells of the CSV files that a spreadsheet would run as a formula start with an apostrophe, and characters that"
        " cannot be seen are written as escapes (`\\n`); the JSONL files have all texts as they are.\n\n"
        "## events.csv, events.jsonl\n\nEvery event in the order in which it was entered. None was ever changed.\n"
        "In the JSONL file what belongs to a type of event is in `payload`, in the CSV file in columns of its own.\n\n"
        f"{listed(_EVENT_COLUMNS)}\nin `payload`:\n\n{listed(_PAYLOAD)}\ntypes:\n\n{listed(log.EVENTS)}\n"
        "## items.jsonl\n\nWhat was shown: `number`, `block`, `kind` "
        f"({', '.join(KINDS)}), `content` (rows, inputs, pattern, unclear), `content_hash`, and how it was made"
        " (`origin`); the rest as in ratings.csv.\n\n"
        f"## ratings.csv\n\nOne row per answered presentation.\n\n{listed(COLUMNS)}\n"
        "## study.json\n\nThe study with all its settings, texts and rules of exclusion.\n"
    )


def _items(catalogue: Catalogue, study: Study) -> Iterator[dict[str, Any]]:
    item = schema.study_item
    columns = [column for column in item.c if column.name not in ("id", "study_id")]
    with catalogue.engine.connect() as connection:
        for row in connection.execute(select(*columns).where(item.c.study_id == study.id).order_by(item.c.number)):
            yield dict(row._mapping)


def _csv(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _cell(value) for name, value in row.items()})


def _cell(value: Any) -> Any:
    """Text that is text to a spreadsheet too; nothing for what is missing, not a number included."""
    if isinstance(value, str):
        return no_formula(visible(value))
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return None if value != value else value


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=True) + "\n")


def _plain(text: str) -> str:
    return "".join(char if char.isalnum() or char in " -_." else "?" for char in text)
