"""``headscribe relations`` and ``compare`` as a user runs them, on small models whose words we choose."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests import tiny

Run = Callable[..., "subprocess.CompletedProcess[str]"]
WORDS = [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(200)]


def word_tokenizer() -> Any:
    """A byte-level vocabulary in which each of our words, after a space, is one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: i for i, piece in enumerate([*alphabet, *(f"Ġ{word}" for word in WORDS)][:300])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.fixture(scope="module")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [
        tiny.save(tiny.tiny_model(kind), folder / f"tiny-{kind}", tokenizer=word_tokenizer())
        for kind in ("llama", "gpt2")
    ]


@pytest.fixture
def operations(tmp_path: Path) -> Path:
    folder = tmp_path / "operations"
    folder.mkdir()
    for name, shift in (("shift", 1), ("word_copying", 0), ("jump", 5)):
        pairs = [[WORDS[i], WORDS[(i + shift) % 40]] for i in range(40)]
        (folder / f"{name}.json").write_text(json.dumps(pairs))
    (folder / "few.json").write_text(json.dumps([[WORDS[0], WORDS[1]]] + [["never", "there"]] * 5))
    return folder


def test_scores_as_json_table_and_pictures(
    headscribe: Run, small_models: list[Path], operations: Path, tmp_path: Path
) -> None:
    pytest.importorskip("vl_convert", reason="needs Altair: pip install 'headscribe[plots]'")
    out, plots = tmp_path / "scores.json", tmp_path / "plots"
    done = headscribe("relations", small_models[0], "--operations", operations, "--json", out, "--plots", plots)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert set(found) == {"model", "operations"}
    assert set(found["operations"]) == {"shift", "word_copying", "jump", "few"}
    shift, few = found["operations"]["shift"], found["operations"]["few"]
    assert set(shift) == {"k", "pairs_used", "valid", "scores", "suppression", "seconds"}
    assert (shift["k"], shift["pairs_used"], shift["valid"]) == (10, 40, True)
    assert found["operations"]["word_copying"]["k"] == 1
    assert (few["pairs_used"], few["valid"], few["scores"]) == (1, False, [])
    assert [len(row) for row in shift["scores"]] == [4, 4, 4]
    for picture in ("shift", "word_copying", "strongest-operation", "categories-by-layer"):
        assert (plots / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((plots / "shift.csv").open()))
    assert {(row["layer"], row["head"], float(row["score"])) for row in rows} == {
        (str(layer), str(head), score) for layer, row in enumerate(shift["scores"]) for head, score in enumerate(row)
    }
    table = headscribe("relations", small_models[0], "--operations", operations, "--threshold", "0.05")
    assert "not valid for this model: under 30 pairs" in table.stdout
    headscribe("extract", small_models[0], "--no-figures")
    record = json.loads(headscribe("show", small_models[0], "1.2", "--json").stdout)
    assert record["relations"]["jump"]["score"] == found["operations"]["jump"]["scores"][1][2]


def test_options_are_other_runs_beside_the_standard_one(
    headscribe: Run, small_models: list[Path], operations: Path
) -> None:
    def scores(*options: object) -> Any:
        done = headscribe("relations", small_models[0], "--operations", operations, "--json", "--quiet", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["operations"]

    standard = scores()
    assert scores("--k", 40)["shift"]["k"] == 40
    plain = scores("--no-first-mlp")
    assert plain["shift"]["scores"][0] == standard["shift"]["scores"][0], "layer 0 reads embeddings anyway"
    assert plain["shift"]["scores"][1:] != standard["shift"]["scores"][1:]
    assert scores() == standard, "the standard run is as it was"


def test_words_of_several_tokens_count_by_the_first_on_request(
    headscribe: Run, small_models: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    (folder / "long.json").write_text(json.dumps([[f"{chr(97 + i % 26)}{i}xyz", "qqq"] for i in range(35)]))
    refused = headscribe("relations", small_models[0], "--operations", folder, "--json")
    assert refused.returncode == 0, "an operation without a pair that counts is a line of the table"
    found = json.loads(refused.stdout)["operations"]["long"]
    assert (found["valid"], found["pairs_used"], found["scores"]) == (False, 0, [])
    assert "under 30 pairs" in headscribe("relations", small_models[0], "--operations", folder).stdout
    allowed = headscribe("relations", small_models[0], "--operations", folder, "--json", "--both-first-tokens")
    assert allowed.returncode == 0, allowed.stderr
    assert json.loads(allowed.stdout)["operations"]["long"]["pairs_used"] >= 1


def test_bad_operations_are_named_and_the_others_run(
    headscribe: Run, small_models: list[Path], operations: Path, tmp_path: Path
) -> None:
    (operations / "broken.json").write_text('[["a", 1]]')
    done = headscribe("relations", small_models[0], "--operations", operations, "--json")
    assert done.returncode == 1
    assert 'broken.json: entry 1, ["a", 1], is not two strings' in done.stderr
    assert json.loads(done.stdout)["operations"]["shift"]["valid"]
    for arguments, message in (
        (["--operations", tmp_path / "none"], "no directory of operations"),
        (["--k", "0"], "--k"),
        (["--threshold", "2"], "--threshold"),
    ):
        done = headscribe("relations", small_models[0], *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert message in done.stderr


def test_compare(headscribe: Run, small_models: list[Path], operations: Path, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert", reason="needs Altair: pip install 'headscribe[plots]'")
    done = headscribe("compare", *small_models, "--operations", operations, "--json", "--plots", tmp_path / "p")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["models"] == ["tiny-llama", "tiny-gpt2"]
    assert {row["operation"] for row in found["universality"]} == {"shift", "word_copying", "jump"}
    assert found["gqa_bias"]["tiny-gpt2"] is None
    assert len(found["correlations"]) == 1
    assert {path.name for path in (tmp_path / "p").iterdir()} == {
        f"{name}.{form}" for name in ("universality", "relative-depth") for form in ("png", "csv")
    }
    shown = headscribe("compare", *small_models, "--operations", operations)
    assert "Heads that implement each operation" in shown.stdout
    alone = headscribe("compare", small_models[0])
    assert (alone.returncode, "two models or more" in alone.stderr) == (2, True)
    none = headscribe("compare", *small_models)
    assert none.returncode == 2
    assert "no operation is valid for" in none.stderr
