"""Where outputs go: files replaced whole, links followed, devices and pipes written into, catalogues refused."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.main import main
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.files import replacing, replacing_folder, write_atomically
from tests.unit.test_catalogue import filled
from tests.warm import Process

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A catalogue that is closed."""
    filled(tmp_path / "c.db")[0].close()
    return tmp_path / "c.db"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["c.db", "link", "twin", "c.db-wal", "c.db-shm", "c.db-journal", "backup"])
@pytest.mark.parametrize("is_open", [True, False])
def test_no_output_takes_the_place_of_a_catalogue(place: Path, name: str, is_open: bool) -> None:
    folder = place.parent
    (folder / "link").symlink_to(place)
    os.link(place, folder / "twin")
    (folder / "backup").write_bytes(place.read_bytes())
    before = place.read_bytes()
    if is_open and name != "backup":
        with Catalogue(str(place)), pytest.raises(InputError, match="belongs to a catalogue"):
            write_atomically(folder / name, "x")
    for arguments in (["export", "-f", "jsonl", "-o"], ["show", "m", "--json"]):
        there = names(folder)
        assert main([*arguments, str(folder / name), "--catalog", str(place)]) == 2
        assert (place.read_bytes(), names(folder)) == (before, there)


def test_a_backup_may_replace_a_backup_and_never_the_catalogue(place: Path) -> None:
    copy = place.parent / "copy.db"
    for _ in range(2):
        assert main(["study", "backup", "-o", str(copy), "--catalog", str(place)]) == 0
    with Catalogue(str(copy)) as catalogue:
        assert [model.name for model in catalogue.models()] == ["m"]
    inode = place.stat().st_ino
    assert main(["study", "backup", "-o", str(place), "--catalog", str(place)]) == 2
    assert place.stat().st_ino == inode


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    target, link, dangling = tmp_path / "folder" / "target", tmp_path / "link", tmp_path / "dangling"
    target.parent.mkdir()
    target.write_text("before")
    link.symlink_to(target)
    dangling.symlink_to(target.parent / "new")
    for written in (link, dangling):
        write_atomically(written, "after")
        assert written.is_symlink()
        assert written.read_text() == "after"
    assert names(target.parent) == {"target", "new"}


def test_devices_and_pipes_are_written_into(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()), daemon=True)
    reader.start()
    write_atomically(fifo, "through the pipe")
    reader.join(10)
    assert read == ["through the pipe"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    null = os.stat("/dev/null")
    write_atomically(Path("/dev/null"), "away")
    assert os.path.samestat(os.stat("/dev/null"), null)
    assert names(tmp_path) == {"fifo"}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_dash_is_standard_output(place: Path, form: str, start: Callable[..., Process]) -> None:
    written = place.parent / f"file.{form}"
    assert main(["export", "m", "-f", form, "-o", str(written), "--catalog", str(place)]) == 0
    there = names(place.parent)
    for name in ("-", "/dev/stdout"):
        words = ("export", "m", "-f", form, "-o", name, "--catalog", place)
        caught: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": False}
        said, told = start(*words, cwd=place.parent, **caught).communicate()
        assert said == written.read_bytes()
        assert b"heads written" in told
    assert names(place.parent) == there


def test_a_folder_cannot_go_to_standard_output(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "-f", "dataset", "-o", "-", "--catalog", str(place)]) == 2
    assert "a folder cannot be written to standard output" in capsys.readouterr().err


KILLED = """
import os, signal, sys
from pathlib import Path
from describe.files import replacing, replacing_folder
with replacing(Path(sys.argv[1])) as file, replacing_folder(Path(sys.argv[2]), {}) as folder:
    file.write_text("half"); (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    file, folder = tmp_path / "out.csv", tmp_path / "site"
    subprocess.run([sys.executable, "-c", KILLED, file, folder], cwd=ROOT, check=False)
    (tmp_path / ".out.csv.notes").write_text("somebody's")
    assert len(names(tmp_path)) == 3
    with replacing(file) as slow:
        slow.write_text("slow")
        write_atomically(file, "quick")
        with replacing_folder(folder, {}) as partial:
            (partial / "a").write_text("a")
        assert slow.read_text() == "slow"
    assert file.read_text() == "slow"
    assert names(tmp_path) == {"out.csv", "site", ".out.csv.notes"}


def test_no_room_is_one_line_and_leaves_what_was(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("before")
    program = """
import resource, signal, sys
from pathlib import Path
from describe.errors import InputError
from describe.files import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path(sys.argv[1]), "x" * 5000)
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program, file], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"cannot write '{file}': File too large\n"
    assert (file.read_text(), names(tmp_path)) == ("before", {"out.csv"})
