"""How much memory there is to compute in: what ``--memory`` allows, or a share of what the machine has to spare."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from describe.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["SHARE", "parse_memory", "room"]

SHARE = 0.5
"""The share taken of the memory to spare where nobody says how much."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_LIMITS = (("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),)


def parse_memory(text: str) -> int:
    """Bytes, from a size such as ``8GiB``, ``500MB`` or ``2G``. Raises `InputError` for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]I?|)B?", text.strip().upper())
    if found is None or float(found[1]) == 0:
        raise InputError(f"'{text}' is no amount of memory: write such as 8GiB or 500MB")
    return int(float(found[1]) * _UNITS[found[2]])


def room(memory: int | None, device: torch.device) -> int:
    """Bytes to compute in, on the device: of ``memory``, what this process does not hold yet; by default a share of
    what is free."""
    if device.type == "cuda":
        import torch

        free = int(torch.cuda.mem_get_info(device)[0] * 0.9)
        return free if memory is None else min(free, memory)
    import psutil

    if memory is not None:
        return int(memory - psutil.Process().memory_info().rss)
    return int(SHARE * min(psutil.virtual_memory().available, *map(_left, _LIMITS)))


def _left(limit: tuple[str, str]) -> float:
    """Bytes that a container's limit leaves; infinite where there is none."""
    try:
        most, now = (Path(file).read_text().strip() for file in limit)
        return float(most) - float(now)
    except (OSError, ValueError):  # no such file, or "max"
        return float("inf")
