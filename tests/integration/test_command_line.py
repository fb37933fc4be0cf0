"""The command as a user runs it, as a process of its own: results, exit codes, one clear line for a mistake."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fake_llm import Action, FakeLLM, completion

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_from_weights_to_a_described_catalogue(
    headscribe: Run, tiny_llama: Path, fake_llm: FakeLLM, tmp_path: Path
) -> None:
    extracted = headscribe("extract", tiny_llama, "--reading", "paper")
    assert (extracted.returncode, extracted.stdout.split("(")[1]) == (0, "12 new)\n")
    again = headscribe("extract", tiny_llama, "--heads", "1-2")
    assert "8 heads" in again.stdout
    assert "all there already" in again.stdout

    refuse = Action(body=completion(None, refusal="no"))
    fake_llm.misbehave = lambda call: refuse if call.number == 0 else None
    described = headscribe(
        "describe",
        tiny_llama,
        "--llm",
        "openai:f",
        "--concurrency",
        1,
        "--heads",
        "0.0,0.1",
        "--placebos",
        0,
        **fake_llm.environment,
    )
    assert described.returncode == 1
    assert "1 heads failed: 0.0 (refusal)" in described.stderr
    assert "failed: refusal" in described.stdout
    assert "tokens like" in described.stdout

    shown = json.loads(headscribe("show", tiny_llama, "0.1", "--json").stdout)
    assert list(shown)[:5] == ["model", "layer", "head", "card", "salient"]
    assert (shown["model"], shown["layer"], shown["head"]) == ("tiny-llama", 0, 1)
    assert len(shown["salient"]) == 30
    assert set(shown["salient"][0]) == {"token_id", "token", "saliency", "targets", "suppressed"}
    assert set(shown["salient"][0]["targets"][0]) == {"token_id", "token", "logit"}
    contract = {"llm", "prompt", "inputs", "pattern", "unclear", "reasoning", "scores"}
    assert contract <= set(shown["descriptions"][0])
    assert shown["provenance"]["extraction"]["dtype"] == "float32"

    table = headscribe("show", "tiny-llama")
    assert table.stdout.count("→") == 12
    assert headscribe("export", tiny_llama, "-f", "jsonl", "-o", tmp_path / "heads.jsonl").returncode == 0
    lines = (tmp_path / "heads.jsonl").read_text().splitlines()
    assert [json.loads(line)["layer"] for line in lines] == sorted([0, 1, 2] * 4)
    assert json.loads(lines[1]) == shown
    secret = b"very-secret"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 2
    assert not any(secret in path.read_bytes() for path in written), "the key is nowhere"
    assert "very-secret" not in described.stdout + described.stderr


def test_json_goes_where_it_is_asked_to(headscribe: Run, tiny_llama: Path, tmp_path: Path) -> None:
    headscribe("extract", tiny_llama, "--heads", "2.3", "--json", tmp_path / "out.json", "--quiet")
    (record,) = json.loads((tmp_path / "out.json").read_text())
    assert (record["layer"], record["head"]) == (2, 3)
    flagged = headscribe("show", "--json", "--catalog", tmp_path / "catalogue.db", tiny_llama, "2.3")
    assert json.loads(flagged.stdout) == record
    listed = json.loads(headscribe("models", "--json").stdout)
    assert {"family": "llama", "gguf": ["llama", "smollm3"]}.items() <= listed[0].items()
    assert any("mamba" in row["model_types"] for row in listed if "refused" in row)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["describe", "MODEL"],
            "no LLM is named: use --llm with openai:MODEL with OPENAI_API_KEY.*gguf:FILE.*gguf:demo",
        ),
        (["describe", "MODEL", "--llm", "gpt"], "'gpt' names no LLM"),
        (["describe", "MODEL", "--llm", "openai:gpt"], "OPENAI_API_KEY is not set"),
        (["describe", "MODEL", "--llm", "gguf:nowhere.gguf"], "no GGUF file 'nowhere.gguf'"),
        (["describe", "MODEL", "--llm", "gguf:MODEL/config.json"], "is not a GGUF file"),
        (["describe", "MODEL", "--llm", "gguf:demo", "--prompt", "none"], "no prompt template 'none'"),
        (["describe", "MODEL", "--llm", "gguf:~nobody/at.gguf"], "no GGUF file '~nobody/at.gguf'"),
        (
            ["describe", "MODEL", "--llm", "gguf:demo", "--prompt", "~nobody/at"],
            "the prompt template '~nobody/at' cannot be",
        ),
        (["extract", "~nobody/at"], "no model at '~nobody/at'"),
        (["extract", "MODEL", "--tokens", "~nobody/at"], "--tokens: '~nobody/at' cannot be read"),
        (["extract", "nowhere/at/all"], "no model at 'nowhere/at/all'"),
        (["extract", "MODEL", "--heads", "3.0"], "head 3.0 is not in the model"),
        (["extract", "MODEL", "--heads", "x"], "'x' selects no heads"),
        (["extract", "MODEL", "--dtype", "float16"], "cannot compute in 'float16'"),
        (["extract", "MODEL", "--device", "tpu"], "no device 'tpu' here; there is: cpu"),
        (["extract"], "Missing argument 'MODEL...' .see headscribe extract --help"),
        (["extract", "MODEL", "--colour"], "No such option: --colour .see headscribe extract --help"),
        (["paint"], "No such command 'paint'"),
        (["show", "MODEL", "0.0"], "there is no catalogue"),
        (["export", "MODEL", "-f", "pdf", "-o", "x"], "'pdf' is not one of"),
        (["extract", "MODEL", "--catalog", "MODEL/config.json"], "not a catalogue but some other file"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    arguments: list[str], message: str, headscribe: Run, tiny_llama: Path, tmp_path: Path
) -> None:
    done = headscribe(*[argument.replace("MODEL", str(tiny_llama)) for argument in arguments])
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_after_extraction_mistakes_name_what_is_there(headscribe: Run, tiny_llama: Path, tmp_path: Path) -> None:
    headscribe("extract", tiny_llama, "--heads", "0")
    for arguments, message in (
        (["show", "other"], "holds no model 'other' (it holds: tiny-llama)"),
        (["show", tiny_llama, "1.0"], "head 1.0 of tiny-llama is not in the catalogue yet"),
        (["show", tiny_llama, "9.0"], "layers go from 0 to 2"),
        (["show", tiny_llama, "9"], "'9' is not a head"),
        (["export", tiny_llama, "-f", "csv", "-o", tmp_path], "is a directory"),
        (["export", tiny_llama, "-f", "csv", "-o", tmp_path / "no" / "x.csv"], "there is no directory"),
    ):
        done = headscribe(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert message in done.stderr


def test_exports_are_safe_for_what_reads_them(
    headscribe: Run, tiny_llama: Path, fake_llm: FakeLLM, tmp_path: Path
) -> None:
    """Formulas, HTML, Markdown and control characters from an LLM stay text."""
    attack = {
        "reasoning": "r",
        "kind": "class",
        "groups": [],
        "inputs": '=HYPERLINK("x")',
        "pattern": "<script>x</script> **b** | \u202e [a](b) \\u0000",
    }
    fake_llm.misbehave = lambda call: Action(body=completion(json.dumps(attack)))
    headscribe("describe", tiny_llama, "--llm", "openai:f", "--heads", "0.0", "--placebos", 0, **fake_llm.environment)
    for form in ("csv", "markdown", "html", "parquet"):
        assert headscribe("export", "tiny-llama", "-f", form, "-o", tmp_path / f"a.{form}").returncode == 0
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["inputs"] == '\'=HYPERLINK("x")'
    assert (row["layer"], row["unclear"], row["failure"]) == ("0", "False", "")
    markdown = (tmp_path / "a.markdown").read_text()
    assert "<script>" not in markdown
    assert "**b**" not in markdown
    assert "\u202e" not in markdown
    assert "<script>x" not in (tmp_path / "a.html").read_text()
    assert headscribe("show", tiny_llama, "0.0").stdout.count("\u202e") == 0


def test_a_closed_pipe_is_no_error(tmp_path: Path, tiny_llama: Path, headscribe: Run) -> None:
    headscribe("extract", tiny_llama, "--no-figures")
    command = f"{sys.executable} -m app show {tiny_llama} --json | head -1"
    environment = {**os.environ, "HEADSCRIBE_CATALOG": str(tmp_path / "catalogue.db")}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[\n", "")


def test_a_hub_id_is_read_from_the_hub_cache(headscribe: Run, tiny_llama: Path, tmp_path: Path) -> None:
    """As left by an earlier download; no network is asked."""
    repository = tmp_path / "hub" / "models--someone--tiny"
    snapshot = repository / "snapshots" / ("a" * 40)
    shutil.copytree(tiny_llama, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    environment = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = headscribe("extract", "someone/tiny", "--heads", "0.0", **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("someone/tiny: 1 heads")
    assert "someone/tiny 0.0" in headscribe("show", "someone/tiny", "0.0", **environment).stdout
    missing = headscribe("extract", "someone/else", **environment)
    assert missing.returncode == 2
    assert "cannot be had from the hub" in missing.stderr
