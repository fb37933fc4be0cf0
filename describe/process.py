"""How a process of ours is set up for large products, before torch is imported. A library's host is left as it is."""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["prepare_process"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt(3)."""

OWN_PAGES, KEPT = 64 << 20, 256 << 20
"""Bytes from which a tensor has pages of its own, which go back with it; and how many the process keeps beyond that."""


def prepare_process() -> None:
    """Make memory of freed blocks ready for the next, and waiting threads give their core away soon.

    The C library hands memory of some MiB back to the system as soon as it is free, and each new block then begins with
    some thousand page faults: a fifth of the time of the first MLP. torch's threads wait for each other in a loop of
    some milliseconds; where another program has a core too, each small product takes that long, and of a shorter loop
    a quiet machine notices nothing.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # not every C library of Linux has it
        mallopt(M_MMAP_THRESHOLD, OWN_PAGES)
        mallopt(M_TRIM_THRESHOLD, KEPT)
