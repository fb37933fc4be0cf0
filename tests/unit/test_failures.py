"""What keeps a catalogue from being read or written is one line, and leaves it as it was."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.test_catalogue import filled

ROOT = Path(__file__).parents[2]


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
def test_a_damaged_catalogue_is_one_line(place: Path, damage: object, command: str) -> None:
    damage(place)  # type: ignore[operator]
    words = {"show": ["show", "m", "0.0"], "export": ["export", "m", "-f", "jsonl", "-o", str(place.parent / "out")]}
    code, said = run(*words[command], "--catalog", str(place))
    assert code == 2, said
    assert said.count("\n") == 1
    assert "damaged" in said or "cannot open" in said
    assert not (place.parent / "out").exists()


def run(*arguments: str) -> tuple[int, str]:
    program = "import sys; from app.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stderr


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


def test_a_full_disk_may_pass_and_leaves_half_of_nothing(place: Path) -> None:
    """Files may not grow: to SQLite that is a disk without room."""
    done = subprocess.run([sys.executable, "-c", FULL, place], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("True "), done.stderr
    assert "full" in done.stdout
    with closing(sqlite3.connect(place)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM catalogue_info WHERE key = 'big'").fetchone() == (0,)
