"""``headscribe describe --llm statistics`` from the command line to the catalogue, the terminal and the page."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.heads import head_records

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def demo_heads(demo_catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All heads of `demo`, described by statistics, by name."""
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.llm import Request, parse_llm

    where = shutil.copy(demo_catalogue, tmp_path_factory.mktemp("statistics") / "c.db")
    with Catalogue(str(where)) as catalogue:
        result = pipeline.describe(catalogue, "demo", parse_llm("statistics"), request=Request(), device="cpu")
        assert (result.new, len(result.heads), result.missing, result.failures) == (0, 270, [], {})
        records = head_records(catalogue, result.model, result.extraction_id)
        return {f"{record['layer']}.{record['head']}": record for record in records}


@pytest.mark.parametrize(
    ("head", "inputs", "patterns"),
    [
        ("25.0", "plural nouns", ['" them"', "pronouns"]),
        ("16.8", "Unclear", ["outputs are often past-tense verbs"]),
        ("23.2", "capitalised words", ["copies the input token", "completes the input"]),
        ("23.4", "names", ["copies the input token"]),
        ("6.5", "punctuation", ['" -"', '" )"']),
    ],
)
def test_known_heads_of_demo(demo_heads: dict[str, Any], head: str, inputs: str, patterns: list[str]) -> None:
    (found,) = demo_heads[head]["descriptions"]
    assert inputs in found["inputs"]
    for pattern in patterns:
        assert pattern in found["pattern"]
    assert (found["llm"], found["prompt"], found["failure"]) == ("statistics", "evidence-2", None)
    assert found["provenance"]["settings"]["heads"] == 270
    assert {"lemminflect", "wordfreq", "numpy"} <= found["provenance"]["versions"].keys()


def test_evidence_of_demo_is_complete_and_significant(demo_heads: dict[str, Any]) -> None:
    fields = {"name", "kind", "wording", "count", "rows", "expected", "effect", "p_value", "q_value", "examples"}
    fields |= {"random_expected", "random_p_value", "lines"}
    for record in demo_heads.values():
        for evidence in record["evidence"]:
            assert evidence.keys() == fields
            assert evidence["q_value"] < 0.01
            assert evidence["examples"]
            assert (evidence["random_p_value"] is None) == (evidence["kind"] == "pairing")
            assert max(evidence["p_value"], evidence["random_p_value"] or 0.0) <= evidence["q_value"]
    unclear = [record["descriptions"][0]["unclear"] for record in demo_heads.values()]
    assert 150 < sum(unclear) < 240, "most heads show no more than random ones do"


def test_from_command_line_to_terminal_page_and_table(tiny_llama: Path, headscribe: Run, tmp_path: Path) -> None:
    done = headscribe("describe", tiny_llama, "--llm", "statistics", "--reading", "paper", "--json", "-")
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    assert len(first) == 12
    assert all(record["descriptions"][0]["inputs"] for record in first)
    again = headscribe("describe", tiny_llama, "--llm", "statistics", "--reading", "paper", "--json", "-")
    assert json.loads(again.stdout) == first
    assert headscribe("show", tiny_llama, "0.0").returncode == 0
    for form in ("html", "parquet", "jsonl"):
        done = headscribe("export", tiny_llama, "--format", form, "-o", tmp_path / f"heads.{form}")
        assert done.returncode == 0, done.stderr
    assert [json.loads(line)["evidence"] for line in (tmp_path / "heads.jsonl").open()] == [
        r["evidence"] for r in first
    ]


def test_it_takes_no_prompt(tiny_llama: Path, headscribe: Run) -> None:
    done = headscribe("describe", tiny_llama, "--llm", "statistics", "--prompt", "salient-1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "takes no --prompt" in done.stderr


def test_statistics_have_nothing_to_try_dry(headscribe: Callable[..., Any], tiny_llama: Path) -> None:
    headscribe("extract", tiny_llama, "--reading", "paper")
    done = headscribe("describe", tiny_llama, "--llm", "statistics", "--dry-run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "asks nobody and costs nothing" in done.stderr
