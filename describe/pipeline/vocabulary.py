"""A model's vocabulary as the statistics see it, looked at once: by one run, and by those after it.

A look depends on the tokens, the dictionaries and our own lists of words; it takes longer than all tests together, and
is kept as numbers (`describe.cached`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from describe.cached import cached_file, keep_file, load_file
from describe.evidence import Vocabulary
from describe.evidence.vocabulary import Looks, looked_by

__all__ = ["MOST", "vocabulary_of"]

MOST = 1 << 28
"""Bytes that all vocabularies may take."""


def vocabulary_of(tokens: Sequence[str]) -> Vocabulary:
    """The vocabulary of a model with these tokens. Raises `InputError` when the dictionaries are not installed."""
    return _seen(tuple(tokens))


@lru_cache(maxsize=1)
def _seen(tokens: tuple[str, ...]) -> Vocabulary:
    told = hashlib.sha256(json.dumps(tokens).encode()).hexdigest()
    path = cached_file("vocabularies", [told, looked_by()], ".safetensors")
    kept = _load(path, len(tokens))
    found = Vocabulary(tokens, kept)
    if kept is None:
        _save(path, found.looks)
    return found


def _load(path: Path, n_tokens: int) -> Looks | None:
    """The looks that a file holds, of so many tokens; None where there are none, or it is damaged."""
    from safetensors import numpy

    kept = load_file(path, numpy.load_file)
    if kept is None or set(kept) != set(Looks._fields):
        return None
    looks = Looks(**kept)
    n_keys = int(looks.ends.max(initial=0))
    shapes = (len(looks.has), looks.same.shape, looks.owners.shape, looks.keys.shape)
    return looks if shapes == (n_tokens, (2, n_tokens), (n_keys,), (n_keys,)) else None


def _save(path: Path, looks: Looks) -> None:
    from safetensors.numpy import save_file

    size = sum(column.nbytes for column in looks)
    keep_file(path, lambda partial: save_file(looks._asdict(), partial), size=size, most=MOST)
