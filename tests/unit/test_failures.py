"""What keeps a catalogue from being read or written is one line, and leaves it as it was."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.test_catalogue import filled
from tests.warm import Process


@pytest.fixture
def place(tmp_path: Path) -> Path:
    filled(tmp_path / "c.db")[0].close()
    return tmp_path / "c.db"


def cut(place: Path) -> None:
    os.truncate(place, place.stat().st_size // 8192 * 4096)


def overwritten(place: Path) -> None:
    content = place.read_bytes()
    place.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))


def no_json(place: Path) -> None:
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("UPDATE head SET salient = substr(salient, 1, 9)")


@pytest.mark.parametrize("damage", [cut, overwritten, no_json])
@pytest.mark.parametrize("command", ["show", "export"])
def test_a_damaged_catalogue_is_one_line(
    place: Path, damage: object, command: str, headscribe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    damage(place)  # type: ignore[operator]
    words = {"show": ["show", "m", "0.0"], "export": ["export", "m", "-f", "jsonl", "-o", str(place.parent / "out")]}
    done = headscribe(*words[command], "--catalog", place)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "damaged" in done.stderr or "cannot open" in done.stderr
    assert not (place.parent / "out").exists()


FULL = """
import resource, signal, sys
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from describe.catalog import Catalogue
from describe.catalog.database import begin_write
from describe.catalog.failures import may_pass, reason
with Catalogue(sys.argv[1]) as catalogue:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    try:
        with begin_write(catalogue.engine) as connection:
            connection.execute(text("INSERT INTO catalogue_info (key, value) VALUES ('big', :v)"), {"v": "x" * 10**6})
    except DBAPIError as error:
        print(may_pass(error), reason(error))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def test_a_full_disk_may_pass_and_leaves_half_of_nothing(place: Path, start: Callable[..., Process]) -> None:
    """Files may not grow: to SQLite that is a disk without room."""
    said, complaint = start("-c", FULL, place, stdout=subprocess.PIPE, stderr=subprocess.PIPE).communicate()
    assert said.startswith("True "), complaint
    assert "full" in said
    with closing(sqlite3.connect(place)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM catalogue_info WHERE key = 'big'").fetchone() == (0,)
