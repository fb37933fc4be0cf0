"""Model files whose numbers cannot be: one line that says so, before anything is allocated or gone through by them."""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from describe.errors import CheckpointError
from describe.weights import check_files, locate, open_model
from describe.weights.gguf_file import GgufFile
from tests import tiny


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def gguf(
    *fields: bytes, tensors: tuple[bytes, ...] = (), n_fields: int | None = None, n_tensors: int | None = None
) -> bytes:
    """A GGUF file of an architecture, fields and tensors as told, and 4 KB behind them."""
    all_fields = (text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama"), *fields)
    counts = (len(tensors) if n_tensors is None else n_tensors, len(all_fields) if n_fields is None else n_fields)
    return b"GGUF" + struct.pack("<IQQ", 3, *counts) + b"".join((*all_fields, *tensors)) + bytes(4096)


def field(kind: int, value: bytes, key: bytes = b"x") -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(*sizes: int, kind: int = 0, offset: int = 0, n_dims: int | None = None) -> bytes:
    n = len(sizes) if n_dims is None else n_dims
    return text(b"t") + struct.pack(f"<I{len(sizes)}QIQ", n, *sizes, kind, offset)


def a_list(of: int, n: int, held: bytes = b"") -> bytes:
    return field(9, struct.pack("<IQ", of, n) + held)


GGUF_FILES = {
    "list of numbers": gguf(a_list(0, 2**60)),
    "list of texts": gguf(a_list(8, 2**60)),
    "many texts": gguf(a_list(8, 2**22), tensors=()) + bytes(2**25),
    "length of a list wraps": gguf(a_list(11, 2**61)),
    "list of lists": gguf(a_list(9, 2**40)),
    "list of what": gguf(a_list(77, 1)),
    "text": gguf(field(8, struct.pack("<Q", 2**60))),
    "text to the end of numbers": gguf(field(8, struct.pack("<Q", 2**64 - 1))),
    "what": gguf(field(13, b"")),
    "fields": gguf(n_fields=2**62),
    "tensors": gguf(n_tensors=2**62),
    "a name": gguf(struct.pack("<Q", 2**40)),
    "twice": gguf(field(0, b"1"), field(0, b"1")),
    "alignment 0": gguf(field(4, struct.pack("<I", 0), b"general.alignment"), tensors=(tensor(1),)),
    "alignment in words": gguf(field(8, text(b"32"), b"general.alignment")),
    "product wraps": gguf(tensors=(tensor(2**32, 2**32),)),
    "dimensions": gguf(tensors=(tensor(1, n_dims=2**31),)),
    "no rows": gguf(tensors=(tensor(4, 0),)),
    "half a block": gguf(tensors=(tensor(33, kind=8),)),
    "type": gguf(tensors=(tensor(1, kind=200),)),
    "beyond": gguf(tensors=(tensor(1, offset=2**20),)),
    "offset wraps": gguf(tensors=(tensor(1, offset=2**64 - 1),)),
    "tensor twice": gguf(tensors=(tensor(1), tensor(1))),
    "version": b"GGUF" + struct.pack("<I", 9) + bytes(64),
    "byte order": b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + bytes(64),
    "empty": b"",
}


@pytest.mark.parametrize("name", GGUF_FILES)
def test_a_gguf_file_that_cannot_be(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(GGUF_FILES[name])
    with pytest.raises(CheckpointError, match=r"a\.gguf is truncated or not a GGUF file \(.+\)") as raised:
        check_files(locate(str(tmp_path / "a.gguf")))
    assert len(str(raised.value).splitlines()) == 1


def test_layers_that_a_gguf_file_does_not_hold(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(gguf(field(4, struct.pack("<I", 10**9), b"llama.block_count")))
    with pytest.raises(CheckpointError, match="1,000,000,000 layers, and holds 0 tensors"):
        check_files(locate(str(tmp_path / "a.gguf")))


def read(path: Path) -> None:
    weights = open_model(str(path))
    assert weights.first_mlp is not None
    assert weights.embed[:] is not None
    weights.layer(0)


@pytest.fixture(scope="module")
def good_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tiny.tiny_model("llama", vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1)
    return tiny.write_gguf(model, tmp_path_factory.mktemp("gguf") / "good.gguf")


def test_a_gguf_file_cut_off_anywhere(good_gguf: Path, tmp_path: Path) -> None:
    whole, cut = good_gguf.read_bytes(), tmp_path / "cut.gguf"
    assert GgufFile(good_gguf).tensors
    for n in range(len(whole) - 32, 0, -41):
        cut.write_bytes(whole[:n])
        with pytest.raises(CheckpointError):
            GgufFile(cut)


def test_a_gguf_file_with_flipped_bytes_is_read_or_refused(good_gguf: Path, tmp_path: Path) -> None:
    whole, flipped, luck = good_gguf.read_bytes(), tmp_path / "flipped.gguf", random.Random(3)
    header = whole.index(b"blk.0.attn_output.weight") + 200
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(luck.choice((1, 1, 4))):
            data[luck.randrange(4, header)] = luck.choice((0, 1, 0x7F, 0x80, 0xFF, luck.randrange(256)))
        flipped.write_bytes(data)
        try:
            read(flipped)
        except CheckpointError:
            refused += 1
    assert 50 < refused < 300


CONFIGS: dict[str, dict[str, Any]] = {
    "layers": {"num_hidden_layers": 10**9},
    "layers of the other kind": {"n_layer": 10**9},
    "layers beyond what is there": {"num_hidden_layers": 1000},
    "no layer": {"num_hidden_layers": 0},
    "fewer than no layer": {"num_hidden_layers": -1},
    "no heads": {"num_attention_heads": 0},
    "heads": {"num_attention_heads": 10**9},
    "half a head": {"num_attention_heads": 4.5},
    "heads in words": {"num_attention_heads": "4"},
    "heads in a list": {"num_attention_heads": [4]},
    "heads in an object": {"num_attention_heads": {"a": 4}},
    "heads are true": {"num_attention_heads": True},
    "no heads that share": {"num_key_value_heads": 0},
    "heads that cannot share": {"num_key_value_heads": 3},
    "width": {"hidden_size": 2**62},
    "no number": {"hidden_size": float("nan")},
    "endless": {"rms_norm_eps": float("inf")},
    "eps of no number": {"rms_norm_eps": float("nan")},
    "eps in a list": {"rms_norm_eps": [1e-5]},
    "labels": {"num_labels": 10**9},
    "layers of another part": {"vision_config": {"num_hidden_layers": 10**10}},
    "text part": {"text_config": {"hidden_size": -5}},
    "type is a list": {"model_type": ["llama"]},
    "type is an object": {"model_type": {}},
    "activation": {"hidden_act": {"a": []}},
    "dtype": {"dtype": "float99"},
    "digits": {"num_hidden_layers": 10**400},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_that_cannot_be(name: str, tiny_llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_llama, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | CONFIGS[name]))
    with pytest.raises(CheckpointError) as raised:
        read(folder)
    assert len(str(raised.value)) < 700
    assert len(str(raised.value).splitlines()) == 1


def header(**tensors: Any) -> bytes:
    told = json.dumps(tensors).encode()
    return struct.pack("<Q", len(told)) + told + bytes(64)


def one(shape: list[Any], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


FILES: dict[str, tuple[str, bytes]] = {
    "header length": ("model.safetensors", struct.pack("<Q", 2**62) + bytes(64)),
    "header length in bounds": ("model.safetensors", struct.pack("<Q", 2**25) + bytes(64)),
    "deep header": ("model.safetensors", struct.pack("<Q", 200_000) + b"[" * 200_000),
    "beyond": ("model.safetensors", header(a=one([16], 0, 2**40))),
    "backwards": ("model.safetensors", header(a=one([16], 64, 0))),
    "below zero": ("model.safetensors", header(a=one([16], -64, 0))),
    "overlapping": ("model.safetensors", header(a=one([16], 0, 64), b=one([16], 0, 64))),
    "shape": ("model.safetensors", header(a=one([2**40, 2**40], 0, 64))),
    "dtype": ("model.safetensors", header(a=one([16], 0, 64, "F99"))),
    "deep config": ("config.json", b'{"model_type": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "config 40 deep": ("config.json", b'{"model_type": ' + b"[" * 40 + b"]" * 40 + b"}"),
    "long config": ("config.json", b" " * (5 << 20) + b"{}"),
    "config of bytes": ("config.json", b"\xff\xfe\x00"),
    "deep index": ("model.safetensors.index.json", b"[" * 100_000),
    "index is a list": ("model.safetensors.index.json", b"[1]"),
    "map is a list": ("model.safetensors.index.json", b'{"weight_map": [1]}'),
    "map of NUL": ("model.safetensors.index.json", b'{"weight_map": {"a": "\\u0000"}}'),
    "deep tokenizer": ("tokenizer.json", b"[" * 100_000),
    "tokenizer of a list": ("tokenizer.json", b"[]"),
    "tokenizer without a model": ("tokenizer.json", b'{"version": "1.0", "model": null}'),
    "tokenizer below zero": (
        "tokenizer.json",
        b'{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}',
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be(name: str, tiny_llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_llama, folder)
    file, data = FILES[name]
    (folder / file).write_bytes(data)
    if file.endswith("index.json"):
        (folder / "model.safetensors").unlink()  # which counts where both are there
    with pytest.raises(CheckpointError) as raised:
        open_model(str(folder))
    assert len(str(raised.value)) < 700


NO_TORCH: dict[str, Callable[[Path], Any]] = {
    "gguf": lambda folder: (folder / "a.gguf").write_bytes(GGUF_FILES["list of numbers"]),
    "config": lambda folder: (folder / "config.json").write_text(
        '{"model_type": "llama", "num_hidden_layers": 1000000000}'
    ),
}


@pytest.mark.parametrize("name", NO_TORCH)
def test_it_takes_no_torch_and_little_memory_to_say_so(name: str, tmp_path: Path) -> None:
    NO_TORCH[name](tmp_path)
    model = next(tmp_path.glob("*.gguf"), tmp_path)
    code = (
        "import sys; from app.main import main;"
        f"code = main(['extract', {str(model)!r}, '--catalog', {str(tmp_path / 'c.db')!r}, '-q']);"
        "peak = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')];"
        "print(code, 'torch' in sys.modules, *peak)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    code, with_torch, peak = done.stdout.split()
    assert (code, with_torch) == ("2", "False"), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert int(peak) < 200 << 10, "KB, of which the command line takes half"
