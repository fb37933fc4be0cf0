"""Files of what can be computed again, in ``~/.cache/headscribe`` (``XDG_CACHE_HOME``).

One that is lost or damaged, or for which there is no room, only costs the time to compute it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

__all__ = ["cache_folder", "cached_file", "keep_file", "load_file"]

Found = TypeVar("Found")

FREE = 4
"""How many times the size of what is kept must be free on the disk for a file of it to be written."""


def cache_folder(name: str) -> Path:
    """The folder of this name; it may not be there yet."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "headscribe" / name


def cached_file(folder: str, told: object, suffix: str = "") -> Path:
    """The file of what depends on ``told`` alone: values that JSON has."""
    return cache_folder(folder) / f"{hashlib.sha256(json.dumps(told).encode()).hexdigest()}{suffix}"


def load_file(path: Path, read: Callable[[Path], Found]) -> Found | None:
    """A file as ``read`` has it, which is the one used last from now on; None where there is none, or it is damaged."""
    from safetensors import SafetensorError

    try:
        found = read(path)
    except (OSError, SafetensorError):
        return None
    with suppress(OSError):  # who may read it may not be who wrote it
        os.utime(path)
    return found


def keep_file(
    path: Path, write: Callable[[Path], object], *, size: int = 0, most: int | None = None
) -> Exception | None:
    """Have a file written, whole or not at all; give back what kept it from being written: no room, no permission.

    Args:
        size: bytes of it and of what is kept with it, for which the disk must have ample room.
        most: bytes that all files of its folder may take; those used least recently go.
    """
    from safetensors import SafetensorError  # its own name for every error of a file

    partial = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free >= FREE * size:
            write(partial)
            partial.replace(path)
            if most is not None:
                _drop(path.parent, most)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink()
        return error
    return None


def _drop(folder: Path, most: int) -> None:
    """Remove the files that were used before all those that there is room for."""
    files = sorted(((file.stat(), file) for file in folder.iterdir()), key=lambda one: -one[0].st_mtime_ns)
    total = 0
    for about, file in files:
        total += about.st_size
        if total > most:
            file.unlink(missing_ok=True)
