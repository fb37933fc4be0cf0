"""``headscribe correlate`` and ``ablate`` from the command line on small random models: tables, resuming, bad input."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import pearsonr
from transformers import AutoModelForCausalLM

from app.main import main
from describe.records import HeadId
from tests import inference_oracle, tiny
from tests.able import TASKS
from tests.integration.test_relations_command import WORDS, word_tokenizer
from tests.unit.test_removal import literal
from tests.warm import Process

Run = Callable[..., "subprocess.CompletedProcess[str]"]
TEMPLATE = "waa <X> wab wac"


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    return tiny.save(tiny.tiny_model("llama"), folder / "tiny-llama", tokenizer=word_tokenizer())


@pytest.fixture
def headscribe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``headscribe ARGUMENTS`` in this process, which has loaded what runs models already."""
    monkeypatch.setenv("HEADSCRIBE_CATALOG", str(tmp_path / "catalogue.db"))

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, told.out, told.err)

    return run


@pytest.fixture
def operations(tmp_path: Path) -> Path:
    """Operations of words of one token, and one whose sources have two."""
    folder = tmp_path / "operations"
    folder.mkdir()
    for name, shift in (("shift", 1), ("jump", 5), ("word_copying", 0)):
        pairs = [[WORDS[i], WORDS[(i + shift) % 40]] for i in range(40)]
        long = [[f"{WORDS[i]} {WORDS[i + 1]}", WORDS[(i + shift) % 35]] for i in range(35)]
        (folder / f"{name}.json").write_text(json.dumps(pairs + (long if name == "jump" else [])))
    return folder


def test_correlations_are_those_of_forced_runs(
    headscribe: Run, small_model: Path, operations: Path, tmp_path: Path
) -> None:
    """From words in a file to r in a table: against the attention pattern really forced, full top-k, scipy."""
    templates = tmp_path / "templates.txt"
    templates.write_text(f"{TEMPLATE}\nwad wae <X>\n")
    arguments = ["correlate", small_model, "--operations", operations, "--templates", templates, "--multi-token"]
    tables = ["--csv", tmp_path / "r.csv", "--latex", tmp_path / "r.tex"]
    done = headscribe(*arguments, "--json", "--quiet", *tables)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["templates"] == [TEMPLATE, "wad wae <X>"]
    rows = {(row["operation"], row["side"], row["sources"]): row for row in found["correlations"]}
    assert len(rows) == 2 * 3 + 2
    static = json.loads(headscribe("relations", small_model, "--operations", operations, "--json", "--quiet").stdout)
    model = AutoModelForCausalLM.from_pretrained(small_model, dtype=torch.float32).double()
    ids = {piece.removeprefix("Ġ"): token for piece, token in word_tokenizer().get_vocab().items()}

    encode = word_tokenizer().encode

    entries = json.loads((operations / "jump.json").read_text())
    for sources, chosen in (("single", entries[:40]), ("multi", entries[40:])):
        pairs = [(i, ids[target]) for i, (_, target) in enumerate(chosen)]
        dynamic: dict[str, list[float]] = {"without": [], "with": []}
        for before, after in (("waa", " wab wac"), ("wad wae", "")):
            entities = [[ids[s]] if sources == "single" else encode(f" {s}") for s, _ in chosen]
            prompts = [tuple(encode(before) + entity + (encode(after) if after else [])) for entity in entities]
            at = [len(encode(before)) + len(entity) - 1 for entity in entities]
            places = zip(prompts, at, strict=True)
            forced = torch.stack([inference_oracle.forced_reads(model, *prompt) for prompt in places])
            read = torch.stack([inference_oracle.reads(model, p) for p in prompts])
            unembed = model.get_output_embeddings().weight.data
            for kind, z in (("without", forced), ("with", read)):
                dynamic[kind] += [n for row in inference_oracle.counts(model, z, unembed, pairs, 10)[0] for n in row]
        flat = [score for row in static["operations"]["jump"]["scores"] for score in row]
        row = rows["jump", "relation", sources]
        assert row["pairs"] == len(chosen)
        assert row["points"] == len(flat) * 2
        assert row["largest_static_score"] == max(flat)
        for kind, values in dynamic.items():
            expected = pearsonr(flat * 2, values)
            assert row[f"r_{kind}_context"] == pytest.approx(expected.statistic)
            assert row[f"p_{kind}_context"] == pytest.approx(expected.pvalue)
    written = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert [float(r["r_without_context"] or "nan") for r in written] == pytest.approx(
        [float("nan") if r["r_without_context"] is None else r["r_without_context"] for r in found["correlations"]],
        nan_ok=True,
    )
    latex = (tmp_path / "r.tex").read_text()
    assert latex.count("\\\\") == 1 + len(written)
    assert "word copying" in latex
    table = headscribe(*arguments)
    assert "sources of several tokens" in table.stdout
    some = json.loads(headscribe(*arguments, "--heads", "1-2", "--pairs", 30, "--json", "--quiet").stdout)
    assert {(row["points"], row["pairs"]) for row in some["correlations"]} == {(16, 30)}


def test_described_heads_are_checked_and_shown_everywhere(headscribe: Run, small_model: Path, tmp_path: Path) -> None:
    assert headscribe("extract", small_model, "--no-figures").returncode == 0
    refused = headscribe("correlate", small_model, "--heads", "1.2", "--described")
    assert (refused.returncode, "no" in refused.stderr, refused.stderr.count("\n")) == (2, True, 1)
    assert headscribe("describe", small_model, "--llm", "statistics", "--heads", "1.2,2.0").returncode == 0
    done = headscribe("correlate", small_model, "--described", "--heads", "1", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["heads"]
    assert (row["head"], row["pairs"], len(row["templates"])) == ("1.2", 300, 4)
    assert row["of_source"] == pytest.approx(sum(t["of_source"] for t in row["templates"]) / 4)
    record = json.loads(headscribe("show", small_model, "1.2", "--json").stdout)
    assert record["inference"]["in_context"] == row["in_context"]
    assert record["inference"]["settings"]["dtype"] == "float32"
    assert json.loads(headscribe("show", small_model, "2.0", "--json").stdout)["inference"] is None
    assert f"{row['of_source']:.2f} without context" in headscribe("show", small_model, "1.2").stdout
    for form in ("jsonl", "csv", "markdown", "html"):
        assert headscribe("export", small_model, "-f", form, "-o", tmp_path / form).returncode == 0
    told = {(r["layer"], r["head"]): r for r in csv.DictReader((tmp_path / "csv").open())}
    assert float(told["1", "2"]["mappings_without_context"]) == row["of_source"]
    assert told["2", "0"]["mappings_without_context"] == ""
    assert "Mappings written in prompts" in (tmp_path / "markdown").read_text()


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.json"
    path.write_text(
        json.dumps({"shift": {"text": TEMPLATE, "shots": 2}, "jump": TEMPLATE, "word_copying": "waa <X> waa"})
    )
    return path


def test_ablation_of_tasks_that_the_model_cannot_do_is_refused_with_the_reason(
    headscribe: Run, small_model: Path, operations: Path, tasks: Path
) -> None:
    (operations / "few.json").write_text(json.dumps([[WORDS[0], WORDS[1]]]))
    (operations / "untold.json").write_text(json.dumps([[WORDS[i], WORDS[i + 3]] for i in range(40)]))
    done = headscribe("ablate", small_model, "--operations", operations, "--templates", tasks, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ablations"] == []
    assert found["not_testable"]["untold"] == "it has no task"
    assert "under 30 pairs" in found["not_testable"]["few"]
    assert "base accuracy" in found["not_testable"]["shift"]


def test_ablation_resumes_after_a_kill_and_equals_whole_runs(
    headscribe: Run, start: Callable[..., Process], operations: Path, tmp_path: Path, able: Path
) -> None:
    model = able
    (operations / "word_copying.json").unlink()
    tasks = tmp_path / "tasks.json"
    tasks.write_text(json.dumps(TASKS))
    arguments = ["ablate", model, "--operations", operations, "--templates", tasks, "--seeds", 2]
    place = tmp_path / "catalogue.db"
    environment = {**os.environ, "HEADSCRIBE_CATALOG": str(place)}
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    process = start(*arguments, "--quiet", env=environment, **quiet)
    deadline = time.monotonic() + 120
    while _ablated(place) < 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = _ablated(place)
    assert kept >= 1
    plots = pytest.importorskip("vl_convert", reason="needs Altair") and tmp_path / "plots"
    done = headscribe(*arguments, "--json", "--quiet", "--plots", plots)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {row["operation"] for row in found["ablations"]} == {"shift", "jump"}
    assert _ablated(place) == 2
    assert {path.suffix for path in plots.iterdir()} == {".png", ".csv"}
    again = headscribe(*arguments, "--json", "--quiet")
    assert json.loads(again.stdout) == found
    running = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    ids = {piece.removeprefix("Ġ"): token for piece, token in word_tokenizer().get_vocab().items()}
    pairs = json.loads((operations / "shift.json").read_text())
    start, end = (tuple(word_tokenizer().encode(text)) for text in ("waa", " wac"))
    heads = [tuple(map(int, name.split("."))) for name in found["heads"]["shift"]]
    curve = [point for point in found["curves"]["shift"] if point["kind"] == "heads of the operation"]
    assert [point["removed"] for point in curve] == list(range(len(heads) + 1))
    for point in curve:
        removed: Any = heads[: point["removed"]]
        said = [inference_oracle.prediction(running, (*start, ids[s], *end), removed) for s, _ in pairs]
        right = sum(token == ids[target] for token, (_, target) in zip(said, pairs, strict=True))
        assert point["accuracy"] == pytest.approx(right / 40)


def _ablated(place: Path) -> int:
    if not place.exists():
        return 0
    with closing(sqlite3.connect(place)) as catalogue:
        try:
            return int(catalogue.execute("SELECT count(*) FROM operation_check WHERE part='ablation'").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


@pytest.mark.parametrize(("heads", "at"), [("2.1", "last"), ("2.1,0.3", "all")])
def test_named_heads_are_removed_as_by_whole_runs(
    headscribe: Run, small_model: Path, operations: Path, tasks: Path, tmp_path: Path, heads: str, at: str
) -> None:
    """One head, and several at all positions: the losses of a task and of text."""
    words = [f" {WORDS[i * i % 40]}" for i in range(200)]
    (tmp_path / "notes.txt").write_text("".join(words))
    arguments = ["ablate", small_model, "--heads", heads, "--at", at, "--operations", operations, "--only", "jump"]
    arguments += ["--templates", tasks, "--text", tmp_path / "notes.txt", "--seeds", 2, "--json", "--quiet"]
    done = headscribe(*arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (",".join(sorted(found["heads"], reverse=True)), found["not_testable"]) == (heads, {})
    effects = {row["on"]: row for row in found["effects"]}
    assert list(effects) == ["jump", "text"]
    model = AutoModelForCausalLM.from_pretrained(small_model, dtype=torch.float32).eval()
    ids = {piece.removeprefix("Ġ"): token for piece, token in word_tokenizer().get_vocab().items()}
    removed = {HeadId(*map(int, name.split("."))): torch.zeros(64, tiny.D // tiny.HEADS) for name in found["heads"]}

    def loss(prompts: list[tuple[int, ...]], following: list[list[int]], without: dict[HeadId, torch.Tensor]) -> float:
        """Mean -log of the share of what follows the last positions, prompt by prompt."""
        shares = []
        for prompt, wanted in zip(prompts, following, strict=True):
            zeros = {head: zero[: len(prompt)] for head, zero in without.items()}
            rows = literal(model, prompt, zeros, at)[-len(wanted) :].log_softmax(-1)
            shares.append(rows[torch.arange(len(wanted)), torch.tensor(wanted)])
        return -float(torch.cat(shares).mean())

    start, end = (tuple(word_tokenizer().encode(text)) for text in TEMPLATE.split(" <X>"))
    pairs = json.loads((operations / "jump.json").read_text())[:40]
    task = [(*start, ids[source], *end) for source, _ in pairs], [[ids[target]] for _, target in pairs]
    tokens = word_tokenizer().encode("".join(words))
    pieces = [tokens[i : i + 65] for i in range(0, len(tokens) - 64, 65)]
    assert len(pieces) == 12
    last = -1 if at == "last" else 1
    text = [tuple(piece[:-1]) for piece in pieces], [piece[last:] for piece in pieces]
    for name, (prompts, following) in (("jump", task), ("text", text)):
        row = effects[name]
        assert row["prompts"] == len(prompts)
        assert row["base_loss"] == pytest.approx(loss(prompts, following, {}), rel=1e-5)
        assert row["loss"] == pytest.approx(loss(prompts, following, removed), rel=1e-5)
        assert row["loss"] != row["base_loss"]
        assert None not in (row["random_loss"], row["direct_loss"])
    assert json.loads(headscribe(*arguments).stdout) == found
    assert f"without {', '.join(found['heads'])}" in headscribe(*arguments[:-2]).stdout


def test_what_cannot_be_used_is_one_line(headscribe: Run, small_model: Path, operations: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_text("no place for a word\n")
    alone = tmp_path / "alone.txt"
    alone.write_text(f" {WORDS[0]}" * 20)
    broken = tmp_path / "broken.json"
    broken.write_text('{"shift": {"text": "<X>", "shots": "many"}}')
    for arguments, message in (
        (["correlate", small_model, "--templates", bad], "must hold <X> once"),
        (["correlate", small_model, "--templates", tmp_path / "none"], "cannot be read"),
        (["correlate", small_model, "--pairs", 3], "--pairs must be at least 30"),
        (["correlate", small_model, "--dtype", "int8"], "cannot run a model in 'int8'"),
        (["correlate", small_model, "--described", "--multi-token"], "leave out the other options"),
        (["ablate", small_model, "--operations", operations, "--templates", broken], "the task of 'shift'"),
        (["ablate", small_model, "--operations", operations, "--only", "nothing"], "no operation 'nothing'"),
        (["ablate", small_model, "--seeds", 0], "1 seed"),
        (["ablate", small_model, "--heads", "9.9"], "head 9.9 is not in the model"),
        (["ablate", small_model, "--heads", "0.1", "--profile", "paper"], "leave out what chooses them"),
        (["ablate", small_model, "--heads", "0.1", "--by", "nothing"], "use zero, mean or resample"),
        (["ablate", small_model, "--heads", "0.1", "--prompts", 0], "at least 1 prompt and 1 seed"),
        (["ablate", small_model, "--heads", "0-1"], "at most half of the heads"),
        (["ablate", small_model, "--text", bad], "--text goes with --heads"),
        (["ablate", small_model, "--heads", "0.1", "--by", "resample", "--text", alone], "on a text of one piece"),
    ):
        done = headscribe(*arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert message in done.stderr
