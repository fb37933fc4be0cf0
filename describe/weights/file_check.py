"""A model's files looked through before torch is imported, and before anything is allocated by the numbers in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from describe.errors import CheckpointError
from describe.text import shortened
from describe.weights.gguf_file import GgufFile
from describe.weights.locate import Location

__all__ = ["LARGEST_CONFIG", "LARGEST_INDEX", "check_files", "read_json"]

MIB = 1 << 20
LARGEST_CONFIG, LARGEST_INDEX = 4 * MIB, 64 * MIB
"""Bytes of config.json, and of a list of tensors: ten times those of any model known."""

DEEPEST = 32
"""Levels of lists and objects in config.json."""

LARGEST_COUNT = 100_000
"""Of layers, and of whatever else transformers makes an object each of when it reads a configuration."""

_COUNTED = ("attention_types", "first_k_dense_replace", "num_labels", "out_indices", "window_size")

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_SIZES = (
    *("num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads", "num_kv_heads"),
    *("hidden_size", "n_embd", "d_model", "head_dim", "intermediate_size", "n_inner", "ffn_dim", "vocab_size"),
)
_TEXT_PARTS = ("text_config", "llm_config", "language_config", "decoder", "generator")


def check_files(location: Location) -> None:
    """Hold the numbers in a model's files against the files. Raises `CheckpointError` for what cannot be."""
    if location.is_gguf:
        _check_gguf(GgufFile(location.path))
    else:
        _check_config(location.path)


def read_json(path: Path, most: int) -> Any:
    """The JSON in a file of at most so many bytes. Raises `CheckpointError` when there is none."""
    try:
        with path.open("rb") as file:
            text = file.read(most + 1)
        if len(text) > most:
            raise CheckpointError(f"{path} has over {most // MIB} MiB, too much for what it is")
        return json.loads(text)
    except RecursionError:
        raise CheckpointError(f"{path} cannot be read: it is nested too deeply") from None
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _check_gguf(file: GgufFile) -> None:
    architecture = file.metadata("general.architecture")
    n_layers = file.metadata(f"{architecture}.block_count")
    if isinstance(n_layers, int) and n_layers > len(file.tensors):
        raise CheckpointError(
            f"{file.path} says that it has {n_layers:,} layers, and holds {len(file.tensors)} tensors"
        )


def _check_config(folder: Path) -> None:
    path = folder / "config.json"
    if not path.is_file():
        return  # said where it is opened
    config = read_json(path, LARGEST_CONFIG)
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    for key, number in _counts(path, config):
        if abs(number) > LARGEST_COUNT:
            raise CheckpointError(f"{path} cannot be understood: {shortened(key)} is {shortened(str(number))}")
    sizes = [prod(shape) for file in sorted(folder.glob("model*.safetensors")) for shape in _shapes(file)]
    for part in (config, *(config[name] for name in _TEXT_PARTS if isinstance(config.get(name), dict))):
        for keys, most in ((_LAYERS, len(sizes)), (_SIZES, max(sizes, default=0))):
            for key in keys:
                value = part.get(key)
                if value is None or isinstance(value, list):  # a default; or one for each layer
                    continue
                if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (sizes and value > most):
                    told = shortened(json.dumps(value))
                    raise CheckpointError(f"{path} cannot be understood: {key} is {told}, which its tensors do not fit")


def _counts(path: Path, config: Any) -> Iterator[tuple[str, float]]:
    """Every number, with its key, that may say how many of something there are."""
    todo: list[tuple[str, bool, Any, int]] = [("", False, config, 0)]
    while todo:
        key, counted, value, depth = todo.pop()
        if depth > DEEPEST:
            raise CheckpointError(f"{path} cannot be read: it is nested too deeply")
        if isinstance(value, dict):
            for name, inner in value.items():
                todo.append((name, counted or "layer" in name or name in _COUNTED, inner, depth + 1))
        elif isinstance(value, list):
            todo.extend((key, counted, inner, depth + 1) for inner in value)
        elif counted and isinstance(value, int | float):
            yield key, value


def _shapes(file: Path) -> Iterator[tuple[int, ...]]:
    """The shapes of a file's tensors; its header is held against it by safetensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with file.open("rb") as raw:
            if int.from_bytes(raw.read(8), "little") > LARGEST_INDEX:
                raise CheckpointError(f"{file} is truncated or not a safetensors file: its header has no such length")
        with safe_open(file, framework="np") as handle:
            for name in handle.keys():  # noqa: SIM118
                yield tuple(handle.get_slice(name).get_shape())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is truncated or not a safetensors file ({error}): fetch it again") from error
