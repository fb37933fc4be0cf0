"""Source vectors in files, beside the hashes of models: stages and commands in a row compute them once.

They depend on the model's content, the precision, and what computes them (a layer's stream vectors also on the openings
and tokens), and are kept to the last bit. What is used least recently goes when there are too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from describe.cached import cached_file, keep_file, load_file
from describe.records import ModelInfo
from describe.versions import versions

__all__ = ["MOST", "StreamVectors", "load_vectors", "save_vectors"]

MOST = 2 << 30
"""Bytes that the files take in all, at most."""

SHARE = 0.7
"""The share of `MOST` that the layers of one run may take together: those of `demo`, all of them, do."""


def load_vectors(model: ModelInfo, device: torch.device, dtype: torch.dtype) -> Tensor | None:
    """The paper's source vectors (V, d) on the device; None where they are not kept."""
    return _load(_of_vocabulary(model, device, dtype), (model.vocab_size, model.d_model), device, dtype)


def save_vectors(model: ModelInfo, x: Tensor) -> None:
    """Keep the paper's source vectors; where there is little room, or none to write to, they are computed again next
    time."""
    size = x.numel() * x.element_size()
    if size <= MOST:
        _save(_of_vocabulary(model, x.device, x.dtype), x, size)


class StreamVectors:
    """The stream vectors (n, d) of tokens ``ids`` (n,) behind openings, each layer's in a file of its own."""

    def __init__(
        self, model: ModelInfo, openings: Sequence[Sequence[int]], ids: Tensor, device: torch.device, dtype: torch.dtype
    ) -> None:
        behind = [list(opening) for opening in openings]
        used = versions("torch", "transformers")
        self._told = [model.content_hash, behind, ids.tolist(), str(dtype), device.type, used]
        self._shape, self._device, self._dtype = (len(ids), model.d_model), device, dtype

    def load(self, layer: int) -> Tensor | None:
        """Those of a layer on the device; None where they are not kept."""
        return _load(self._path(layer), self._shape, self._device, self._dtype)

    def save(self, layer: int, vectors: Tensor, together: int) -> None:
        """Keep those of a layer, one of so many of a run; where those together take too much, none of them."""
        size = vectors.numel() * vectors.element_size() * together
        if size <= SHARE * MOST:
            _save(self._path(layer), vectors, size)

    def _path(self, layer: int) -> Path:
        return _path([*self._told, layer])


def _load(path: Path, shape: tuple[int, int], device: torch.device, dtype: torch.dtype) -> Tensor | None:
    from safetensors import safe_open

    def read(path: Path) -> Tensor:
        with safe_open(path, framework="pt", device=str(device)) as file:
            x: Tensor = file.get_tensor("x")
        return x

    found = load_file(path, read)
    return found if found is not None and found.shape == shape and found.dtype == dtype else None


def _save(path: Path, x: Tensor, size: int) -> None:
    """Write a file of a run that keeps so many bytes in all."""
    from safetensors.torch import save_file

    keep_file(path, lambda partial: save_file({"x": x}, partial), size=size, most=MOST)


def _of_vocabulary(model: ModelInfo, device: torch.device, dtype: torch.dtype) -> Path:
    return _path([model.content_hash, str(dtype), device.type, versions("torch")])


def _path(told: list[object]) -> Path:
    return cached_file("vectors", told, ".safetensors")
