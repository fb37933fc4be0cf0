"""The places of a document from which heads look hardest, and at what: attention times the length of what is written.

Kept of each document are the strongest places and as many at random; of all documents together the strongest contexts,
one from each tenth of the random ones by strength, and the pairs of tokens that come up most strongly.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from describe.attention import FIRST_PLACE

__all__ = ["KEYS", "PLACES", "Looks", "looks"]

PLACES, KEYS = 4, 4
"""Places kept of each sort of a document, and tokens kept that each of them attends to."""


@dataclass(frozen=True)
class Looks:
    """From where H heads look, and at what: of each head the strongest `PLACES` places, then as many at random.

    Attributes:
        places: (H, P) in the document.
        keys: (H, P, K) what is attended to, the strongest first; the first token is left out.
        attention: (H, P, K) to each.
        strength: (H, P) attention to the strongest times the length of what is written for it.
    """

    places: Tensor
    keys: Tensor
    attention: Tensor
    strength: Tensor


def looks(patterns: Tensor, lengths: Tensor, seed: int) -> Looks:
    """From patterns (H, T, T) and lengths (H, T); the random places are those that ``seed`` draws."""
    heads, size, _ = patterns.shape
    strength = patterns * lengths[:, None, :]
    strength[:, :, 0] = 0
    best = strength.amax(-1)
    best[:, :FIRST_PLACE] = -1
    strongest = best.topk(PLACES, dim=1).indices
    drawn = random.Random(seed).sample(range(FIRST_PLACE, size), PLACES)  # noqa: S311  (not a secret)
    places = torch.cat([strongest, torch.tensor(drawn, device=patterns.device).expand(heads, -1)], dim=1)
    rows = torch.arange(heads, device=patterns.device)[:, None]
    top, keys = strength[rows, places].topk(KEYS, dim=-1)
    attention = patterns[rows, places].gather(2, keys)
    return Looks(places, keys, attention, top[..., 0])
