"""The catalogue on SQLite: kept, resumed, upgraded after a backup; what is not ours is left alone."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

import annotations.schema
from app.main import main
from describe.catalog import Catalogue
from describe.catalog.database import begin_write, connect
from describe.catalog.revisions import _newest, _revisions, upgrade
from describe.catalog.rows import json_hash
from describe.catalog.schema import metadata
from describe.errors import CatalogueError
from describe.files import check_output
from describe.head_record import headline
from describe.records import Description, HeadId, HeadMapping, MappingRow, ModelInfo, Score, Target
from tests.heads import head_records

INFO = ModelInfo("m", "ab" * 32, "llama", 2, 3, 1, 8, 4, 50)
SETTINGS = {"salient": 30, "dtype": "float32"}
NASTY = "a\0b\ud800\u202e<script>"


def mapping(head: HeadId) -> HeadMapping:
    targets, suppressed = (Target(2, "<b>", -0.5), Target(3, "\u202e", -1.5)), (Target(4, "=1", -9.0),)
    rows = (MappingRow(1, " a\0\n", 1.25, targets, suppressed),)
    held_out = (MappingRow(5, "=2", 0.75, targets, suppressed), MappingRow(6, "x", 0.5, targets, suppressed))
    return HeadMapping(head, rows, held_out=held_out, sampled=(MappingRow(7, "y", 0.1, targets, suppressed),))


def filled(place: Path) -> tuple[Catalogue, int]:
    catalogue = Catalogue(str(place), create=True)
    extraction = catalogue.begin_extraction(catalogue.register_model(INFO), SETTINGS, {"torch": "2"})
    for head in INFO.heads[:4]:
        catalogue.save_head(extraction, mapping(head))
    return catalogue, extraction


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_saved_is_there_again(tmp_path: Path) -> None:
    catalogue, extraction = filled(tmp_path / "c.db")
    catalogue.close()
    with Catalogue(str(tmp_path / "c.db")) as again:
        model_id, info = again.find_model("m")
        assert info == INFO
        assert again.latest_extraction(model_id) == extraction
        assert again.begin_extraction(again.register_model(INFO), SETTINGS, {}) == extraction
        assert again.saved_heads(extraction) == set(INFO.heads[:4])
        assert again.mapping(extraction, HeadId(1, 0), held_out=True) == mapping(HeadId(1, 0))
        assert again.mapping(extraction, HeadId(1, 0)).held_out == ()
        with pytest.raises(CatalogueError, match=r"1\.2 is not in the catalogue"):
            again.mapping(extraction, HeadId(1, 2))
        other = again.begin_extraction(model_id, SETTINGS | {"dtype": "float64"}, {})
        assert other != extraction
        assert again.saved_heads(other) == set()
        placebo = again.begin_extraction(model_id, SETTINGS | {"placebo": "shuffled"}, {}, placebo="shuffled")
        assert again.latest_extraction(model_id) == other < placebo, "placebos are no heads of the model"


def test_an_answer_stays_and_a_failure_gives_way(tmp_path: Path) -> None:
    catalogue, extraction = filled(tmp_path / "c.db")
    labeller = catalogue.register_labeller("openai:x", "p-1", "text", {"seed": 0})
    assert labeller == catalogue.register_labeller("openai:x", "p-1", "text", {"seed": 0})
    assert labeller != catalogue.register_labeller("openai:x", "p-1", "text", {"seed": 1})
    head = HeadId(0, 1)
    for outcome in (
        Description(failure="timeout", detail="late"),
        Description(failure="refusal", reply=NASTY),
        Description(inputs=NASTY, pattern="one", reasoning="r", usage={"calls": 1}),
        Description(inputs="x", pattern="two"),
        Description(failure="timeout"),
    ):
        catalogue.save_description(extraction, head, labeller, outcome, {})
    assert catalogue.described_heads(extraction, labeller) == {head: None}
    (record,) = head_records(catalogue, INFO, extraction, only=head)
    (found,) = record["descriptions"]
    assert (found["inputs"], found["pattern"]) == ("a\\x00b\\ud800\u202e<script>", "one")
    assert found["failure"] is None
    assert [r["head"] for r in head_records(catalogue, INFO, extraction)] == [0, 1, 2, 0]


def test_scores_stand_beside_the_description_they_are_of(tmp_path: Path) -> None:
    catalogue, extraction = filled(tmp_path / "c.db")
    labeller = catalogue.register_labeller("openai:x", "p-1", "text", {})
    judges = [catalogue.register_labeller(name, "judge-1", "text", {}) for name in ("statistics", "openai:judge")]
    head = HeadId(0, 1)
    catalogue.save_description(extraction, head, labeller, Description(inputs="x", pattern="y"), {})
    value = Score("detection", 0.9, 0.8, 0.95, 0.5, n=20, found={"balanced_accuracy": 0.85})
    for judge, score in (
        (judges[0], Score("detection", None, failure="timeout", detail=NASTY)),
        (judges[0], value),
        (judges[0], Score("detection", 0.1)),
        (judges[1], Score("detection", None, failure="refusal")),
        (judges[1], Score("likelihood", 1.5)),
    ):
        catalogue.scores.save(1, judge, score, {"rows": 20}, {})
    (record,) = head_records(catalogue, INFO, extraction, only=head)
    (found,) = record["descriptions"]
    assert {(m, j): s["value"] for m, scores in found["scores"].items() for j, s in scores.items()} == {
        ("detection", "statistics"): 0.9,
        ("detection", "openai:judge"): None,
        ("likelihood", "openai:judge"): 1.5,
    }
    kept = found["scores"]["detection"]["statistics"]
    assert {name: kept[name] for name in ("low", "high", "n", "failure", "found")} == {
        **{name: getattr(value, name) for name in ("low", "high", "n", "failure", "found")}
    }
    assert kept["placebo"] == value.wrong, "the key keeps the name that files have"
    (told,) = next(catalogue.head_records(INFO, extraction, only=head)).descriptions
    assert told.headline is not None
    assert (told.headline.measure, told.headline.judge, told.headline.value) == ("detection", "statistics", 0.9)
    assert headline({}) is None


def test_heads_are_shown_by_their_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several descriptions that of the whole head counts; heads without a score come last, or not at all."""
    catalogue, extraction = filled(tmp_path / "c.db")
    where = ["--catalog", str(tmp_path / "c.db")]
    labeller = catalogue.register_labeller("openai:x", "p-1", "text", {})
    judge = catalogue.register_labeller("openai:judge", "judge-1", "text", {})
    told = {HeadId(0, 0): 0.6, HeadId(0, 1): 0.9, HeadId(0, 1, 1): 0.1, HeadId(0, 2): None}
    for number, (unit, value) in enumerate(told.items(), 1):
        catalogue.save_description(extraction, unit, labeller, Description(inputs="x", pattern=f"does {number}"), {})
        if value is not None:
            catalogue.scores.save(number, judge, Score("detection", value, value - 0.1, 1.0, 0.55), {}, {})

    def shown(*options: str) -> list[str]:
        assert main(["show", "m", *options, *where, "--json", str(tmp_path / "shown.json")]) == 0
        return [f"{one['layer']}.{one['head']}" for one in json.loads((tmp_path / "shown.json").read_text())]

    assert shown() == ["0.0", "0.1", "0.2", "1.0"]
    assert shown("--sort", "score") == ["0.1", "0.0", "0.2", "1.0"]
    assert shown("--min-score", "0.6") == ["0.0", "0.1"]
    assert shown("--min-score", "0.61", "--sort", "saliency") == ["0.1"]
    assert shown("--min-score", "1.1") == []
    capsys.readouterr()
    assert main(["show", "m", "--sort", "score", *where]) == 0
    first = capsys.readouterr().out.splitlines()[1]
    assert re.match(r"0\.1 +0\.90 \(0\.80 to 1\.00\) +0\.55 +x +does 2 ", first)


def test_namesakes_are_told_apart_by_hash(tmp_path: Path) -> None:
    catalogue, _ = filled(tmp_path / "c.db")
    other = ModelInfo(**{**{f: getattr(INFO, f) for f in INFO.__dataclass_fields__}, "content_hash": "cd" * 32})
    catalogue.register_model(other)
    with pytest.raises(CatalogueError, match="m@abababab, m@cdcdcdcd"):
        catalogue.find_model("m")
    assert catalogue.find_model("m@cd")[1] == other
    assert catalogue.find_model("m", "ab" * 32)[1] == INFO
    with pytest.raises(CatalogueError, match="holds no model 'n'"):
        catalogue.find_model("n")


def _not_of_the_index(name: str | None, kind: str, _parents: object) -> bool:
    """FTS5 keeps its index in tables of its own."""
    return kind != "table" or not str(name).startswith("passage_words")


def test_the_migrations_make_the_schema(tmp_path: Path) -> None:
    engine = connect(str(tmp_path / "c.db"), create=True)
    with begin_write(engine):
        pass  # the first thing committed makes the file
    with engine.connect() as connection:
        assert annotations.schema.study.metadata is metadata
        known = MigrationContext.configure(connection, opts={"include_name": _not_of_the_index})
        differences = compare_metadata(known, metadata)
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    assert differences == []
    assert _newest() == _revisions()[0]


def written_by_the_first_version(place: Path) -> None:
    """A catalogue at the first revision, with a model, an extraction and four heads."""
    engine = create_engine(f"sqlite:///{place}")
    moment = "2026-01-01 00:00:00"
    with engine.begin() as connection:
        upgrade(connection, "0001")
        known = asdict(INFO) | {"id": 1, "created": moment}
        connection.execute(text(f"INSERT INTO model ({', '.join(known)}) VALUES (:{', :'.join(known)})"), known)
        settings = {"s": json.dumps(SETTINGS), "h": json_hash(SETTINGS), "c": moment}
        connection.execute(text("INSERT INTO extraction VALUES (1, 1, :s, :h, '{}', :c)"), settings)
        for head in INFO.heads[:4]:
            row = {"l": head.layer, "h": head.head, "s": '[[1, " old", 1.0, [[2, "x", 0.5]]]]', "c": moment}
            connection.execute(text("INSERT INTO head VALUES (NULL, 1, :l, :h, 1.0, :s, :c)"), row)
    engine.dispose()


def test_an_older_catalogue_that_may_not_be_written_to_is_read_from_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "old.db"
    written_by_the_first_version(place)
    before, files = place.read_bytes(), sorted(tmp_path.iterdir())
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK or "headscribe-" in str(path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path.parent))
    with Catalogue(str(place)) as opened:
        extraction = opened.latest_extraction(1)
        assert opened.mapping(extraction, HeadId(0, 0)).salient[0].token == " old"
        assert opened.search.find("old")["total"] == 4
        with pytest.raises(DBAPIError, match="readonly"):
            opened.register_labeller("openai:x", "p-1", "text", {})
        copies = list(tmp_path.parent.glob("headscribe-*"))
        assert len(copies) == 1
    assert not copies[0].exists()
    assert place.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == files


def test_a_name_that_cannot_be_is_refused(tmp_path: Path) -> None:
    for name, said in {"a\0b": r"'a\\x00b': embedded null", "x" * 300: r"'x+…': File name too long"}.items():
        with pytest.raises(CatalogueError, match=f"cannot open the catalogue {said}"):
            Catalogue(name)
    output = tmp_path / "heads.csv"
    output.touch()
    check_output(output)  # is no catalogue, whatever was refused before


def test_a_log_that_cannot_be_read_where_it_is_is_read_with_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    place = tmp_path / "shared/c.db"
    with Catalogue(str(tmp_path / "c.db"), create=True) as written:
        written.register_model(INFO)
        shutil.copy(tmp_path / "c.db", place)
        written.register_model(replace(INFO, name="in the log", content_hash="log"))
        shutil.copy(tmp_path / "c.db-wal", f"{place}-wal")
    files = {file: file.read_bytes() for file in place.parent.iterdir()}
    really = os.access
    allowed = lambda path, mode: really(path, mode) and (mode != os.W_OK or "headscribe-" in str(path))  # noqa: E731
    monkeypatch.setattr("os.access", allowed)
    with Catalogue(str(place)) as opened:
        assert {model.name for model in opened.models()} == {INFO.name, "in the log"}
        with pytest.raises(DBAPIError, match="readonly"):
            opened.register_labeller("openai:x", "p-1", "text", {})
    assert {file: file.read_bytes() for file in place.parent.iterdir()} == files
    monkeypatch.setattr("shutil.copyfile", lambda one, other: os.utime(place, (1, 1)))
    with pytest.raises(CatalogueError, match="is being written to: run the same again"):
        Catalogue(str(place))


def test_an_older_catalogue_is_upgraded_after_a_backup(tmp_path: Path) -> None:
    place = tmp_path / "old.db"
    written_by_the_first_version(place)
    with Catalogue(str(place)) as upgraded:
        extraction = upgraded.latest_extraction(1)
        assert upgraded.saved_heads(extraction) == set(INFO.heads[:4])
        assert upgraded.mapping(extraction, HeadId(0, 0)).salient[0].token == " old"
        assert upgraded.search.find("old")["total"] == 4, "what was there before is found too"
        upgraded.register_labeller("openai:x", "p-1", "text", {})
        assert upgraded.saved_heads(extraction, complete=True) == set(), "what is suppressed was not kept then"
        upgraded.save_head(extraction, mapping(HeadId(0, 1)))
        assert upgraded.saved_heads(extraction, complete=True) == {HeadId(0, 1)}
        assert upgraded.mapping(extraction, HeadId(0, 1), held_out=True) == mapping(HeadId(0, 1))
        assert upgraded.begin_extraction(1, SETTINGS, {}) == extraction
    (backup,) = tmp_path.glob("old.db.schema-0001.*.backup")
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert copy.execute("SELECT count(*) FROM head").fetchone() == (4,)
    with Catalogue(str(place)):
        assert len(list(tmp_path.glob("*.backup"))) == 1, "an up-to-date catalogue is not backed up"


@pytest.mark.parametrize("create", [False, True])
def test_newer_and_foreign_files_are_refused_untouched(tmp_path: Path, create: bool) -> None:
    newer, foreign, alembics, words = (tmp_path / name for name in ("newer.db", "foreign.db", "alembic.db", "words.db"))
    filled(newer)[0].close()
    with closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num='9999'")
    with closing(sqlite3.connect(foreign)) as connection, connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with closing(sqlite3.connect(alembics)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
    words.write_text("not a database at all, only words")
    for place, message in (
        (newer, "newer headscribe"),
        (foreign, "something else"),
        (alembics, "something else"),
        (words, "some other file"),
    ):
        before = digest(place)
        with pytest.raises(CatalogueError, match=message):
            Catalogue(str(place), create=create)
        assert digest(place) == before
    assert {path.name for path in tmp_path.iterdir()} == {"newer.db", "foreign.db", "alembic.db", "words.db"}


def test_places_that_cannot_be_a_catalogue(tmp_path: Path) -> None:
    for place, message in (
        (str(tmp_path / "none.db"), "there is no catalogue"),
        (str(tmp_path), "is a directory"),
        ("nosuchdb://host/name", "no driver"),
        ("postgresql+psycopg://user:hunter2@127.0.0.1:1/db", "cannot open|not installed"),
        ("://", "cannot be read"),
    ):
        with pytest.raises(CatalogueError, match=message) as raised:
            Catalogue(place)
        assert "hunter2" not in str(raised.value)
        assert "\n" not in str(raised.value)
    with pytest.raises(CatalogueError, match="no directory"):
        Catalogue(str(tmp_path / "no" / "c.db"), create=True)
    assert list(tmp_path.iterdir()) == []


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    """DDL is part of the transaction: a migration that breaks half-way leaves the schema as it was."""
    engine = connect(str(tmp_path / "c.db"), create=True)
    with suppress(RuntimeError), begin_write(engine) as connection:
        connection.execute(text("CREATE TABLE half (x INTEGER)"))
        raise RuntimeError
    assert "half" not in inspect(engine).get_table_names()
