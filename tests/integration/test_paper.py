"""``headscribe paper`` on a small model that has learnt two tasks: the folder, whole, however often a run is killed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from app.main import main
from app.paper import folder as paper_folder
from benchmarks import paper_gpu
from describe.catalog import Catalogue
from describe.llm import Request, parse_llm
from describe.pipeline.paper.experiments import chosen_experiments, paper
from describe.pipeline.paper.records import Findings, Subject
from tests.integration.test_checks_command import able_model
from tests.integration.test_relations_command import WORDS

QUICK = "static,correlation,causal,multi-token,known,universality"
"""All but the descriptions, whose random heads take most of the time."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, operations (one without any pair that counts), and tasks."""
    place = tmp_path_factory.mktemp("paper")
    (place / "operations").mkdir()
    for name, shift in (("shift", 1), ("jump", 5)):
        pairs = [[WORDS[i], WORDS[(i + shift) % 40]] for i in range(40)]
        long = [[f"{WORDS[i]} {WORDS[i + 1]}", WORDS[(i + shift) % 35]] for i in range(35)]
        (place / "operations" / f"{name}.json").write_text(json.dumps(pairs + (long if name == "jump" else [])))
    (place / "operations" / "never.json").write_text(json.dumps([["not there", "nor this"]]))
    (place / "tasks.json").write_text(json.dumps({"shift": "waa <X> wac", "jump": "wab <X> wac"}))
    able_model(place / "able", place / "operations")
    return place


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_folder, "drawable", lambda: False)


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open()))


def test_the_command_writes_a_table_of_each_experiment(
    place: Path, tmp_path: Path, no_pictures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out, catalogue = tmp_path / "out", tmp_path / "c.db"
    arguments = ["paper", place / "able", "--operations", place / "operations", "--tasks", place / "tasks.json"]
    arguments += ["--experiments", QUICK, "--catalog", catalogue, "-o", out]
    assert main([str(argument) for argument in arguments]) == 0
    told = capsys.readouterr()
    assert "paper" in told.err
    assert str(out / "report.html") in told.out
    static = {row["operation"]: row for row in rows(out / "static.csv")}
    assert static["never"]["pairs used"] == "0"
    assert static["shift"]["k"] == "10"
    causal, worst = rows(out / "causal.csv"), rows(out / "causal-worst.csv")
    assert {row["operation"] for row in causal} == {"shift", "jump"}
    assert all(float(a["-TR"]) >= float(b["-TR"]) for a, b in zip(causal, worst, strict=True))
    assert [row["operation"] for row in rows(out / "multi-token.csv")] == ["jump"]
    assert rows(out / "correlation-relation.csv")[-1]["operation"] == "median"
    page = (out / "report.html").read_text()
    assert "0 of its pairs are single tokens" in page
    assert "none of the paper" in page
    with Catalogue(str(catalogue)) as opened:
        _, info = opened.find_model("able")
        assert len(opened.models()) == 1
        assert info.n_layers == 3
    (out / "own.txt").write_text("somebody's")
    assert main([str(argument) for argument in arguments]) == 2
    assert (out / "own.txt").exists(), "a folder with somebody's file is left alone"
    assert main(["paper", str(place / "able"), "--experiments", "nothing"]) == 2


def test_a_run_killed_ten_times_gives_the_same_folder(place: Path, tmp_path: Path, no_pictures: None) -> None:
    """Broken off between any two steps, on one catalogue; against a run that nobody disturbs."""

    class Killed(BaseException):
        pass

    def run(name: str, steps: int | None) -> list[Findings]:
        left = iter(range(steps)) if steps is not None else None

        def progress(stage: str, done: int, total: int) -> None:
            if left is not None and next(left, None) is None:
                raise Killed

        with Catalogue(str(tmp_path / f"{name}.db"), create=True) as catalogue:
            subject = Subject(
                catalogue=catalogue,
                model=str(place / "able"),
                llm=parse_llm("statistics"),
                request=Request(),
                operations=place / "operations",
                tasks=place / "tasks.json",
                progress=progress,
            )
            found = list(paper(subject, chosen_experiments(QUICK)))
            _, info = catalogue.find_model("able")
            paper_folder.write_folder(tmp_path / name, info, found, subject)
        return found

    for steps in (0, 1, 2, 3, 4, 4, 5, 6, 7, 7):
        with pytest.raises(Killed):
            run("killed", steps)
        assert not (tmp_path / "killed").exists()
    run("killed", None)
    run("whole", None)
    assert _contents(tmp_path / "killed") == _contents(tmp_path / "whole")


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_benchmark_writes_what_came_out_in_time(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    arguments = [str(place / "able"), "--device", "cpu", "--catalog", str(tmp_path / "c.db"), "--json", str(out)]
    arguments += ["--experiments", "static,causal", "--operations", str(place / "operations")]
    paper_gpu.main([*arguments, "--minutes", "0"])
    found = json.loads(out.read_text())
    assert (found["cut_off"], found["experiments"]) == ("static", {})
    paper_gpu.main([*arguments, "--minutes", "5", "--dtype", "bfloat16"])
    found = json.loads(out.read_text())
    assert found["cut_off"] is None
    assert set(found["experiments"]) == {"static", "causal"}
    assert found["experiments"]["static"]["tables"]["static"][0]["operation"] == "jump"
    assert set(found["seconds"]) == {"static", "causal"}
