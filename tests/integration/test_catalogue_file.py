"""The file of a catalogue under several processes: opened twice, killed, replaced, upgraded by all at once."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from describe.catalog import Catalogue
from describe.catalog.database import begin_write
from describe.errors import CatalogueError, InputError
from tests.unit.test_catalogue import INFO, written_by_the_first_version
from tests.warm import Process

ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from sqlalchemy import text
from describe.catalog import Catalogue
from describe.catalog.database import begin_write
first, second = Catalogue(sys.argv[1], create=True), Catalogue(sys.argv[1], create=True)
second.models(); second.close()
for number in range(10**6):
    with begin_write(first.engine) as connection:
        enter = text("INSERT INTO catalogue_info (key, value) VALUES (:key, '')")
        connection.execute(enter, {"key": f"saved {number}"})
    print(f"saved {number}", flush=True)
    sys.stdin.readline()
"""

UPGRADER = """
import sys
from describe.catalog import Catalogue
sys.stdin.readline()
with Catalogue(sys.argv[1]) as catalogue:
    print(len(catalogue.saved_heads(catalogue.latest_extraction(1))))
"""


@pytest.fixture
def python(start: Callable[..., Process]) -> Callable[..., Process]:
    """Start a Python program with arguments."""
    return partial(start, "-c", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def keys(place: Path) -> list[str]:
    """What a process that opens the file anew finds, the file being whole."""
    program = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
assert c.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
print(*(key for (key,) in c.execute("SELECT key FROM catalogue_info")), sep="\\n")
c.close()
"""
    done = subprocess.run([sys.executable, "-c", program, place], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_what_was_committed_outlives_a_second_opening_other_processes_and_kill_9(
    tmp_path: Path, python: Callable[..., Process]
) -> None:
    place = tmp_path / "c.db"
    said = []
    with python(WRITER, place) as writer:
        assert writer.stdin
        assert writer.stdout
        for _ in range(3):
            for _ in range(5):
                said.append(writer.stdout.readline().strip())
                writer.stdin.write("go on\n")
                writer.stdin.flush()
            assert set(said) <= set(keys(place)), "another process opens the file and closes it as the last one would"
        said.append(writer.stdout.readline().strip())
        writer.send_signal(signal.SIGKILL)
    assert said[-1] == "saved 15"
    assert set(said) <= set(keys(place))


def test_one_engine_per_file_whatever_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, link, twin = (tmp_path / name for name in ("c.db", "link.db", "twin.db"))
    with Catalogue(str(place), create=True) as first, Catalogue(str(place)) as early:
        assert early.engine is first.engine, "also while there is no file"
        first.register_model(INFO)
        link.symlink_to(place)
        os.link(place, twin)
        monkeypatch.chdir(tmp_path)
        names = (str(link), str(twin), "c.db", f"sqlite:///{place}", "sqlite:///c.db")
        for name in names:
            with Catalogue(name) as again:
                assert again.engine is first.engine, name
        again.close()
        assert first.models() == [INFO], "who closes leaves the file to the others"
        first.register_model(INFO)
        descriptors = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if n.isdigit() and _is(n)]
        assert descriptors.count(str(place)) == 1
    with Catalogue("sqlite://", create=True) as one, Catalogue("sqlite://", create=True) as other:
        assert one.engine is not other.engine, "each database in memory is its own"


def _is(descriptor: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{descriptor}")


def test_a_forked_process_does_not_use_what_its_parent_has_open(tmp_path: Path, python: Callable[..., Process]) -> None:
    program = """
import os, sys
from describe.catalog import Catalogue
from describe.errors import CatalogueError
catalogue = Catalogue(sys.argv[1])
if os.fork() == 0:
    for use in (lambda: catalogue.models(), lambda: Catalogue(sys.argv[1])):
        try:
            use()
        except CatalogueError:
            continue
        os._exit(1)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    place = tmp_path / "c.db"
    with Catalogue(str(place), create=True) as catalogue:
        catalogue.register_model(INFO)
    with python(program, place) as process:
        _, errors = process.communicate()
    assert process.returncode == 0, errors


def _moved(copy: Path, place: Path) -> None:
    copy.replace(place)


def _copied(copy: Path, place: Path) -> None:
    shutil.copyfile(copy, place)


def _removed(copy: Path, place: Path) -> None:
    place.unlink()


@pytest.mark.parametrize(("put", "told"), [(_moved, "another file"), (_copied, "written over"), (_removed, "is gone")])
def test_nothing_is_written_to_a_catalogue_that_was_replaced(
    tmp_path: Path, put: Callable[[Path, Path], None], told: str
) -> None:
    place, copy = tmp_path / "c.db", tmp_path / "copy.db"
    with Catalogue(str(place), create=True) as catalogue:
        model = catalogue.register_model(INFO)
        with closing(sqlite3.connect(place)) as source:
            source.execute("VACUUM INTO ?", (str(copy),))
        catalogue.begin_extraction(model, {"a": 1}, {})
        put(copy, place)
        for _ in range(2):
            with pytest.raises(CatalogueError, match=told) as raised:
                catalogue.begin_extraction(model, {"a": 2}, {})
            assert "\n" not in str(raised.value)


def test_what_another_process_commits_is_no_replacement(tmp_path: Path) -> None:
    """Its emptying of the log into the file changes that past our last write, as a copy would."""
    place = tmp_path / "c.db"
    with Catalogue(str(place), create=True) as catalogue:
        catalogue.register_model(INFO)
        for number in range(3):
            with closing(sqlite3.connect(place)) as other, other:
                other.execute("INSERT INTO catalogue_info (key, value) VALUES (?, ?)", (str(number), "x" * 200_000))
                other.commit()
                assert other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0
            with begin_write(catalogue.engine) as connection:
                connection.execute(text("DELETE FROM catalogue_info WHERE key = :key"), {"key": str(number)})


def test_who_is_refused_deletes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "c.db"
    with suppress(InputError), Catalogue(str(place), create=True) as refused:
        with Catalogue(str(place), create=True) as filling:
            filling.register_model(INFO)
        assert refused.models() == [INFO], "it goes on with the catalogue that was made meanwhile"
        raise InputError("no such model")
    with Catalogue(str(place)) as catalogue:
        assert catalogue.models() == [INFO]
    assert {path.name for path in tmp_path.iterdir()} == {"c.db"}


def test_six_processes_upgrade_an_older_catalogue_once(tmp_path: Path, python: Callable[..., Process]) -> None:
    place = tmp_path / "old.db"
    written_by_the_first_version(place)
    (tmp_path / "old.db.schema-0001.20260101T000000Z.backup.partial").write_bytes(b"left by one that was killed")
    processes = [python(UPGRADER, place) for _ in range(6)]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [process.communicate() for process in processes]
    assert [output for output, _ in found] == ["4\n"] * 6, found
    assert len(list(tmp_path.glob("old.db.schema-0001.*.backup"))) == 1
    assert list(tmp_path.glob("*.partial*")) == []
    assert keys(place)
