"""The paper's source vectors in a file, beside the hashes of models: stages and commands in a row compute them once.

They depend on the model's content, the precision, and what computes them, and are kept to the last bit. What is used
least recently goes when there are too many.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from describe.records import ModelInfo
from describe.versions import versions
from describe.weights.locate import cache_folder

__all__ = ["MOST", "load_vectors", "save_vectors"]

MOST = 2 << 30
"""Bytes that the files take in all, at most."""

FREE = 4
"""How many times its size must be free on the disk for a file to be written."""


def load_vectors(model: ModelInfo, device: torch.device, dtype: torch.dtype) -> Tensor | None:
    """The source vectors (V, d) on the device; None where they are not kept."""
    from safetensors import SafetensorError, safe_open

    path = _path(model, device, dtype)
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            found: Tensor = file.get_tensor("x")
        os.utime(path)
    except (OSError, SafetensorError):
        return None
    return found if found.shape == (model.vocab_size, model.d_model) and found.dtype == dtype else None


def save_vectors(model: ModelInfo, x: Tensor) -> None:
    """Keep the source vectors; where there is little room, or none to write to, they are computed again next time."""
    from safetensors.torch import save_file

    path, size = _path(model, x.device, x.dtype), x.numel() * x.element_size()
    partial = path.with_suffix(f".{os.getpid()}")
    if size > MOST:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < FREE * size:
            return
        save_file({"x": x}, partial)
        partial.replace(path)
        _drop(path.parent)
    except OSError:
        with suppress(OSError):
            partial.unlink()


def _drop(folder: Path) -> None:
    """Remove the files that were used before all those that there is room for."""
    files = sorted(((file.stat(), file) for file in folder.iterdir()), key=lambda one: -one[0].st_mtime_ns)
    total = 0
    for about, file in files:
        total += about.st_size
        if total > MOST:
            file.unlink(missing_ok=True)


def _path(model: ModelInfo, device: torch.device, dtype: torch.dtype) -> Path:
    told = json.dumps([model.content_hash, str(dtype), device.type, versions("torch")])
    return cache_folder("vectors") / f"{hashlib.sha256(told.encode()).hexdigest()}.safetensors"
