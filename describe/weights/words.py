"""Which tokens are one word: written with a capital or without, with a space before it or without."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from describe.text import word_of

__all__ = ["word_numbers"]


def word_numbers(tokens: Sequence[str], ids: Tensor) -> Tensor:
    """For each of the tokens ``ids`` (n,) the place of the first that is the same word, (n,); ``tokens``: all texts."""
    first: dict[str, int] = {}
    return torch.tensor([first.setdefault(word_of(tokens[index]), place) for place, index in enumerate(ids.tolist())])
