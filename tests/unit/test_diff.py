"""What ``headscribe diff`` finds between two catalogues, and between two describers."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from app.main import main
from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.head_record import HeadRecord
from describe.head_record.differences import changes, pairs, words
from describe.records import Description, HeadId, HeadMapping, LayerScores
from tests.whole_catalogue import MODEL, OTHER, VERSIONS, attend, connect, look, mapping, whole_catalogue


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("old") / "old.db"
    whole_catalogue(where).close()
    return where


def test_a_catalogue_and_its_copy_do_not_differ(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(old, tmp_path / "new.db")
    assert main(["diff", str(old), str(tmp_path / "new.db")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "openai-community/gpt2: 4 heads compared, none differs",
        "tiny: 6 heads compared, none differs",
    ]


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of the first model again: other mappings of 0.1, a new describer, no head 1.1."""
    where = tmp_path_factory.mktemp("new") / "new.db"
    with Catalogue(str(where), create=True) as catalogue:
        model_id = catalogue.register_model(MODEL)
        extraction = catalogue.begin_extraction(model_id, {"salient": 3, "dtype": "float64"}, VERSIONS)
        for head in MODEL.heads[:3]:
            found = mapping(HeadId(0, 0)) if head == HeadId(0, 1) else mapping(head)
            catalogue.save_head(extraction, HeadMapping(head, found.salient))
        says = {
            "statistics": Description("numbers", "the LAST number after 0.0"),
            "b:new": Description(failure="timeout", detail="late"),
        }
        for llm, outcome in says.items():
            labeller = catalogue.register_labeller(llm, "salient-1", llm, {"seed": 9})
            catalogue.save_description(extraction, HeadId(0, 0), labeller, outcome, {})
        run = catalogue.relations.begin_run(model_id, {"k": None}, True, VERSIONS)
        about = {"name": "copying", "content_hash": "0", "category": "c", "direction": "d", "pairs": []}
        relation = catalogue.relations.begin_relation(run, about, 10, 40, True)
        catalogue.relations.save_layer(0, {relation: LayerScores([0.9, 0.4], [0.0, 0.4], 0.5)})
        attend(catalogue, model_id, MODEL)
    return where


def test_a_head_that_looks_elsewhere_is_told_of(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(old, tmp_path / "new.db")
    with Catalogue(str(tmp_path / "new.db")) as catalogue:
        run = catalogue.attention.begin_run(1, {"tokens": 512, "seed": 1}, True, VERSIONS)
        found = {"documents": {}, "tokens": 512, "sources": {}, "heads": 4, "same": 4, "seconds": 1.0}
        catalogue.attention.finish(run, [replace(look(head), kinds=("local",)) for head in MODEL.heads], found)
    assert main(["diff", str(old), str(tmp_path / "new.db")]) == 0
    out = capsys.readouterr().out
    assert "4 heads compared, 4 differ (attention 4)" in out
    assert "attends: previous-token, first-token sink to local" in out


def test_pairs_of_queries_and_keys_that_changed_are_told_of(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "before.db", tmp_path / "after.db"
    shutil.copy(old, before)
    with Catalogue(str(before)) as catalogue:
        connect(catalogue, 1, MODEL)
    shutil.copy(before, after)
    with Catalogue(str(after)) as catalogue:
        connect(catalogue, 1, MODEL, " z")
    assert main(["diff", str(before), str(after)]) == 0
    out = capsys.readouterr().out
    assert "4 heads compared, 4 differ (query key 4)" in out
    assert '0.0  looks by its weights: [-" c" at "\\n<b>"-] {+" c" at " z"+}\n' in out
    assert main(["diff", str(old), str(after)]) == 0
    assert "agreement with attention on text: r none → 0.375" in capsys.readouterr().out


def test_every_kind_of_change_is_found_and_counted(old: Path, new: Path) -> None:
    with Catalogue(str(old)) as one, Catalogue(str(new)) as other:
        found = pipeline.diff(one, other)
        only = pipeline.diff(one, other, model=MODEL.name, llm="statistics")
    assert found.only_old == [OTHER.name]
    (model,) = found.models
    assert (model.compared, model.only_old, model.only_new) == (3, ["1.1"], [])
    assert model.counts == {"mapping": 1, "descriptions": 3, "scores": 1, "relations": 2}
    first, second, _ = model.heads
    assert [(d["llm"], d["change"]) for d in first["descriptions"]] == [
        ("b:new", "new"),
        ("openai:gpt-5-mini", "gone"),
        ("statistics", "changed"),
    ]
    assert first["relations"] == [{"operation": "copying", "side": "score", "old": 0.5, "new": 0.9}]
    assert {score["new"] for score in first["scores"]} == {None}
    assert second["mapping"]["removed"] == [" t5", " t6", " t7"]
    assert second["mapping"]["added"] == [" t0", " t1", " t2"]
    assert {d["llm"] for head in only.models[0].heads for d in head.get("descriptions", ())} == {"statistics"}


def test_changes_are_readable(old: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(old), str(new)]) == 0
    out = capsys.readouterr().out
    assert "tiny: only in the old catalogue" in out
    assert "3 heads compared, 3 differ (mapping 1, descriptions 3, scores 1, relations 2)" in out
    assert '   0.1  mapping: [-" t5" " t6" " t7"-] {+" t0" " t1" " t2"+}' in out
    assert "   0.0  statistics (salient-1): pattern: the {+LAST+} number after 0.0" in out
    assert "   0.0  openai:gpt-5-mini (salient-1): gone: [-failed, refusal-]" in out
    assert "   0.0  copying: score 0.500 → 0.900" in out
    assert main(["diff", str(old), str(new), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["heads"][0]["head"] == "0.0"


def test_two_describers_are_compared(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Catalogue(str(old)) as catalogue:
        found = pipeline.diff_describers(catalogue, "statistics", "openai:gpt-5-mini@salient-1", model=MODEL.name)
        with pytest.raises(InputError, match=r"'nobody' has described none .*openai:gpt-5-mini, .*statistics"):
            pipeline.diff_describers(catalogue, "statistics", "nobody")
    (model,) = found.models
    assert model.compared == 4
    assert model.counts == {"described / failed": 2, "described / unclear": 1}
    assert main(["diff", str(old), "--between", "statistics", "openai:gpt-5-mini", "--model", MODEL.name]) == 0
    out = capsys.readouterr().out
    assert "1.1  openai:gpt-5-mini: described → unclear" in out
    assert "pattern: [-the number after 1.1-] {+Unclear+}" in out


@pytest.mark.parametrize("arguments", [["{old}"], ["{old}", "{old}", "--between", "a", "b"], ["{old}", "none.db"]])
def test_wrong_use_is_one_line(old: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *(argument.format(old=old) for argument in arguments)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def record(layer: int, head: int) -> HeadRecord:
    return HeadRecord.of(layer=layer, head=head, salient=(), descriptions=(), relations={})


def test_heads_are_paired_in_order() -> None:
    one = [record(0, 1), record(1, 0), record(2, 2)]
    other = [record(0, 0), record(0, 1), record(2, 2), record(3, 0)]
    found = [tuple(None if r is None else (r.layer, r.head) for r in pair) for pair in pairs(one, other)]
    here, there = None, None
    assert found == [
        (there, (0, 0)),
        ((0, 1), (0, 1)),
        ((1, 0), here),
        ((2, 2), (2, 2)),
        (there, (3, 0)),
    ]


def test_rounding_is_no_change(old: Path) -> None:
    with Catalogue(str(old)) as catalogue:
        before = pipeline.head_record(catalogue, MODEL.name, HeadId(0, 0))

    def changed(saliency: float, logit: float, *, reverse: bool = False) -> dict[str, Any]:
        row, *rest = before.salient
        target, *others = row.targets
        targets = [replace(target, logit=target.logit * logit), *others][:: -1 if reverse else 1]
        after = replace(row, saliency=row.saliency * saliency, targets=tuple(targets))
        return changes(before, before.model_copy(update={"salient": (after, *rest)}))

    assert changed(1 + 1e-5, 1 - 1e-5) == {}
    assert changed(1 + 1e-5, 1.5)["mapping"]["largest_change"] == pytest.approx(1 / 3, rel=1e-3)
    assert changed(1 + 1e-5, 1.5, reverse=True)["mapping"]["other_targets"] == 1


def test_words_rebuild_both_texts() -> None:
    cases = [
        ("the number after it", "the very number after"),
        ("", "a b"),
        ("a  b\nc", ""),
        ("same", "same"),
        ("x " * 3000, "y " * 3000),
    ]
    for before, after in cases:
        pieces = words(before, after)
        assert "".join(text for sign, text in pieces if sign in "=-") == before
        assert "".join(text for sign, text in pieces if sign in "=+") == after


def test_hostile_texts_do_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests import attacks

    attacks.attacked_catalogue(tmp_path / "a.db").close()
    with Catalogue(str(tmp_path / "b.db"), create=True) as other:
        extraction = other.begin_extraction(other.register_model(attacks.MODEL), {"s": 1}, {})
        for head in attacks.MODEL.heads:
            other.save_head(extraction, mapping(head))
    assert main(["diff", str(tmp_path / "a.db"), str(tmp_path / "b.db")]) == 0
    out = capsys.readouterr().out
    assert len(out) < 200_000, "long texts are cut"
    assert not [char for char in set(out) if not char.isprintable() and char != "\n"]


def test_asdict_of_differences_is_json(old: Path, new: Path) -> None:
    with Catalogue(str(old)) as one, Catalogue(str(new)) as other:
        json.dumps(asdict(pipeline.diff(one, other)), allow_nan=False)
