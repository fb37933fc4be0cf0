"""People's descriptions: taken in all or none, and then a describer like any other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.main import main
from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.records import Score
from tests.headlined import headlined

FILE = "head,inputs,pattern,author\n0.0,names,suppresses them,Ann\n0.1,Unclear,unclear,Ann\n0.0,names,copies them,Bob\n"


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with headlined(str(tmp_path / "c.db")) as opened:
        yield opened


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "people"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_person_is_a_describer_like_any_other(catalogue: Catalogue, tmp_path: Path) -> None:
    done = pipeline.import_descriptions(catalogue, written(tmp_path, FILE))
    assert (done.authors, done.known) == ({"person:Ann": 2, "person:Bob": 1}, 0)
    again = pipeline.import_descriptions(catalogue, written(tmp_path, FILE))
    assert (again.authors, again.known) == ({"person:Ann": 0, "person:Bob": 0}, 3)
    info, extraction = pipeline.find(catalogue, "m")
    first, second, *_ = catalogue.head_records(info, extraction)
    assert [(one.llm, one.pattern, one.state) for one in first.descriptions] == [
        ("person:Ann", "suppresses them", "described"),
        ("person:Bob", "copies them", "described"),
    ]
    assert second.descriptions[0].state == "unclear"
    assert first.card is not None
    assert [found.sort for found in first.card.contradictions] == ["copies"], "Bob says that it copies"
    assert catalogue.search.find("suppresses them", llm="person:Ann")["total"] == 1


def test_two_describers_are_compared_with_what_a_test_bears_out(catalogue: Catalogue, tmp_path: Path) -> None:
    pipeline.import_descriptions(catalogue, written(tmp_path, FILE + "0.1,Unclear,Unclear,Bob\n"))
    judge = catalogue.register_labeller("judge", "p", "t", {})
    with catalogue.engine.connect() as connection:
        ann = connection.exec_driver_sql("SELECT min(id) FROM description WHERE pattern = 'suppresses them'").scalar()
    catalogue.scores.save(int(ann or 0), judge, Score("relation", 0.9, 0.8, 1.0, 0.5), {}, {})
    (found,) = pipeline.diff_describers(catalogue, "person:Ann", "person:Bob").models
    assert (found.compared, found.agree, found.supported) == (2, 1, {"first": 1, "neither": 1})
    assert main(["diff", str(tmp_path / "c.db"), "--describers", "person:Ann", "person:Bob"]) == 0


def test_jsonl_is_taken_in_too(catalogue: Catalogue, tmp_path: Path) -> None:
    line = {"head": "1.1", "inputs": "x", "pattern": "y", "author": "Ann"}
    assert pipeline.import_descriptions(catalogue, written(tmp_path, json.dumps(line))).authors == {"person:Ann": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no column head"),
        ("head,inputs,pattern,author\n", "has no description"),
        ("head,inputs,pattern\n0.0,a,b\n", "has no column author"),
        (FILE + "9.9,a,b,Ann\n", "head 9.9 is not in the model"),
        (FILE + "one,a,b,Ann\n", "is not a head"),
        (FILE + "0.0,a,b,Ann\n", "Ann describes head 0.0 twice"),
        (FILE + "1.0,,b,Ann\n", "inputs is missing"),
        (FILE + "1.0,a,b," + "n" * 300 + "\n", "author has 300 characters"),
        ('{"head": "0.0"}', "inputs is missing"),
        ('{"head": 1, "inputs": "a", "pattern": "b", "author": "c"}', "head is missing"),
        ("{not JSON", "is no JSON"),
    ],
)
def test_what_cannot_be_taken_is_one_line_and_changes_nothing(
    catalogue: Catalogue, tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        pipeline.import_descriptions(catalogue, written(tmp_path, text))
    info, extraction = pipeline.find(catalogue, "m")
    assert not any(
        one.prompt == "by hand" for head in catalogue.head_records(info, extraction) for one in head.descriptions
    )
