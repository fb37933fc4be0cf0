"""Files that hold tensors, read one tensor at a time or some rows of one. Nothing is ever unpickled.

Files are mapped, not loaded, and only for as long as what was read of them is in use: a read tensor's pages belong to
the file, and the system may take them back at any time.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.text import shortened
from describe.weights.file_check import LARGEST_CONFIG, LARGEST_INDEX, read_json
from describe.weights.gguf_file import GgufFile, StoredTensor

__all__ = ["GgufSource", "SafetensorsSource", "StoredRows", "TensorSource"]

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)


class TensorSource(Protocol):
    """Named tensors in a file or several."""

    @property
    def names(self) -> frozenset[str]:
        """The names of all tensors."""
        ...

    @property
    def readable(self) -> list[str]:
        """The names of all tensors as they are read, in order: without the scales and blocks that some are made of."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without reading it. Raises `CheckpointError` when there is no such tensor."""
        ...

    def read(self, name: str, rows: slice | Tensor | None = None) -> Tensor:
        """One tensor, or the rows of it given by a slice or by their numbers, in its stored floating type, or float32
        where it is stored quantised.

        Raises `CheckpointError` when there is no such tensor or its data is not there.
        """
        ...


@dataclass(frozen=True)
class StoredRows:
    """A matrix (n, d) in a file, of which rows are read when asked for: ``matrix[slice]``, ``matrix[numbers]``.

    ``through``: what rows (m, d) go through when they are read, if anything.
    """

    source: TensorSource
    name: str
    through: Callable[[Tensor], Tensor] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        return self.source.shape(self.name)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        stored = self.source.read(self.name, rows)
        return stored if self.through is None else self.through(stored)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Tensor:
        """The whole matrix in memory."""
        return self[:].to(device, dtype)


class SafetensorsSource:
    """A directory's ``model.safetensors``, or its shards by ``model.safetensors.index.json``.

    Tensors in eight bits are multiplied with the scales stored beside them: ``NAME_scale_inv`` has one for each square
    block (DeepSeek, Qwen), ``NAME_scale`` one for each row or one for all (compressed-tensors, FBGEMM).
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._where = _safetensors_files(directory)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._block = _scale_block(directory)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._where)

    @property
    def readable(self) -> list[str]:
        of_others = {f"{name}{tail}" for name in self._where for tail in ("_scale", "_scale_inv")}
        of_others |= {f"{name.removesuffix('_blocks')}_scales" for name in self._where if name.endswith("_blocks")}
        return sorted(name.removesuffix("_blocks") for name in self._where if name not in of_others)

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self._shapes:
            with _safe_open(self._file(name)) as handle:
                self._shapes[name] = tuple(handle.get_slice(name).get_shape())
        return self._shapes[name]

    def read(self, name: str, rows: slice | Tensor | None = None) -> Tensor:
        if name not in self._where and f"{name}_blocks" in self._where:
            whole = from_mxfp4(self.read(f"{name}_blocks"), self.read(f"{name}_scales"))
            return whole if rows is None else whole[rows]
        path = self._file(name)
        try:
            with _safe_open(path) as handle:
                stored: Tensor = handle.get_slice(name)[rows] if isinstance(rows, slice) else handle.get_tensor(name)
                stored = _gathered(stored, rows) if isinstance(rows, Tensor) else stored
        except CheckpointError:
            raise
        except Exception as error:  # safetensors raises its own SafetensorError, a plain Exception
            raise CheckpointError(f"cannot read tensor '{name}' from {path}: {error}") from error
        return self._scaled(name, stored, rows) if stored.dtype in FLOAT8 else stored

    def _scaled(self, name: str, stored: Tensor, rows: slice | Tensor | None) -> Tensor:
        """Eight-bit values times their scales, in float32; as they are where no scale is stored."""
        whole = self.shape(name)
        numbers = torch.arange(whole[0])[slice(None) if rows is None else rows]
        if f"{name}_scale_inv" in self._where:
            scale = self.read(f"{name}_scale_inv").float()
            high, wide = self._block
            return stored.float() * scale[numbers // high].repeat_interleave(wide, dim=1)[:, : whole[1]]
        if f"{name}_scale" in self._where:
            scale = self.read(f"{name}_scale").float().reshape(-1, 1)
            return stored.float() * (scale if len(scale) == 1 else scale[numbers])
        return stored.float()

    def _file(self, name: str) -> Path:
        if name not in self._where:
            raise CheckpointError(f"{self._directory} has no tensor '{name}': the checkpoint is incomplete")
        return self._where[name]


def _gathered(stored: Tensor, rows: Tensor) -> Tensor:
    """Rows by their numbers; torch gathers no eight-bit floats, but bytes."""
    if stored.dtype in FLOAT8:
        return stored.view(torch.uint8)[rows].view(stored.dtype)
    return stored[rows]


def _scale_block(directory: Path) -> tuple[int, int]:
    """Rows and columns that share a scale in ``NAME_scale_inv``."""
    try:
        told = read_json(directory / "config.json", LARGEST_CONFIG)["quantization_config"]["weight_block_size"]
        high, wide = (int(size) for size in told)
    except (CheckpointError, ValueError, KeyError, TypeError, OverflowError):
        return 128, 128  # as DeepSeek's, which says so only in its code
    if not (0 < high < 1 << 20 and 0 < wide < 1 << 20):
        raise CheckpointError(f"{directory / 'config.json'} cannot be understood: weight_block_size is {high}, {wide}")
    return high, wide


def _safe_open(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or not a safetensors file ({error}): fetch it again") from error


def _safetensors_files(directory: Path) -> dict[str, Path]:
    """Which file of the directory holds which tensor."""
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        told = read_json(index, LARGEST_INDEX)
        names = told.get("weight_map") if isinstance(told, dict) else None
        if not isinstance(names, dict):
            raise CheckpointError(f"{index} is not a safetensors index: it has no weight_map")
        where = {name: directory / str(file) for name, file in names.items()}
        for path in sorted(set(where.values())):
            if path.parent != directory or not path.is_file():
                name = shortened(path.name)
                raise CheckpointError(f"{index} names the shard '{name}', which is not in the directory")
        return where
    single = directory / "model.safetensors"
    if single.is_file():
        with _safe_open(single) as handle:
            return dict.fromkeys(handle.keys(), single)
    if any(directory.glob("*.bin")) or any(directory.glob("*.pt*")):
        raise CheckpointError(
            f"{directory} holds pickled weights only, which can run code and are never loaded:"
            " save the model again with save_pretrained, which writes safetensors"
        )
    raise CheckpointError(f"{directory} holds no model.safetensors and no model.safetensors.index.json")


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


class GgufSource:
    """A ``.gguf`` file. Quantised tensors are dequantised to float32 one by one as they are read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = GgufFile(path)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._file.tensors)

    @property
    def readable(self) -> list[str]:
        return sorted(self.names)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._tensor(name).shape

    def read(self, name: str, rows: slice | Tensor | None = None) -> Tensor:
        import gguf

        stored = self._tensor(name)
        kind = gguf.GGMLQuantizationType(stored.kind)
        whole = np.frombuffer(self._file.data, np.uint8, stored.size, stored.start).reshape(*stored.shape[:-1], -1)
        chosen = whole[rows.numpy() if isinstance(rows, Tensor) else slice(None) if rows is None else rows]
        try:
            data = gguf.quants.dequantize(chosen, kind)
        except NotImplementedError as error:
            raise CheckpointError(
                f"{self.path} stores '{name}' as {kind.name}, which cannot be dequantised here"
            ) from error
        ours = torch.from_numpy(data if data.flags.writeable else data.copy())
        if hasattr(mmap, "MADV_DONTNEED"):  # what was read stays in the file cache, and counts as ours no longer
            self._file.data.madvise(mmap.MADV_DONTNEED)
        return ours

    def _tensor(self, name: str) -> StoredTensor:
        if name not in self._file.tensors:
            raise CheckpointError(f"{self.path} has no tensor '{name}': the file is incomplete")
        return self._file.tensors[name]

    def metadata(self, key: str, default: Any = None) -> Any:
        """A metadata field's value; the default where the file has none."""
        return self._file.metadata(key, default)
