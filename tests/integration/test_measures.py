"""A measure is one file and one row: with these it is in the dry run, paid for, reported, charted and exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.main import main
from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.llm import Request, parse_llm
from describe.measures import MEASURES
from describe.records import Description
from tests import third_measure
from tests.fake_llm import FakeLLM
from tests.integration.test_scoring import judged


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch, fake_llm: FakeLLM) -> str:
    """The name of a measure that is registered."""
    for name, value in fake_llm.environment.items():
        monkeypatch.setenv(name, value)
    fake_llm.misbehave = lambda call: judged(call, lambda source, targets: 0.9)
    monkeypatch.setitem(MEASURES, third_measure.ROW.name, third_measure.ROW)
    return third_measure.ROW.name


def test_a_measure_of_ones_own(
    third: str, tmp_path: Path, tiny_llama: Path, fake_llm: FakeLLM, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "c.db")
    with Catalogue(place, create=True) as catalogue:
        own = pipeline.extract(catalogue, str(tiny_llama), heads="0", device="cpu").extraction_id
        author = catalogue.register_labeller("oracle", "p-1", "", {})
        for head in sorted(catalogue.saved_heads(own)):
            catalogue.save_description(own, head, author, Description("words", "does"), {})
    score = ["score", str(tiny_llama), "--catalog", place, "--judge", "openai:judge", "--measure", third]
    assert main([*score, "--dry-run"]) == 0
    assert "calls    4" in capsys.readouterr().out
    assert fake_llm.calls == []
    assert main([*score, "--plots", str(tmp_path / "plots")]) == 0
    shown = capsys.readouterr().out
    assert "0.500 [0.500, 0.500] right" in shown
    assert len(fake_llm.calls) == 4
    assert main([*score, "-q"]) == 0
    assert len(fake_llm.calls) == 4, "nothing is paid twice"
    assert [path.suffix for path in sorted((tmp_path / "plots").iterdir())] == [".csv", ".png"]
    with Catalogue(place) as catalogue:
        (row,) = pipeline.score_report(catalogue, str(tiny_llama))
        assert (row["measure"], row["scored"], row["accuracy"]["value"]) == (third, 4, 0.5)
        for form in ("jsonl", "csv", "html"):
            pipeline.export(catalogue, [str(tiny_llama)], form, tmp_path / f"heads.{form}")
    record = json.loads((tmp_path / "heads.jsonl").read_text().splitlines()[0])
    (score_of,) = record["descriptions"][0]["scores"][third].values()
    assert score_of["value"] == 0.5
    assert third in (tmp_path / "heads.csv").read_text(), "the score to show first, where there is no other"
    with Catalogue(str(tmp_path / "again.db"), create=True) as catalogue:
        pipeline.import_heads(catalogue, tmp_path / "heads.jsonl")
        (row,) = pipeline.score_report(
            catalogue, json.loads((tmp_path / "heads.jsonl").read_text().split("\n")[0])["model"]
        )
        assert row["accuracy"]["value"] == 0.5


def test_a_measure_that_is_not_there_is_one_line(tmp_path: Path, tiny_llama: Path) -> None:
    line = "there is no measure 'taste'; there are: write, detection, relation, masked, inputs, likelihood"
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue, pytest.raises(InputError, match=line):
        pipeline.score(catalogue, str(tiny_llama), parse_llm("openai:x"), request=Request(), measure="taste")
