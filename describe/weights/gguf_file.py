"""The header of a GGUF file: metadata, and where which tensor lies. Imports no torch.

Every number is held against the file before anything is read by it. gguf's own reader does not, and makes an object of
every element of a list: 1.3 GB for a vocabulary of 262,144 tokens, where this takes 22 MB.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from describe.errors import CheckpointError
from describe.text import shortened

__all__ = ["GgufFile", "StoredTensor"]

MOST = {"fields": 1 << 16, "tensors": 1 << 17, "texts in lists": 1 << 21, "bytes of a name": 1 << 16}
"""Limits of a file: a hundred times what any has, few enough to be looked through in a second."""

MOST_DIMENSIONS = 4
"""As in GGML."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The types of single values, by their number in the file, as ``struct`` calls them."""

_TEXT, _LIST = 8, 9


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in the file: its shape, rows first, the number of its type in GGML, and which bytes are its own."""

    shape: tuple[int, ...]
    kind: int
    start: int
    size: int


class GgufFile:
    """A GGUF file, mapped into memory. ``tensors``: all, by name.

    Raises `CheckpointError` for a file that is cut off, or says what cannot be of a file of its size.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._place = 0
            self._left = dict(MOST)
            self._fields: dict[str, tuple[int, int]] = {}
            n_tensors = self._read_metadata()
            self.tensors = self._read_tensors(n_tensors)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} is truncated or not a GGUF file ({error}): fetch it again") from error

    def metadata(self, key: str, default: object = None) -> Any:
        """A metadata field: a number, a text, or a list of either; the default where the file has none."""
        if key not in self._fields:
            return default
        kind, self._place = self._fields[key]
        if kind == _TEXT:
            return self._text()
        if kind != _LIST:
            return self._number(_SCALARS[kind])
        of, n = self._list_head()
        if n > MOST["texts in lists"]:
            raise CheckpointError(f"{self.path} has {n:,} values in '{shortened(key)}', which is no such list")
        if of == _TEXT:
            return [self._text() for _ in range(n)]
        return list(struct.unpack_from(f"<{n}{_SCALARS[of]}", self.data, self._place))

    # -- the header, from its start to its end; what is wrong is raised as ValueError ---------------------------------

    def _read_metadata(self) -> int:
        """Find where each field's value is. Returns how many tensors are told of behind them."""
        if self.data[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._place = 4
        version, n_tensors, n_fields = (int(self._number(code)) for code in "IQQ")
        if version not in (2, 3):
            raise ValueError(
                f"version {version} of the format, in the byte order of this machine, is none that is read"
            )
        self._take("tensors", n_tensors)
        self._take("fields", n_fields)
        for _ in range(n_fields):
            key, kind = self._name(), self._number("I")
            if key in self._fields:
                raise ValueError(f"the field '{shortened(key)}' is there twice")
            self._fields[key] = (kind, self._place)
            self._skip(kind)
        return n_tensors

    def _read_tensors(self, n_tensors: int) -> dict[str, StoredTensor]:
        told: list[tuple[str, tuple[int, ...], int, int]] = []
        for _ in range(n_tensors):
            name, n_dims = self._name(), self._number("I")
            if not 1 <= n_dims <= MOST_DIMENSIONS:
                raise ValueError(f"tensor '{shortened(name)}' has {n_dims} dimensions")
            sizes = [self._number("Q") for _ in range(n_dims)]
            told.append((name, tuple(reversed(sizes)), self._number("I"), self._number("Q")))
        end = self._place
        alignment = self.metadata("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise ValueError("its alignment is no power of two")
        start = -(-end // alignment) * alignment
        found: dict[str, StoredTensor] = {}
        for name, shape, kind, offset in told:
            if name in found:
                raise ValueError(f"tensor '{shortened(name)}' is there twice")
            found[name] = StoredTensor(shape, kind, start + offset, _size(name, shape, kind))
            if found[name].start + found[name].size > len(self.data):
                raise ValueError(f"tensor '{shortened(name)}' reaches beyond its end")
        return found

    def _skip(self, kind: int) -> None:
        """Go past a value."""
        if kind in _SCALARS:
            self._move(struct.calcsize(_SCALARS[kind]))
        elif kind == _TEXT:
            self._move(self._number("Q"))
        elif kind == _LIST:
            of, n = self._list_head()
            if of != _TEXT:
                self._move(n * struct.calcsize(_SCALARS[of]))
                return
            self._take("texts in lists", n)
            self._skip_texts(n)
        else:
            raise ValueError(f"a field has the unknown type {kind}")

    def _skip_texts(self, n: int) -> None:
        """Go past texts, a million in half a second."""
        length_at, place, last = struct.Struct("<Q").unpack_from, self._place, len(self.data) - 8
        for _ in range(n):
            if place > last:
                raise ValueError("it says more than it holds")
            place += 8 + length_at(self.data, place)[0]
        self._move(place - self._place)

    def _list_head(self) -> tuple[int, int]:
        """The type of a list's elements, and how many there are."""
        of, n = self._number("I"), self._number("Q")
        if of != _TEXT and of not in _SCALARS:
            raise ValueError(f"a list has elements of the type {of}")
        return of, n

    def _name(self) -> str:
        length = self._number("Q")
        if length > MOST["bytes of a name"]:
            raise ValueError(f"a name has {length:,} bytes")
        self._place -= 8
        return self._text()

    def _text(self) -> str:
        length = self._number("Q")
        start = self._place
        self._move(length)
        return self.data[start : self._place].decode("utf-8", "backslashreplace")

    def _number(self, code: str) -> Any:
        start = self._place
        self._move(struct.calcsize(code))
        return struct.unpack_from(f"<{code}", self.data, start)[0]

    def _move(self, n: int) -> None:
        self._place += n
        if self._place > len(self.data):
            raise ValueError("it says more than it holds")

    def _take(self, what: str, n: int) -> None:
        self._left[what] -= n
        if self._left[what] < 0:
            raise ValueError(f"it tells of {n:,} {what}, and {MOST[what]:,} is the most that is read")


def _size(name: str, shape: tuple[int, ...], kind: int) -> int:
    """Bytes of a tensor, which are of blocks in a row."""
    from gguf.constants import GGML_QUANT_SIZES

    sizes = {int(known): size for known, size in GGML_QUANT_SIZES.items()}
    if kind not in sizes:
        raise ValueError(f"tensor '{shortened(name)}' has the unknown type {kind}")
    in_block, of_block = sizes[kind]
    if not all(shape) or shape[-1] % in_block:
        raise ValueError(f"tensor '{shortened(name)}' has the shape {shape}, in blocks of {in_block}")
    return int(prod(shape) // in_block * of_block)
