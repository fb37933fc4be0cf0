"""``headscribe paper`` on a small model that has learnt two tasks: the folder, whole, however often a run is killed."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from app.main import main
from app.paper import folder as paper_folder
from benchmarks import paper_gpu
from describe.catalog import Catalogue
from tests.able import TASKS
from tests.integration.test_relations_command import WORDS
from tests.warm import Process

QUICK = "static,correlation,causal,multi-token,known,universality"
"""All but the descriptions, whose random heads take most of the time."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Operations (one without any pair that counts), and tasks."""
    place = tmp_path_factory.mktemp("paper")
    (place / "operations").mkdir()
    for name, shift in (("shift", 1), ("jump", 5)):
        pairs = [[WORDS[i], WORDS[(i + shift) % 40]] for i in range(40)]
        long = [[f"{WORDS[i]} {WORDS[i + 1]}", WORDS[(i + shift) % 35]] for i in range(35)]
        (place / "operations" / f"{name}.json").write_text(json.dumps(pairs + (long if name == "jump" else [])))
    (place / "operations" / "never.json").write_text(json.dumps([["not there", "nor this"]]))
    (place / "tasks.json").write_text(json.dumps(TASKS))
    return place


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_folder, "drawable", lambda: False)


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open()))


def test_the_command_writes_a_table_of_each_experiment(
    place: Path, able: Path, tmp_path: Path, no_pictures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out, catalogue = tmp_path / "out", tmp_path / "c.db"
    arguments = ["paper", able, "--operations", place / "operations", "--tasks", place / "tasks.json"]
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
    for wrong in (["--experiments", "nothing"], ["--tasks", "none"], ["--dtype", "int3"], ["--operations", "none"]):
        capsys.readouterr()
        assert main(["paper", "no model is looked for", "--catalog", str(catalogue), *wrong]) == 2
        assert wrong[1] in capsys.readouterr().err, "told before anything is computed"


KILLED = """
import os, signal, sys
from app import terminal
from app.main import main
from app.paper import folder

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def step(*_):
    if next(left, None) is None:
        kill()

folder.drawable = lambda: False
where, *arguments = sys.argv[1:]
left = iter(range(int(where))) if where.isdigit() else iter(int, 1)
if where == "writing":
    folder._document = kill
with terminal.watched_by(step):
    sys.exit(main(arguments))
"""
"""``headscribe ARGUMENTS``, killed by itself after so many steps of its progress, or among the files of its folder."""


def test_a_run_killed_ten_times_gives_the_same_folder(
    place: Path, able: Path, tmp_path: Path, start: Callable[..., Process]
) -> None:
    """With SIGKILL, on one catalogue; against a run that nobody disturbs."""

    def run(name: str, where: int | str) -> int:
        arguments = ["paper", able, "--operations", place / "operations", "--tasks", place / "tasks.json"]
        arguments += ["--experiments", QUICK, "--catalog", tmp_path / f"{name}.db", "-o", tmp_path / name, "--quiet"]
        return start("-c", KILLED, where, *arguments).wait(120)

    for where in (1, 2, 3, 4, 5, 6, 6, 6, 6, "writing"):
        assert run("killed", where) == -signal.SIGKILL, f"the run was whole before step {where}"
        assert not (tmp_path / "killed").exists()
    assert [run("killed", "never"), run("whole", "never")] == [0, 0]
    assert _contents(tmp_path / "killed") == _contents(tmp_path / "whole")
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"killed", "whole"}, "nothing half-written stays"


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_benchmark_writes_what_came_out_in_time(place: Path, able: Path, tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    arguments = [str(able), "--device", "cpu", "--catalog", str(tmp_path / "c.db"), "--json", str(out)]
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
