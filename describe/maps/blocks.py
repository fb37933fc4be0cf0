"""Large matrices block by block: what a block is, where rows are kept, and what happens when a device is full."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from describe.errors import InputError

__all__ = ["BLOCK", "KeptRows", "Rows", "ScratchRows", "blocks", "in_blocks"]

BLOCK = 1 << 22
"""Numbers in the largest temporary of a block (16 MiB in float32): enough for full speed, few enough for caches."""


class Rows(Protocol):
    """A matrix (n, d), read by a slice of its rows or by their numbers, wherever it lies. Tensors are such."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        ...

    def __getitem__(self, rows: Any, /) -> Tensor: ...


class KeptRows(Rows, Protocol):
    """Rows that can be written too. Tensors are such."""

    def __setitem__(self, rows: Any, values: Tensor, /) -> None: ...


class ScratchRows:
    """Rows (n, d) kept in a nameless temporary file, which is gone when the process is."""

    def __init__(self, shape: tuple[int, int], dtype: torch.dtype) -> None:
        """Raises `InputError` when there is no room for it."""
        self.shape, self._dtype = shape, dtype
        self._file = tempfile.TemporaryFile(prefix="headscribe-", buffering=0)  # noqa: SIM115  (closed with the object)
        self._width = shape[1] * dtype.itemsize

    def __setitem__(self, rows: slice, values: Tensor) -> None:
        data = _bytes(values.to("cpu", self._dtype).contiguous())
        self._file.seek(rows.start * self._width)
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise InputError(
                f"no room for {self.shape[0] * self._width / 2**30:.1f} GiB of source vectors in"
                f" '{tempfile.gettempdir()}' ({error.strerror}): set TMPDIR to another directory, or raise --memory"
            ) from error

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        if isinstance(rows, slice):
            return self._read(range(self.shape[0])[rows])
        distinct, place = torch.unique(rows, return_inverse=True)
        return torch.cat([self._read(range(row, row + 1)) for row in distinct.tolist()])[place.cpu()]

    def _read(self, rows: range) -> Tensor:
        found = torch.empty(len(rows), self.shape[1], dtype=self._dtype)
        space = _bytes(found)
        self._file.seek(rows.start * self._width)
        while space:
            space = space[self._file.readinto(space) :]
        return found


def _bytes(tensor: Tensor) -> memoryview:
    view: Any = tensor.view(torch.uint8).flatten().numpy()
    return memoryview(view)


def blocks(rows: int, width: int, numbers: int = BLOCK, multiple: int = 1) -> Iterator[slice]:
    """Slices over ``rows`` so that a block of rows times ``width`` numbers stays within ``numbers``.

    All but the last have a multiple of ``multiple`` rows.
    """
    step = step_of(width, numbers, multiple)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def step_of(width: int, numbers: int, multiple: int = 1) -> int:
    """How many rows of ``width`` numbers make a block."""
    return max(1, numbers // max(1, width) // multiple) * multiple


def in_blocks(rows: int, width: int, work: Callable[[slice], None], *, numbers: int = BLOCK, multiple: int = 1) -> None:
    """Do ``work`` on slices over ``rows`` as `blocks` makes them; where the device's memory does not suffice for a
    block, halve it and go on. ``work`` may be broken off at any allocation, and is then done again on each half.
    """
    start, step = 0, step_of(width, numbers, multiple)
    while start < rows:
        try:
            work(slice(start, min(start + step, rows)))
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            if step <= multiple:
                raise
            step = max(1, step // 2 // multiple) * multiple
        else:
            start += step
