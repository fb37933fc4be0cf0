"""Whatever is wrong with a model's files is said in one line that names the file, before anything is changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from describe.errors import CheckpointError
from describe.weights import open_model
from tests import tiny
from tests.heads import head_records


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def without_tensor(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.self_attn.v_proj.weight"]
    save_file(tensors, path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove(folder: Path, *names: str) -> None:
    for pattern in names:
        for path in folder.glob(pattern):
            path.unlink()


def pickled_only(folder: Path) -> None:
    remove(folder, "*.safetensors")
    torch.save({"x": torch.zeros(1)}, folder / "pytorch_model.bin")


def only_index(folder: Path, text: str) -> None:
    remove(folder, "*.safetensors")
    (folder / "model.safetensors.index.json").write_text(text)


BREAKAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "encoder": (lambda f: edit_config(f, model_type="bert"), "only encodes"),
    "encoder-decoder": (lambda f: edit_config(f, model_type="t5", is_encoder_decoder=True), "encoder-decoder"),
    "unknown": (lambda f: edit_config(f, model_type="llamo"), "model_type 'llamo'.*nearest that it knows is 'llama'"),
    "without heads": (lambda f: edit_config(f, model_type="mamba"), "'mamba' model.*layers without attention heads"),
    "latent": (lambda f: edit_config(f, model_type="deepseek_v3"), "'deepseek_v3' model.*not linear"),
    "text part refused": (
        lambda f: edit_config(f, model_type="llava", text_config={"model_type": "mamba"}),
        "'mamba' model.*layers without attention heads",
    ),
    "no type": (lambda f: (f / "config.json").write_text("{}"), "model_type 'None'"),
    "not JSON": (lambda f: (f / "config.json").write_text("{"), r"config\.json cannot be read"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), "not a JSON object"),
    "no config": (lambda f: remove(f, "config.json"), r"no config\.json"),
    "odd activation": (lambda f: edit_config(f, hidden_act="mish"), "activation 'mish'"),
    "missing tensor": (without_tensor, r"no tensor 'model\.layers\.1\.self_attn\.v_proj\.weight'"),
    "truncated": (lambda f: truncate(f / "model.safetensors"), "truncated"),
    "no weights": (lambda f: remove(f, "*.safetensors"), r"no model\.safetensors"),
    "pickled": (pickled_only, "pickled weights only"),
    "no tokenizer": (lambda f: remove(f, "token*", "special*"), "no tokenizer"),
    "broken tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "cannot be loaded"),
    "other width": (lambda f: edit_config(f, hidden_size=64, head_dim=12), "do not belong together"),
    "other heads": (lambda f: edit_config(f, num_key_value_heads=4), "do not belong together"),
    "nonsense size": (lambda f: edit_config(f, num_attention_heads="four"), "cannot be understood"),
    "broken index": (lambda f: (f / "model.safetensors.index.json").write_text("{}"), "not a safetensors index"),
    "missing shard": (
        lambda f: only_index(f, '{"weight_map": {"a": "b.safetensors"}}'),
        r"names the shard 'b\.safetensors'",
    ),
    "shard elsewhere": (
        lambda f: only_index(f, '{"weight_map": {"a": "../b.safetensors"}}'),
        "not in the directory",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_directory_is_refused_in_one_line(name: str, tiny_llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_llama, folder)
    breakage, message = BREAKAGES[name]
    breakage(folder)
    with pytest.raises(CheckpointError, match=message) as raised:
        _read_all(folder)
    assert "\n" not in str(raised.value)


def _read_all(path: Path) -> None:
    weights = open_model(str(path))
    assert weights.embed[:] is not None
    assert weights.first_mlp is not None
    for layer in range(weights.info.n_layers):
        weights.layer(layer)


def test_broken_gguf_files(tmp_path: Path) -> None:
    model = tiny.tiny_model("llama")
    good = tiny.write_gguf(model, tmp_path / "good.gguf")
    size = good.stat().st_size
    for share in (0.001, 0.01, 0.3, 0.99):
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(good.read_bytes()[: int(size * share)])
        with pytest.raises(CheckpointError, match="truncated or not a GGUF file"):
            _read_all(cut)
    words = tmp_path / "words.gguf"
    words.write_text("only words, and quite a few of them")
    with pytest.raises(CheckpointError, match="truncated or not a GGUF file"):
        _read_all(words)
    foreign = tmp_path / "foreign.gguf"
    foreign.write_bytes(good.read_bytes().replace(b"llama", b"mamba"))
    with pytest.raises(CheckpointError, match=r"'mamba' model.*layers without attention heads"):
        _read_all(foreign)
    foreign.write_bytes(good.read_bytes().replace(b"llama", b"llamo"))
    with pytest.raises(CheckpointError, match=r"GGUF architecture 'llamo'.*nearest that it knows is 'llama'"):
        _read_all(foreign)


def test_there_is_no_such_model(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("x")
    for name, message in (
        (str(tmp_path / "nowhere"), "no model at"),
        ("nowhere.gguf", "no model at"),
        (str(tmp_path / "note.txt"), r"not a \.gguf file"),
        ("someone/something", "cannot be had from the hub"),
        ("dmeo", "cannot be had from the hub"),
    ):
        with pytest.raises(CheckpointError, match=message) as raised:
            open_model(name)
        assert "\n" not in str(raised.value)


def test_values_that_are_not_finite_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    from describe import pipeline
    from describe.catalog import Catalogue

    folder = tmp_path / "model"
    shutil.copytree(tiny_llama, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.self_attn.o_proj.weight"][0, 0] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        with pytest.raises(CheckpointError, match="not finite"):
            pipeline.extract(catalogue, str(folder), reading="paper")
        info, extraction_id = pipeline.find(catalogue, str(folder))
        assert [record["layer"] for record in head_records(catalogue, info, extraction_id)] == [0] * 4
