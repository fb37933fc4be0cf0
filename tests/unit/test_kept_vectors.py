"""Source vectors are computed once, by stages and commands in a row, and are the same to the last bit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from describe.cached import cache_folder
from describe.inference import from_files
from describe.pipeline.extraction import compute, kept_vectors
from describe.pipeline.extraction.compute import Means, kept_sources
from describe.pipeline.extraction.views import stream_sources
from describe.readings import DIRECT
from describe.weights import HeadWeights, open_model
from tests import tiny

CPU = torch.device("cpu")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HeadWeights:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return open_model(str(tiny.save(tiny.tiny_model("llama"), tmp_path / "tiny")))


def read(weights: HeadWeights, precision: str = "float32") -> torch.Tensor:
    means = Means(CPU, precision)
    return kept_sources(weights, means, means.plan(weights, layers=1)).of(slice(None))


def streams(weights: HeadWeights, layers: list[int], n: int = 50) -> dict[int, torch.Tensor]:
    found = stream_sources(weights, DIRECT, torch.arange(n), layers, Means(CPU, "float32"))
    return {layer: vectors[:].clone() for layer, vectors in found}


def files() -> list[Path]:
    return sorted(cache_folder("vectors").iterdir())


def test_they_are_computed_once(weights: HeadWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {precision: read(weights, precision) for precision in ("float32", "float64")}
    monkeypatch.delattr(compute, "source_vectors")
    assert all(torch.equal(read(weights, precision), x) for precision, x in first.items())
    assert len(files()) == 2


def test_a_file_that_is_none_is_written_anew(weights: HeadWeights) -> None:
    first = read(weights)
    for broken in (b"", b"\0" * 100, files()[0].read_bytes()[:-8]):
        files()[0].write_bytes(broken)
        assert torch.equal(read(weights), first)
    assert len(files()) == 1


def test_without_a_place_to_write_they_are_computed_each_time(
    weights: HeadWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(weights)
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    assert torch.equal(read(weights), first)


def test_what_is_used_least_goes(weights: HeadWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    read(weights)
    old = files()[0]
    os.utime(old, (0, 0))
    monkeypatch.setattr(kept_vectors, "MOST", 2 * old.stat().st_size + 1000)
    read(weights, "float64")
    assert old not in files()
    assert len(files()) == 1


def test_a_layers_stream_vectors_are_computed_once(weights: HeadWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    first, others = streams(weights, [0, 2]), streams(weights, [0, 2], n=40)
    whole = streams(weights, [0, 1, 2])
    assert all(torch.equal(vectors, whole[layer]) for layer, vectors in first.items())
    monkeypatch.delattr(from_files, "open_layerwise")
    assert all(torch.equal(vectors, whole[layer]) for layer, vectors in streams(weights, [0, 1, 2]).items())
    assert all(torch.equal(vectors, others[layer]) for layer, vectors in streams(weights, [0, 2], n=40).items())
    with pytest.raises(ImportError):
        streams(weights, [1, 2], n=40)


def test_progress_is_told_when_a_layer_was_used_whether_it_is_kept_or_not(weights: HeadWeights) -> None:
    def steps() -> list[object]:
        found: list[object] = []
        asked = (weights, DIRECT, torch.arange(50), [0, 1, 2], Means(CPU, "float32"))
        for layer, _ in stream_sources(*asked, progress=lambda *step: found.append(step)):
            found.append(layer)
        return found

    used = [0, ("read", 1, 3), 1, ("read", 2, 3), 2, ("read", 3, 3)]
    assert steps() == [("read", 0, 3), *used]
    assert steps() == used


def test_a_run_whose_layers_take_too_much_keeps_none(weights: HeadWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    streams(weights, [1])
    one = files()[0].stat().st_size
    files()[0].unlink()
    monkeypatch.setattr(kept_vectors, "MOST", 2 * one)
    streams(weights, [0, 1, 2])
    assert not files()
    streams(weights, [1])
    assert len(files()) == 1
