"""Files of what can be computed again: whole or not there, and nothing fails where they cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors import torch as tensors

from describe.cached import cache_folder, cached_file, keep_file, load_file


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_name_of_a_file_is_what_it_depends_on() -> None:
    one, same, other = (cached_file("some", told, ".json") for told in (["a", 1], ["a", 1], ["a", 2]))
    assert one == same != other
    assert one.parent == cache_folder("some")
    assert one.suffix == ".json"


def test_a_file_that_breaks_off_leaves_what_was_there() -> None:
    path = cached_file("some", "a")
    assert keep_file(path, lambda partial: partial.write_text("whole")) is None

    def broken(partial: Path) -> None:
        partial.write_text("half")
        raise OSError(28, "No space left on device")

    error = keep_file(path, broken)
    assert isinstance(error, OSError)
    assert [file.read_text() for file in path.parent.iterdir()] == ["whole"]


def test_what_safetensors_says_of_a_disk_is_no_failure() -> None:
    """It has an error of its own for what the system refuses."""
    path = cached_file("some", "a")
    error = keep_file(path, lambda partial: tensors.save_file({"x": torch.zeros(2)}, partial / "no such folder" / "x"))
    assert error is not None
    assert not list(path.parent.iterdir())


def test_without_room_or_a_folder_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    path = cached_file("some", "a")
    assert keep_file(path, lambda partial: partial.write_text("x"), size=1 << 60) is None
    assert not path.exists()
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    assert isinstance(keep_file(cached_file("some", "a"), lambda partial: partial.write_text("x")), OSError)


def test_what_is_used_least_goes() -> None:
    for number in range(4):
        path = cached_file("some", number)
        keep_file(path, lambda partial: partial.write_text("12345"))
        os.utime(path, (number, number))
    last = cached_file("some", "last")
    keep_file(last, lambda partial: partial.write_text("12345"), most=12)
    assert set(last.parent.iterdir()) == {last, cached_file("some", 3)}


def test_a_file_is_the_one_used_last_and_of_a_damaged_one_nothing_is_read() -> None:
    path = cached_file("some", "a", ".safetensors")
    assert load_file(path, tensors.load_file) is None
    keep_file(path, lambda partial: tensors.save_file({"x": torch.ones(2)}, partial))
    os.utime(path, (0, 0))
    found = load_file(path, tensors.load_file)
    assert found is not None
    assert found["x"].tolist() == [1, 1]
    assert path.stat().st_mtime > 0
    path.write_bytes(b"none")
    assert load_file(path, tensors.load_file) is None
