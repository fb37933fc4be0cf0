"""Heads that were planted in a model on disk are found by extraction and relation scores, and no others."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from describe.inference import open_runner
from describe.inference.planted import planted_model
from describe.pipeline.self_test import find_planted, self_test
from describe.records import THRESHOLD
from describe.weights import HeadWeights, LayerWeights, open_model


def test_exactly_what_was_planted_is_found() -> None:
    findings = self_test("cpu")
    assert [finding.kind for finding in findings] == ["copying", "shift", "facts", "lookup", "suppression"]
    for finding in findings:
        assert finding.as_planted, finding
        assert finding.planted is not None
        assert finding.rows[finding.planted] == finding.n_rows == 30, "all its salient mappings are the planted ones"
        assert finding.scores[finding.planted] > 0.85
        assert finding.scores[finding.strongest_other] < THRESHOLD / 2


def test_what_was_planted_in_the_stream_is_found_by_the_direct_reading() -> None:
    for finding in self_test("cpu", reading="direct"):
        assert finding.as_planted, finding
        assert finding.planted is not None
        assert finding.rows[finding.planted] >= 25
        assert finding.scores[finding.planted] > 0.75
        assert finding.scores[finding.strongest_other] < THRESHOLD / 2


def test_nothing_is_found_where_nothing_was_planted() -> None:
    for finding in self_test("cpu", plant=False):
        assert finding.planted is None
        assert finding.as_planted, finding


def test_noise_hides_what_was_planted() -> None:
    assert not any(finding.as_planted for finding in self_test("cpu", noise=6.0))


def test_a_mistake_in_reading_heads_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups given to heads in the wrong order, as if every group's heads stood apart, not together."""
    read = HeadWeights.layer

    def confused(self: HeadWeights, layer: int) -> LayerWeights:
        right = read(self, layer)
        n_groups = len(right.value)
        return LayerWeights(right.value, right.output.unflatten(0, (-1, n_groups)).transpose(0, 1).flatten(0, 1))

    monkeypatch.setattr(HeadWeights, "layer", confused)
    assert not all(finding.as_planted for finding in self_test("cpu"))


def test_the_command_says_what_it_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from app.main import main

    assert main(["models", "--self-test"]) == 0
    assert "All that was planted is found" in capsys.readouterr().out
    hidden = partial(planted_model, noise=6.0)
    monkeypatch.setattr("describe.inference.planted.planted_model", hidden)
    assert main(["models", "--self-test", "--json", "-"]) == 1
    told = capsys.readouterr()
    assert "not found as planted" in told.err
    assert not all(finding["as_planted"] for finding in json.loads(told.out))


def test_the_model_is_one_that_runs_and_reads_words(tmp_path: Path) -> None:
    planted = planted_model(tmp_path / "planted", d_head=16)
    weights = open_model(str(planted.path))
    for head in planted.heads.values():
        words = [f" {word}" for pair in head.pairs for word in pair]
        assert all(weights.token_id(word) is not None for word in words)
        assert weights.token_ids(words[0]) == [weights.token_id(words[0])]
    runner = open_runner(str(planted.path), weights.info, torch.device("cpu"), torch.float32)
    torch.testing.assert_close(runner.output(1), weights.layer(1).output)
    again = planted_model(tmp_path / "again", d_head=16)
    assert again.heads == planted.heads
    torch.testing.assert_close(open_model(str(again.path)).layer(1).value, weights.layer(1).value)
    found = find_planted(planted, tmp_path)
    assert len(found) == len(planted.heads)
