"""The files of a directory that hold a model's tensors: those that ``transformers`` loads. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from describe.errors import CheckpointError
from describe.text import shortened

__all__ = ["LARGEST_CONFIG", "LARGEST_INDEX", "WRAPPERS", "read_json", "weight_file", "weight_files"]

MIB = 1 << 20
LARGEST_CONFIG, LARGEST_INDEX = 4 * MIB, 64 * MIB
"""Bytes of config.json, and of a list of tensors: ten times those of any model known."""

WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module.")
"""Left between the parts of a tensor's name by tools of training: torch.compile, FSDP, Lightning."""

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


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


def weight_file(directory: Path) -> Path:
    """The file of all tensors, or the index of several: the one named by ``transformers_weights`` in config.json, else
    ``model.safetensors``, else its index, in the order of ``from_pretrained``.

    Raises `CheckpointError` where there is neither, with what the directory holds instead.
    """
    config = directory / "config.json"
    told = read_json(config, LARGEST_CONFIG) if config.is_file() else None
    named = told.get("transformers_weights") if isinstance(told, dict) else None
    for name in (_SINGLE, _INDEX) if named is None else (named,):
        if isinstance(name, str) and (directory / name).is_file() and (directory / name).parent == directory:
            return directory / name
    if named is not None:
        name = shortened(str(named))
        raise CheckpointError(f"{config} names '{name}' as the file of the weights, which is not in the directory")
    _refuse_adapter(directory)
    if any(directory.glob("*.bin")) or any(directory.glob("*.pt*")):
        raise CheckpointError(
            f"{directory} holds pickled weights only, which can run code and are never loaded:"
            " save the model again with save_pretrained, which writes safetensors"
        )
    raise CheckpointError(f"{directory} holds no {_SINGLE} and no {_INDEX}")


def weight_files(directory: Path) -> list[Path]:
    """The files that hold tensors: the single one, or all that may be of several."""
    file = weight_file(directory)
    return sorted(directory.glob("model*.safetensors")) if file.suffix == ".json" else [file]


def _refuse_adapter(directory: Path) -> None:
    """Raise `CheckpointError` for a directory that holds what was trained on top of a model, without the model."""
    if not (directory / "adapter_config.json").is_file():
        return
    told = read_json(directory / "adapter_config.json", LARGEST_CONFIG)
    told = told if isinstance(told, dict) else {}
    kind, base = (shortened(str(told.get(key) or "")) for key in ("peft_type", "base_model_name_or_path"))
    raise CheckpointError(
        f"{directory} holds an adapter{f' ({kind})' if kind else ''} only{f', of {base!r}' if base else ''}:"
        " load it with peft, call merge_and_unload(), and save the whole model with save_pretrained"
    )
