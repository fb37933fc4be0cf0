"""A vocabulary is looked at once, by commands in a row, and what was seen is the same."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from describe import versions
from describe.cached import cache_folder
from describe.errors import InputError
from describe.evidence import Vocabulary
from describe.evidence import vocabulary as looking
from describe.pipeline import vocabulary as kept
from describe.pipeline.vocabulary import vocabulary_of

TOKENS = (" house", " houses", "House", " Paris", " French", " big", " small", "ing", "<0x0A>", "", " Paris")


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def anew(tokens: tuple[str, ...] = TOKENS) -> Vocabulary:
    """As another process has it."""
    kept._seen.cache_clear()
    return vocabulary_of(tokens)


def files() -> list[Path]:
    return sorted(cache_folder("vocabularies").iterdir())


def assert_equal(found: Vocabulary, whole: Vocabulary) -> None:
    every = np.arange(len(TOKENS))
    assert np.array_equal(found.has, whole.has)
    assert np.array_equal(found.related(every, every), whole.related(every, every))
    assert found.has.any()
    assert found.related(every, every).any()


def test_it_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = anew()
    monkeypatch.delattr(looking, "load_grammar")
    assert_equal(anew(), first)
    assert_equal(first, Vocabulary(TOKENS, first.looks))
    with pytest.raises(NameError):
        anew(TOKENS[1:])


def test_other_words_or_rules_are_another_look(monkeypatch: pytest.MonkeyPatch) -> None:
    anew()
    monkeypatch.setattr(kept, "looked_by", lambda: {"words and rules": "others"})
    anew()
    assert len(files()) == 2
    assert looking.looked_by()["words and rules"] != "others"


def test_a_file_that_is_none_is_written_anew() -> None:
    first = anew()
    whole = files()[0].read_bytes()
    anew(TOKENS[1:])
    other = next(file for file in files() if file.read_bytes() != whole)
    for broken in (b"", b"\0" * 100, whole[:-8], other.read_bytes()):
        next(file for file in files() if file != other).write_bytes(broken)
        assert_equal(anew(), first)
    assert len(files()) == 2


def test_without_a_place_to_write_it_is_looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = anew()
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    assert_equal(anew(), first)


def test_what_is_used_least_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    anew()
    old = files()[0]
    os.utime(old, (0, 0))
    monkeypatch.setattr(kept, "MOST", old.stat().st_size + 100)
    anew(TOKENS[1:])
    assert old not in files()
    assert len(files()) == 1


def test_without_the_dictionaries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    anew()
    monkeypatch.setattr(versions, "version", missing)
    versions.headscribe_version.cache_clear()
    with pytest.raises(InputError, match=r"lemminflect: pip install 'headscribe\[evidence\]'"):
        anew()
    versions.headscribe_version.cache_clear()
