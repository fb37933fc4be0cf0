"""Chance that can be repeated: every draw is a hash of the seed and of what is drawn for, so that it depends on no
library's generator, no order of calls, and no process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

__all__ = ["chance", "hashed", "shuffled"]

T = TypeVar("T")


def hashed(value: Any) -> str:
    """SHA-256 of a value's JSON. Lone surrogates, as tokens may have them, are written as escapes."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def chance(*key: Any) -> float:
    """A number in [0, 1), uniform over keys, always the same for the same key."""
    return int(hashed(key)[:13], 16) / 16**13


def shuffled(things: Iterable[T], *key: Any) -> Sequence[T]:
    """The things in a random order, always the same for the same things in the same order and the same key."""
    found = list(things)
    return [found[i] for i in sorted(range(len(found)), key=lambda i: (chance(*key, i), i))]
