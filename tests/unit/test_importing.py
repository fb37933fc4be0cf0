"""What is exported can be imported: the same catalogue, or, for anything else, one line and nothing changed."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from describe import pipeline
from describe.catalog import Catalogue, schema
from describe.errors import InputError
from describe.records import Description, HeadId, HeadMapping
from tests import attacks
from tests.heads import head_record
from tests.whole_catalogue import MODEL, OTHER, mapping, whole_catalogue


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the whole catalogue as ``whole.db``, ``whole.jsonl``, ``whole.parquet`` and the folder ``data``;
    and ``other.db``, of one of its models."""
    folder = tmp_path_factory.mktemp("exported")
    with whole_catalogue(folder / "whole.db") as catalogue:
        for form, name in (("jsonl", "whole.jsonl"), ("parquet", "whole.parquet"), ("dataset", "data")):
            assert pipeline.export(catalogue, [], form, folder / name) == len(MODEL.heads) + len(OTHER.heads)
    with whole_catalogue(folder / "other.db", (OTHER,)):
        return folder


def again(where: Path, source: Path) -> bytes:
    """What a new catalogue exports after it imported ``source``."""
    with Catalogue(str(where / "again.db"), create=True) as catalogue:
        done = pipeline.import_heads(catalogue, source)
        assert done.left_out == []
        pipeline.export(catalogue, [], "jsonl", where / "again.jsonl")
    return (where / "again.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["whole.jsonl", "whole.parquet", "data"])
def test_the_round_trip_is_exact(exported: Path, tmp_path: Path, name: str) -> None:
    assert again(tmp_path, exported / name) == (exported / "whole.jsonl").read_bytes()
    with (
        Catalogue(str(exported / "whole.db")) as before,
        Catalogue(str(tmp_path / "again.db")) as after,
        before.engine.connect() as old,
        after.engine.connect() as new,
    ):
        assert after.models() == before.models()
        for table in ("model", "extraction", "head", "labeller", "description", "evidence", "head_check", "operation"):
            count = select(func.count()).select_from(schema.metadata.tables[table])
            assert new.execute(count).scalar() == old.execute(count).scalar(), table
        for column in (schema.head.c.held_out, schema.description.c.reply, schema.operation_check.c.found):
            found, kept = (
                sorted(json.dumps(value, sort_keys=True) for value in connection.execute(select(column)).scalars())
                for connection in (new, old)
            )
            assert found == kept
        labeller = before.find_labeller("statistics", "salient-1", "Say what statistics sees", {"seed": 0})
        assert labeller is not None
        assert after.find_labeller("statistics", "salient-1", "Say what statistics sees", {"seed": 0}) is not None


def test_an_export_has_something_of_everything(exported: Path) -> None:
    """So that the round trip above proves something."""
    heads = [json.loads(line) for line in (exported / "whole.jsonl").read_text().splitlines()]
    first = heads[0]
    assert first["descriptions"][1]["failure"] == "refusal"
    assert heads[3]["descriptions"][1]["unclear"]
    assert {m: list(j) for m, j in first["descriptions"][0]["scores"].items()} == {
        "detection": ["a:judge", "statistics"],
        "likelihood": ["a:judge"],
    }
    assert first["descriptions"][0]["scores"]["detection"]["statistics"]["failure"] == "timeout"
    assert heads[1]["evidence"]
    assert first["relations"]["copying"]["inference"]["of_source"]["promoted"] == [7, 7]
    assert first["relations"]["copying"]["ablation"]["removed_as"] == 1
    assert first["held_out"]["next"]
    assert first["held_out"]["sample"]


def test_hostile_texts_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacks, "MODEL", replace(attacks.MODEL, vocab_size=500))
    with attacks.attacked_catalogue(tmp_path / "a.db", huge=False) as catalogue:
        labeller = catalogue.register_labeller("x", "x", attacks.HUGE, {})
        catalogue.save_description(1, HeadId(1, 2), labeller, Description(attacks.HUGE, attacks.HUGE), {})
        pipeline.export(catalogue, [], "jsonl", tmp_path / "a.jsonl")
        pipeline.export(catalogue, [], "parquet", tmp_path / "a.parquet")
    assert again(tmp_path, tmp_path / "a.jsonl") == (tmp_path / "a.jsonl").read_bytes()
    with Catalogue(str(tmp_path / "b.db"), create=True) as other:
        assert pipeline.import_heads(other, tmp_path / "a.parquet").heads == 6, "a lone surrogate becomes an escape"


def test_identical_heads_are_skipped_and_new_ones_added(exported: Path, tmp_path: Path) -> None:
    lines = (exported / "whole.jsonl").read_text().splitlines(keepends=True)
    random.Random(0).shuffle(lines)
    some, rest = tmp_path / "some.jsonl", tmp_path / "rest.jsonl"
    some.write_text("".join(lines[:6]))
    rest.write_text("".join(lines[3:]))
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        first = pipeline.import_heads(catalogue, some)
        assert (first.heads, first.new) == (6, 6)
        assert first.left_out, "no layer of every model is complete yet"
        second = pipeline.import_heads(catalogue, rest)
        assert (second.heads, second.new) == (7, 4)
        third = pipeline.import_heads(catalogue, exported / "whole.jsonl")
        assert (third.heads, third.new, third.descriptions, third.left_out) == (10, 0, 0, [])
        pipeline.export(catalogue, ["openai-community/gpt2", "tiny"], "jsonl", tmp_path / "c.jsonl")
    assert (tmp_path / "c.jsonl").read_bytes() == (exported / "whole.jsonl").read_bytes()


def test_scores_of_single_heads_are_left_out_not_made_up(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text((exported / "whole.jsonl").read_text().splitlines()[0])
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        done = pipeline.import_heads(catalogue, tmp_path / "one.jsonl")
        assert done.left_out == [
            "correlate's copying of openai-community/gpt2",
            "relation scores of layer 0 of openai-community/gpt2",
        ]
        assert head_record(catalogue, MODEL.name, HeadId(0, 0))["relations"] == {}


def changed(path: tuple[Any, ...], value: Any) -> Callable[[dict[str, Any]], None]:
    def change(head: dict[str, Any]) -> None:
        *way, last = path
        for step in way:
            head = head[step]
        if value is KeyError:
            del head[last]
        else:
            head[last] = value

    return change


WRONG = {
    "a key missing": (changed(("salient", 1, "token"), KeyError), r"salient\[1\]\.token: Field required"),
    "a key too many": (changed(("rolls",), []), "rolls: it is not known here"),
    "a number as text": (changed(("salient", 0, "saliency"), "2.5"), r"salient\[0\]\.saliency"),
    "true for a number": (changed(("layer",), True), "layer"),
    "a layer outside": (changed(("layer",), 2), "layer 2 is outside the model"),
    "a negative head": (changed(("head",), -1), "head"),
    "a token outside": (changed(("salient", 0, "token_id"), 500), "token_id 500 is outside"),
    "NaN": (changed(("salient", 0, "saliency"), float("nan")), "NaN is no number"),
    "infinity": (changed(("provenance", "versions", "x"), float("inf")), "Infinity is no number"),
    "a huge number": (changed(("salient", 0, "token_id"), 10**400), "token_id|integer string"),
    "a share above one": (changed(("relations", "copying", "score"), 1.5), r"relations\.copying\.score"),
    "an unknown operation": (changed(("relations", "x"), {"score": 0.5, "suppression": 0}), "does not tell of it"),
    "too few counts": (changed(("relations", "copying", "inference", "of_source", "promoted"), [1]), "each template"),
    "half a curve": (
        changed(("provenance", "relations", "ablate", "operations", "copying", "found", "targeted"), []),
        "ablation of 'copying'",
    ),
    "another template": (changed(("descriptions", 0, "provenance", "template"), "x"), "template_hash"),
    "evidence out of nowhere": (changed(("provenance", "evidence"), KeyError), "provenance.evidence is missing"),
    "a moment in words": (changed(("provenance", "extracted"), "yesterday"), r"provenance\.extracted"),
    "a placebo": (changed(("provenance", "extraction", "placebo"), {"kind": "shuffled"}), "placebo"),
    "an older export": (changed(("provenance", "shape"), KeyError), r"provenance\.shape: Field required"),
    "a long name": (changed(("model",), "m" * 513), "513 characters"),
    "a name too long once it is stored": (changed(("model",), "\0" * 200), "800 characters"),
    "a hash of markup": (changed(("provenance", "content_hash"), "`<img src=x>"), r"content_hash: it is no SHA-256"),
    "a hash of a path": (changed(("provenance", "content_hash"), "/../../e"), "it is no SHA-256"),
    "a hash too short": (changed(("descriptions", 0, "provenance", "prompt_hash"), "ab"), "it is no SHA-256"),
    "a hash of an operation": (
        changed(("provenance", "relations", "operations", "copying", "content_hash"), "x"),
        "it is no SHA-256",
    ),
    "more layers than any model": (changed(("provenance", "shape", "n_layers"), 2**31 - 1), "n_layers is 2147483647"),
    "more heads than any model": (changed(("provenance", "shape", "n_heads"), 999_998), "n_heads is 999998"),
    "more heads in all": (
        lambda head: head["provenance"]["shape"].update(n_layers=1000, n_heads=1000),
        "1000 layers of 1000 heads",
    ),
    "heads that cannot share": (changed(("provenance", "shape", "n_kv_heads"), 4), "cannot share 4"),
    "no width": (changed(("provenance", "shape", "d_model"), 0), "d_model"),
    "k beyond the vocabulary": (changed(("inference", "k"), 501), "inference.k is 501"),
    "k of an operation": (changed(("provenance", "relations", "operations", "copying", "k"), 501), "k of 'copying'"),
    "settings nested deep": (
        changed(("provenance", "extraction", "x"), json.loads("[" * 40 + "]" * 40)),
        "nested too deeply",
    ),
    "a whole number of 70 bits": (changed(("provenance", "versions", "x"), 2**70), "64 bits"),
    "a logit of 400 digits": (changed(("salient", 0, "targets", 0, "logit"), 10**400), "logit"),
    "a moment in the year 1": (changed(("provenance", "extracted"), "0001-01-01T00:00:00Z"), "no moment"),
    "more targets than can be shown": (
        lambda head: head["salient"][0].update(targets=head["salient"][0]["targets"] * 10_000),
        r"targets: List should have at most 10000",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_malformed_heads_are_refused_with_the_line(exported: Path, tmp_path: Path, name: str) -> None:
    change, told = WRONG[name]
    heads = [json.loads(line) for line in (exported / "whole.jsonl").read_text().splitlines()[:4]]
    change(heads[3])
    refused(exported, tmp_path, "\n".join(json.dumps(head) for head in heads).encode(), told)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"layer,head,salient\n0,0,x\n", "line 1 of .* is not JSON"),
        (b"{}\n", "line 1 of .*: model: Field required"),
        (b"[" * 100_000, "line 1 .* nested too deeply|line 1 .* not JSON"),
        (b"\xff\xfe\n", "line 1 of .* is not JSON"),
        (b"\n\n[1, 2]\n", "line 3 of .*: the head: Input should be a valid dictionary"),
        (b'{"model": "' + b"x" * 2_000_000, "line 1 of .* is not JSON"),
        (b"PAR1 and then nothing of the kind", "cannot be read as Parquet"),
    ],
)
def test_foreign_files_are_refused(exported: Path, tmp_path: Path, content: bytes, told: str) -> None:
    refused(exported, tmp_path, content, told)


def refused(exported: Path, folder: Path, content: bytes, told: str) -> None:
    """Importing this into a catalogue that has other heads is one line, and changes nothing."""
    source, where = folder / "wrong", folder / "c.db"
    source.write_bytes(content)
    shutil.copy(exported / "other.db", where)
    before = dump(where)
    with pytest.raises(InputError, match=told) as raised, Catalogue(str(where)) as catalogue:
        pipeline.import_heads(catalogue, source)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500
    assert dump(where) == before


def dump(where: Path) -> list[str]:
    with closing(sqlite3.connect(where)) as connection:
        return list(connection.iterdump())


def test_a_catalogue_made_for_nothing_is_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("wrong")
    with pytest.raises(InputError), Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        pipeline.import_heads(catalogue, tmp_path / "wrong")
    assert not (tmp_path / "c.db").exists()


def test_a_line_that_never_ends_is_not_read_to_its_end(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("describe.pipeline.imports.LONGEST", 1 << 20)
    refused(exported, tmp_path, b"x" * (1 << 21), "line 1 of .* is longer than 1 MiB")


def test_other_content_under_the_same_head_is_refused(exported: Path, tmp_path: Path) -> None:
    lines, content = (exported / "whole.jsonl").read_text().splitlines(), dump(exported / "whole.db")
    for path, told in (
        (("salient", 0, "saliency"), "other mappings"),
        (("descriptions", 0, "pattern"), "another description by statistics"),
        (("descriptions", 0, "scores", "detection", "a:judge", "value"), "another score by a:judge"),
        (("evidence", 0, "wording"), "other evidence"),
        (("inference", "k"), "another check"),
        (("provenance", "shape", "d_model"), "another family or shape"),
        (("relations", "copying", "score"), "other relation scores of layer 1"),
        (("provenance", "relations", "operations", "copying", "k"), "another k"),
    ):
        heads = [json.loads(line) for line in lines[:4]]
        before = heads[3]
        for step in path[:-1]:
            before = before[step]
        value: Any = before[path[-1]]
        changed(path, "other" if isinstance(value, str) else 11 if isinstance(value, int) else 0.03125)(heads[3])
        (tmp_path / "other.jsonl").write_text(json.dumps(heads[3]))
        with (
            pytest.raises(InputError, match=told),
            Catalogue(str(shutil.copy(exported / "whole.db", tmp_path / "c.db"))) as catalogue,
        ):
            pipeline.import_heads(catalogue, tmp_path / "other.jsonl")
        assert dump(tmp_path / "c.db") == content


def test_a_head_that_comes_twice_is_refused(exported: Path, tmp_path: Path) -> None:
    line = (exported / "whole.jsonl").read_bytes().splitlines()[0]
    refused(exported, tmp_path, b"\n".join([line, line]), r"line 2 of .*: head 0\.0 of .* is in the file twice")


def test_a_model_must_keep_its_shape(exported: Path, tmp_path: Path) -> None:
    first, second = (json.loads(line) for line in (exported / "whole.jsonl").read_bytes().splitlines()[:2])
    second["provenance"]["shape"]["n_layers"] = 5
    content = "\n".join(map(json.dumps, (first, second))).encode()
    refused(exported, tmp_path, content, "line 2 of .*: .*had another family or shape before")


def test_a_parquet_file_of_other_columns_is_refused(exported: Path, tmp_path: Path) -> None:
    table = pq.read_table(exported / "whole.parquet")
    pq.write_table(table.drop_columns(["evidence"]), tmp_path / "less.parquet")
    refused(exported, tmp_path, (tmp_path / "less.parquet").read_bytes(), "no column 'evidence'")
    at = table.schema.get_field_index("relations")
    wrong = table.set_column(at, "relations", [["{"] * len(table)])
    pq.write_table(wrong, tmp_path / "wrong.parquet")
    refused(exported, tmp_path, (tmp_path / "wrong.parquet").read_bytes(), "row 1 of .*: relations is not JSON")


def test_a_parquet_file_of_other_types_or_damaged_is_refused(exported: Path, tmp_path: Path) -> None:
    table = pq.read_table(exported / "whole.parquet")
    for name, values in (("layer", ["0"]), ("descriptions", [[1]]), ("salient", [None]), ("provenance", [b"{}"])):
        at = table.schema.get_field_index(name)
        pq.write_table(table.set_column(at, name, [values * len(table)]), tmp_path / "types.parquet")
        refused(exported, tmp_path, (tmp_path / "types.parquet").read_bytes(), f"'{name}' is of another type")
    nothing = table.set_column(
        table.schema.get_field_index("descriptions"),
        table.schema.field("descriptions"),
        pa.nulls(len(table), table.schema.field("descriptions").type),
    )
    pq.write_table(nothing, tmp_path / "null.parquet")
    with Catalogue(str(tmp_path / "null.db"), create=True) as catalogue:
        assert pipeline.import_heads(catalogue, tmp_path / "null.parquet").descriptions == 0
    whole, luck = (exported / "whole.parquet").read_bytes(), random.Random(5)
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(8):
            data[luck.randrange(4, len(data))] = luck.randrange(256)
        (tmp_path / "flipped.parquet").write_bytes(data[: luck.choice((len(data), len(data) // 2))])
        with Catalogue(str(tmp_path / "flipped.db"), create=True) as catalogue, suppress(InputError):
            pipeline.import_heads(catalogue, tmp_path / "flipped.parquet")


def test_a_parquet_file_that_unpacks_to_too_much_is_refused(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("describe.export.parquet.LARGEST_PART", 1 << 12)
    refused(exported, tmp_path, (exported / "whole.parquet").read_bytes(), "in one part: more than can be read at once")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no regular file"), Catalogue(str(tmp_path / "c.db"), create=True) as opened:
        pipeline.import_heads(opened, tmp_path / "pipe")


def test_a_folder_must_be_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no dataset folder"), Catalogue(str(tmp_path / "c.db"), create=True) as opened:
        pipeline.import_heads(opened, tmp_path)
    with pytest.raises(InputError, match="no file"), Catalogue(str(tmp_path / "c.db"), create=True) as opened:
        pipeline.import_heads(opened, tmp_path / "none")


def test_heads_from_before_rows_were_held_out_stay_incomplete(tmp_path: Path) -> None:
    """What was not kept is not known to be empty: extracting again completes them."""
    with Catalogue(str(tmp_path / "a.db"), create=True) as catalogue:
        extraction = catalogue.begin_extraction(catalogue.register_model(MODEL), {"s": 1}, {})
        catalogue.save_head(extraction, HeadMapping(HeadId(0, 0), mapping(HeadId(0, 0)).salient))
        pipeline.export(catalogue, [], "jsonl", tmp_path / "a.jsonl")
    with Catalogue(str(tmp_path / "b.db"), create=True) as other:
        pipeline.import_heads(other, tmp_path / "a.jsonl")
        assert other.saved_heads(1) == {HeadId(0, 0)}
        assert other.saved_heads(1, complete=True) == set()
        assert pipeline.import_heads(other, tmp_path / "a.jsonl").new == 0
