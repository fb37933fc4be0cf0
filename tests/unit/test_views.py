"""Readings as tensors: the paper's to the digit, the direct one as the model runs, in any memory, broken off or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from describe.cached import cache_folder
from describe.inference import Runner
from describe.inference.from_files import open_layerwise
from describe.inference.layerwise import LayerwiseModel
from describe.inference.lens import _ridge
from describe.inference.stream import stream_vectors
from describe.maps import own_heads, salient_operations, source_vectors
from describe.pipeline.extraction import kept_vectors, stream_state, views
from describe.pipeline.extraction.compute import Means
from describe.pipeline.extraction.lenses import output_lens
from describe.pipeline.extraction.views import layer_views, readable
from describe.readings import DIRECT, PAPER, Reading
from describe.weights import HeadWeights, open_model
from tests import families, tiny

CPU = torch.device("cpu")
MEANS = Means(CPU, "float32")
ALL = replace(DIRECT, tokens="all")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, str]:
    made = tiny.tiny_model("llama")
    return made, str(tiny.save(made, tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def seen(path: str, reading: Reading, layers: range = range(3)) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Source vectors and U of each layer."""
    found = layer_views(path, open_model(path), reading, layers, MEANS)
    return {layer: (view.x.vectors[:].clone(), view.unembed[:].clone()) for layer, view in found}


def test_the_papers_view_gives_the_papers_operations(model: tuple[object, str]) -> None:
    weights = open_model(model[1])
    x = source_vectors(weights.embed, weights.first_mlp, CPU, torch.float32)
    for layer, view in layer_views(model[1], weights, PAPER, range(3), MEANS):
        assert torch.equal(view.sources, torch.arange(300))
        ours, today = (
            salient_operations(vectors, weights.layer(layer), unembed, 30, 5, sample=5)
            for vectors, unembed in ((view.x, view.unembed), (x, weights.unembed))
        )
        for name in ("sources", "saliency", "targets", "logits", "suppressed", "suppressed_logits"):
            assert torch.equal(getattr(ours, name), getattr(today, name)), name


def test_streams_behind_the_tokenizers_beginning_with_the_mean_apart(model: tuple[object, str]) -> None:
    weights = open_model(model[1])
    openings = [weights.opening_ids(text) for text in DIRECT.openings]
    behind = [[0, *weights.token_ids(text)] for text in DIRECT.openings]
    assert openings == behind, "behind the end of another text: no other start is known"
    running = LayerwiseModel(Runner(model[0], weights.info))  # type: ignore[arg-type]
    literal = {layer: x[:] + 0 for layer, x in stream_vectors(running, openings, torch.arange(300), range(3))}
    for layer, view in layer_views(model[1], weights, ALL, range(3), MEANS):
        assert view.mean is not None
        torch.testing.assert_close(view.mean, literal[layer].mean(0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(view.x.vectors[:], literal[layer] - literal[layer].mean(0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(view.x.norms, torch.linalg.vector_norm(view.x.vectors[:], dim=1))
        expected = weights.unembed[:] * weights.final_gain
        torch.testing.assert_close(view.unembed[:], expected)
    without = seen(model[1], replace(ALL, centred=False, gains=False), range(2, 3))[2]
    torch.testing.assert_close(without[0], literal[2], rtol=1e-4, atol=1e-5)
    assert torch.equal(without[1], weights.unembed[:])


@pytest.mark.parametrize("source", ["stream", "x"])
def test_little_memory_changes_nothing(model: tuple[object, str], source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = replace(ALL, source=source)
    whole = seen(model[1], reading)
    monkeypatch.setattr(views, "SHARE", 0)
    for layer, (x, unembed) in seen(model[1], reading).items():
        torch.testing.assert_close(x, whole[layer][0])
        torch.testing.assert_close(unembed, whole[layer][1])


def test_a_broken_run_goes_on_where_it_stood(model: tuple[object, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_vectors, "MOST", 0)
    whole = seen(model[1], ALL)
    monkeypatch.setattr(stream_state, "SECONDS", 0)
    broken: Iterator[tuple[int, object]] = layer_views(model[1], open_model(model[1]), ALL, range(3), MEANS)
    assert [next(broken)[0], next(broken)[0]] == [0, 1]
    del broken
    told: list[int] = []
    again = layer_views(
        model[1], open_model(model[1]), ALL, range(1, 3), MEANS, lambda _stage, done, _total: told.append(done)
    )
    for layer, view in again:
        assert torch.equal(view.x.vectors[:], whole[layer][0])
    assert told == [1, 2, 3], "layer 0 is not run again"
    assert not list(cache_folder("streams").iterdir()), "what is done needs nothing to go on from"


def test_the_constant_part_holds_the_bias_of_values(tmp_path: Path) -> None:
    path = str(tiny.save(tiny.tiny_model("qwen2"), tmp_path / "tiny"))
    weights = open_model(path)
    layer, bias = weights.layer(1), weights.value_bias(1)
    assert bias is not None
    for _, view in layer_views(path, weights, ALL, [1], MEANS):
        assert view.mean is not None
        for head, found in enumerate(head for some in own_heads(view, layer) for head in some):
            group = head // (weights.info.n_heads // weights.info.n_kv_heads)
            literal = (view.mean @ layer.value[group] + bias[group]) @ layer.output[head] @ view.unembed[:].mT
            assert found.constant is not None
            torch.testing.assert_close(found.write @ found.constant, literal, rtol=1e-4, atol=1e-4)


def test_double_precision_is_the_models_where_it_can_be(
    model: tuple[object, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_state, "SECONDS", 0)
    single, means = seen(model[1], ALL), Means(CPU, "float64")
    for layer, view in layer_views(model[1], open_model(model[1]), ALL, range(3), means):
        assert view.x.vectors[:].dtype == view.x.norms.dtype == torch.float64
        torch.testing.assert_close(view.x.vectors[:].float(), single[layer][0], rtol=1e-3, atol=1e-4)
    bloom = families.saved(families.family_model("bloom"), tmp_path / "bloom", "bloom")  # masks in float32 alone
    for _, view in layer_views("bloom", open_model(str(bloom)), ALL, [1], means):
        assert view.x.vectors[:].dtype == torch.float64


def test_a_model_that_cannot_be_run_is_read_by_x(model: tuple[object, str], tmp_path: Path) -> None:
    assert readable(open_model(model[1]), ALL) == (ALL, "")
    gpt = families.family_model("openai-gpt")
    weights: HeadWeights = open_model(str(families.saved(gpt, tmp_path / "gpt", "openai-gpt")))
    reading, why = readable(weights, ALL)
    assert (reading.source, reading.openings, reading.centred) == ("x", (), True)
    assert "without keeping keys and values" in why
    for _, view in layer_views("gpt", weights, reading, [1], MEANS):
        torch.testing.assert_close(view.x.vectors[:].mean(0), torch.zeros(32), rtol=0, atol=1e-5)


def test_a_gguf_file_is_run_from_its_own_tensors(model: tuple[object, str], tmp_path: Path) -> None:
    path = str(tiny.write_gguf(model[0], tmp_path / "tiny.gguf"))
    whole = seen(model[1], replace(ALL, centred=False))
    assert readable(open_model(path), ALL) == (ALL, "")
    running = open_layerwise(open_model(path), torch.arange(300), CPU, torch.float32)
    openings = [open_model(model[1]).opening_ids(text) for text in DIRECT.openings]
    for layer, vectors in stream_vectors(running, openings, torch.arange(300), range(3)):
        torch.testing.assert_close(vectors, whole[layer][0], rtol=1e-4, atol=1e-5)


def test_a_lens_moves_what_a_layer_writes_to_where_the_last_one_has_it(model: tuple[object, str]) -> None:
    weights, reading = open_model(model[1]), replace(ALL, lens=True)
    told: list[str] = []
    views_of = {
        layer: view.unembed[:].clone()
        for layer, view in layer_views(
            model[1], weights, reading, range(3), MEANS, lambda stage, _done, _total: told.append(stage)
        )
    }
    lens = output_lens(weights, reading, torch.arange(300), MEANS)
    assert told.count("fit lens") == 4, "once a model: the second time it is read"
    assert lens.fit[2] == 1
    assert 0 < lens.fit[1] <= 1
    plain = weights.unembed[:] * weights.final_gain
    torch.testing.assert_close(views_of[2], plain)
    torch.testing.assert_close(views_of[0], plain @ lens.maps[0].mT)
    assert not torch.allclose(views_of[0], plain, rtol=0.1)


def test_a_ridge_finds_the_map_that_there_is() -> None:
    draw = torch.Generator().manual_seed(0)
    x, a = torch.randn(4000, 12, generator=draw), torch.randn(12, 12, generator=draw)
    found, fit = _ridge(x, x @ a + 3, torch.arange(4000) % 10 == 0)
    torch.testing.assert_close(found, a / 1.1, rtol=0, atol=0.15)  # the ridge is a tenth of the variance
    assert fit > 0.97
