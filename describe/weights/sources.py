"""Files that hold tensors, read one tensor at a time. Nothing is ever unpickled."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import torch

from describe.errors import CheckpointError

__all__ = ["GgufSource", "SafetensorsSource", "TensorSource"]


class TensorSource(Protocol):
    """Named tensors in a file or several."""

    @property
    def names(self) -> frozenset[str]:
        """The names of all tensors."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without reading it. Raises `CheckpointError` when there is no such tensor."""
        ...

    def read(self, name: str) -> torch.Tensor:
        """One tensor, in its stored floating type, or float32 where it is stored quantised.

        Raises `CheckpointError` when there is no such tensor or its data is not there.
        """
        ...


class SafetensorsSource:
    """A directory's ``model.safetensors``, or its shards by ``model.safetensors.index.json``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._where = _safetensors_files(directory)
        self._open = ExitStack()
        self._handles: dict[Path, Any] = {}

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._where)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._handle(self._file(name)).get_slice(name).get_shape())

    def read(self, name: str) -> torch.Tensor:
        if name not in self._where and f"{name}_blocks" in self._where:
            return from_mxfp4(self.read(f"{name}_blocks"), self.read(f"{name}_scales"))
        path = self._file(name)
        try:
            tensor: torch.Tensor = self._handle(path).get_tensor(name)
        except Exception as error:  # safetensors raises its own SafetensorError, a plain Exception
            raise CheckpointError(f"cannot read tensor '{name}' from {path}: {error}") from error
        return tensor

    def _file(self, name: str) -> Path:
        if name not in self._where:
            raise CheckpointError(f"{self._directory} has no tensor '{name}': the checkpoint is incomplete")
        return self._where[name]

    def _handle(self, path: Path) -> Any:
        if path not in self._handles:
            self._handles[path] = self._open.enter_context(_safe_open(path))
        return self._handles[path]


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
        try:
            where = {
                str(name): directory / str(file) for name, file in json.loads(index.read_text())["weight_map"].items()
            }
        except (ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{index} is not a safetensors index: {error!r}") from error
        for path in sorted(set(where.values())):
            if path.parent != directory or not path.is_file():
                raise CheckpointError(f"{index} names the shard '{path.name}', which is not in the directory")
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
        import gguf

        self.path = path
        try:
            self._reader = gguf.GGUFReader(path)
        except Exception as error:  # a damaged file makes the reader fail in many ways
            raise CheckpointError(f"{path} is truncated or not a GGUF file ({error}): fetch it again") from error
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(int(size) for size in reversed(self._tensor(name).shape))

    def read(self, name: str) -> torch.Tensor:
        import gguf

        stored = self._tensor(name)
        try:
            data = gguf.quants.dequantize(stored.data, stored.tensor_type)
        except NotImplementedError as error:
            raise CheckpointError(
                f"{self.path} stores '{name}' as {stored.tensor_type.name}, which cannot be dequantised here"
            ) from error
        return torch.from_numpy(data.copy() if not data.flags.writeable else data)

    def _tensor(self, name: str) -> Any:
        if name not in self._tensors:
            raise CheckpointError(f"{self.path} has no tensor '{name}': the file is incomplete")
        return self._tensors[name]

    def metadata(self, key: str, default: Any = None) -> Any:
        """A metadata field's value; the default where the file has none."""
        field = self._reader.fields.get(key)
        return default if field is None else field.contents()
