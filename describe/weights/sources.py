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

from describe.errors import CheckpointError, NotFiniteError
from describe.text import shortened
from describe.weights.gguf_file import GgufFile, StoredTensor
from describe.weights.gguf_parts import gguf_parts

__all__ = ["GgufSource", "StoredRows", "TensorSource", "finite"]


CHECKED_AT_ONCE = 1 << 22
"""Values that are looked at together."""


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


def finite(values: Tensor, name: str) -> Tensor:
    """The values of a tensor. Raises `NotFiniteError` when there is NaN or infinity among them."""
    # In parts, since to look at a value takes the room of another one for a moment.
    parts = torch.split(values.reshape(-1), CHECKED_AT_ONCE)
    if not all(bool(torch.isfinite(part).all()) for part in parts):
        raise NotFiniteError(f"the tensor '{shortened(name)}' holds values that are not finite (NaN or infinity)")
    return values


@dataclass(frozen=True)
class StoredRows:
    """A matrix (n, d) in a file, of which rows are read when asked for: ``matrix[slice]``, ``matrix[numbers]``.

    Reading raises `CheckpointError` for values that are not finite.

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
        stored = finite(self.source.read(self.name, rows), self.name)
        return stored if self.through is None else self.through(stored)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Tensor:
        """The whole matrix in memory."""
        return self[:].to(device, dtype)


class GgufSource:
    """A ``.gguf`` file, or all parts of one that is split. Quantised tensors are dequantised to float32 one by one as
    they are read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = [GgufFile(part) for part in gguf_parts(path)]
        self._where: dict[str, GgufFile] = {}
        for file in self._files:
            for name in file.tensors:
                if name in self._where:
                    raise CheckpointError(f"two parts of {path} hold the tensor '{shortened(name)}'")
                self._where[name] = file

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._where)

    @property
    def readable(self) -> list[str]:
        return sorted(name for name in self._where if not name.endswith(".scale"))

    def shape(self, name: str) -> tuple[int, ...]:
        return self._tensor(name).shape

    def read(self, name: str, rows: slice | Tensor | None = None) -> Tensor:
        stored = self._values(name, rows)
        scale = f"{name.removesuffix('weight')}scale"
        if not name.endswith("weight") or scale not in self._where:
            return stored
        by = self._values(scale)
        if by.numel() > 1:
            raise CheckpointError(
                f"{self.path} stores '{name}' with a scale of {by.numel()} numbers, which is not read"
            )
        return stored * by.reshape(())

    def _values(self, name: str, rows: slice | Tensor | None = None) -> Tensor:
        import gguf

        stored, data = self._tensor(name), self._where[name].data
        kind = gguf.GGMLQuantizationType(stored.kind)
        whole = np.frombuffer(data, np.uint8, stored.size, stored.start).reshape(*stored.shape[:-1], -1)
        chosen = whole[rows.numpy() if isinstance(rows, Tensor) else slice(None) if rows is None else rows]
        try:
            values = gguf.quants.dequantize(chosen, kind)
        except NotImplementedError as error:
            raise CheckpointError(
                f"{self.path} stores '{name}' as {kind.name}, which cannot be dequantised here"
            ) from error
        ours = torch.from_numpy(values if values.flags.writeable else values.copy())
        if hasattr(mmap, "MADV_DONTNEED"):  # what was read stays in the file cache, and counts as ours no longer
            data.madvise(mmap.MADV_DONTNEED)
        return ours

    def _tensor(self, name: str) -> StoredTensor:
        if name not in self._where:
            raise CheckpointError(f"{self.path} has no tensor '{name}': the file is incomplete")
        return self._where[name].tensors[name]

    def metadata(self, key: str, default: object = None) -> Any:
        """A metadata field's value, of the first part; the default where that has none."""
        return self._files[0].metadata(key, default)
