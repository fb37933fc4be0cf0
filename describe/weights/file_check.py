"""A model's files looked through before torch is imported, and before anything is allocated by the numbers in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

from describe.errors import CheckpointError
from describe.text import shortened
from describe.weights.checkpoint_files import LARGEST_CONFIG, LARGEST_INDEX, WRAPPERS, read_json, weight_files
from describe.weights.gguf_file import GgufFile
from describe.weights.gguf_parts import gguf_parts
from describe.weights.locate import Location

__all__ = ["check_files", "check_loadable"]

DEEPEST = 32
"""Levels of lists and objects in config.json."""

LARGEST_COUNT = 100_000
"""Of layers, and of whatever else transformers makes an object each of when it reads a configuration."""

_OUTER = ("module.", "base_model.model.", "pretrained_model.")
"""Beginnings of all names that other tools of training leave: DDP, peft, TRL."""

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
        _check_gguf([GgufFile(part) for part in gguf_parts(location.path)])
    else:
        _check_config(location.path)


def check_loadable(location: Location) -> None:
    """Raise `CheckpointError` for files that are read here, of which ``transformers`` would load a part and make up the
    rest."""
    if location.is_gguf:
        if len(gguf_parts(location.path)) > 1:
            raise CheckpointError(
                f"{location.path.name} is a part of a model, and transformers runs whole files only: join the parts"
                " (llama-gguf-split --merge); extract, describe and relations read them as they are"
            )
        return
    for file in weight_files(location.path):
        for name in tensor_names(file):
            if name.startswith(_OUTER) or any(wrapper in name for wrapper in WRAPPERS):
                raise CheckpointError(
                    f"{location.path} names its tensors as a tool of training left them ('{shortened(name)}'):"
                    " save the model inside with save_pretrained to have it run"
                )


def tensor_names(file: Path) -> list[str]:
    """The names of a file's tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as handle:
            return list(handle.keys())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is truncated or not a safetensors file ({error}): fetch it again") from error


def _check_gguf(files: list[GgufFile]) -> None:
    first, n_tensors = files[0], sum(len(file.tensors) for file in files)
    told = first.metadata("split.count", 1)
    if told not in (0, 1, len(files)):
        raise CheckpointError(
            f"{first.path} says that it is one of {told} parts: they must be beside it, as NAME-00001-of-0000N.gguf"
        )
    kind = first.metadata("general.type", "model")
    if kind != "model":
        raise CheckpointError(f"{first.path} is no model, but of the type '{shortened(str(kind))}': name its model")
    n_layers = first.metadata(f"{first.metadata('general.architecture')}.block_count")
    if isinstance(n_layers, int) and n_layers > n_tensors:
        raise CheckpointError(f"{first.path} says that it has {n_layers:,} layers, and holds {n_tensors} tensors")


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
    files: list[Path] = []
    with suppress(CheckpointError):  # no weights: said where it is opened
        files = weight_files(folder)
    sizes = [prod(shape) for file in files for shape in _shapes(file)]
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
