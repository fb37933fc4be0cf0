"""A directory's safetensors files, read one tensor at a time or some rows of one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.text import shortened
from describe.weights.checkpoint_files import LARGEST_INDEX, WRAPPERS, read_json, weight_file
from describe.weights.quantised import Scales, parts_of, quantisation_of, scale_names

__all__ = ["SafetensorsSource"]

_BYTES_ONLY = ("F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
"""Types of which torch gathers no rows by their numbers."""


@dataclass(frozen=True)
class _Place:
    """Where a tensor is: its file, and its name there."""

    path: Path
    name: str


@dataclass(frozen=True)
class _Head:
    """A tensor's shape and type, as its file says them."""

    shape: tuple[int, ...]
    kind: str


class SafetensorsSource:
    """The tensors of a directory that ``transformers`` would load; those in eight bits times their scales, as float32.

    Raises `CheckpointError` for a directory without weights, and when a tensor is asked for that is quantised in a way
    that is not read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._where = _places(directory)
        self._quantisation = quantisation_of(directory)
        self._head = cache(self._read_head)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._where)

    @property
    def readable(self) -> list[str]:
        of_others = {part for name in self._where for part in parts_of(name)}
        of_others |= {f"{name.removesuffix('_blocks')}_scales" for name in self._where if name.endswith("_blocks")}
        return sorted(name.removesuffix("_blocks") for name in self._where if name not in of_others)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._head(name).shape

    def read(self, name: str, rows: slice | Tensor | None = None) -> Tensor:
        if name not in self._where and f"{name}_blocks" in self._where:
            whole = from_mxfp4(self._stored(f"{name}_blocks"), self._stored(f"{name}_scales"))
            return whole if rows is None else whole[rows]
        head = self._head(name)
        stored = self._stored(name, rows, head.kind in _BYTES_ONLY)
        scales = scale_names(name, self._where)
        if stored.dtype.itemsize > 1:
            return stored
        if scales is None:
            return stored.float()
        by, zero = (None if each is None else self._stored(each) for each in scales)
        assert by is not None
        of_127 = by.float() / 127 if scales[0].endswith("SCB") else by
        numbers = torch.arange(head.shape[0])[slice(None) if rows is None else rows]
        return Scales(name, of_127, zero, self._quantisation.block).applied(stored, head.shape, numbers)

    def _stored(self, name: str, rows: slice | Tensor | None = None, as_bytes: bool = False) -> Tensor:
        """A tensor's values as they are in its file."""
        place = self._place(name)
        try:
            with safe_open(place.path) as handle:
                if isinstance(rows, slice):
                    some: Tensor = handle.get_slice(place.name)[rows]
                    return some
                whole: Tensor = handle.get_tensor(place.name)
        except CheckpointError:
            raise
        except Exception as error:  # safetensors raises its own SafetensorError, a plain Exception
            raise CheckpointError(f"cannot read tensor '{shortened(name)}' from {place.path}: {error}") from error
        if rows is None:
            return whole
        return whole.view(torch.uint8)[rows].view(whole.dtype) if as_bytes else whole[rows]

    def _read_head(self, name: str) -> _Head:
        place = self._place(name)
        try:
            with safe_open(place.path) as handle:
                found = handle.get_slice(place.name)
                head = _Head(tuple(found.get_shape()), str(found.get_dtype()))
        except CheckpointError:
            raise
        except Exception as error:
            raise CheckpointError(f"cannot read tensor '{shortened(name)}' from {place.path}: {error}") from error
        self._quantisation.check(name, head.kind, self._where)
        return head

    def _place(self, name: str) -> _Place:
        if name in self._where:
            return self._where[name]
        if self._quantisation.method and any(other.startswith(name.removesuffix("weight")) for other in self._where):
            raise self._quantisation.refusal(name)  # under names of its own
        raise CheckpointError(f"{self._directory} has no tensor '{shortened(name)}': the checkpoint is incomplete")


def safe_open(path: Path) -> Any:
    """A safetensors file, for reading. Raises `CheckpointError` when it is none."""
    import safetensors

    try:
        return safetensors.safe_open(path, framework="pt")
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or not a safetensors file ({error}): fetch it again") from error


def _places(directory: Path) -> dict[str, _Place]:
    """Where each tensor is, by its name without what tools of training put into it."""
    file = weight_file(directory)
    if file.suffix == ".json":
        stored = _shards(file)
    else:
        index = file.with_name(f"{file.name}.index.json")
        if index.is_file():  # left over; the file is what counts
            _weight_map(index)
        with safe_open(file) as handle:
            stored = dict.fromkeys(handle.keys(), file)
    if any(".lora_" in name or ".base_layer." in name or ".modules_to_save." in name for name in stored):
        raise CheckpointError(
            f"{directory} holds a LoRA adapter beside the weights that it changes: call merge_and_unload() of peft,"
            " and save the whole model with save_pretrained"
        )
    found: dict[str, _Place] = {}
    for name, path in stored.items():
        plain = name
        for wrapper in WRAPPERS:
            plain = plain.replace(wrapper, "")
        if plain in found:
            raise CheckpointError(f"{directory} has the tensor '{shortened(plain)}' twice, under different names")
        found[plain] = _Place(path, name)
    return found


def _shards(index: Path) -> dict[str, Path]:
    """Which file holds which tensor, by the index of several."""
    where = {name: index.parent / str(file) for name, file in _weight_map(index).items()}
    for path in sorted(set(where.values())):
        if path.parent != index.parent or not path.is_file():
            name = shortened(path.name)
            raise CheckpointError(f"{index} names the shard '{name}', which is not in the directory")
    return where


def _weight_map(index: Path) -> dict[str, object]:
    """The names of files by those of tensors. Raises `CheckpointError` where an index has none."""
    told = read_json(index, LARGEST_INDEX)
    names = told.get("weight_map") if isinstance(told, dict) else None
    if not isinstance(names, dict):
        raise CheckpointError(f"{index} is not a safetensors index: it has no weight_map")
    return names


def from_mxfp4(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """A tensor (n, in, out) out of the 4-bit numbers in which GPT-OSS is published, in bfloat16, which holds them.

    Args:
        blocks: (n, out, in / 32, 16) bytes of two numbers each, the lower half first.
        scales: (n, out, in / 32) exponents of two, 127 too large, one for each 32 numbers.
    """
    size = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.bfloat16)
    values = torch.cat([size, -size])
    whole = torch.empty(*blocks.shape[:2], blocks.shape[2] * 32, dtype=torch.bfloat16)
    for one, packed, exponents in zip(
        whole, blocks, scales, strict=True
    ):  # one at a time: places take 16 times the room
        numbers = torch.stack([values[(packed & 15).long()], values[(packed >> 4).long()]], dim=-1).flatten(2)
        one.copy_(torch.ldexp(numbers, exponents.int()[..., None] - 127).flatten(1))
    return whole.mT
