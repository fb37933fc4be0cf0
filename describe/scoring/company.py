"""The heads that are nearest to a head by their outputs: the hardest company for its rows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping

from describe.records import HeadId, HeadMapping

__all__ = ["Company"]

Weights = dict[int, float]
"""By token; of norm 1."""


class Company:
    """Heads of a model by the tokens that are targets of their salient rows, each weighed by its rarity among heads.

    Args:
        mappings: of all heads, with what is described of them as targets.
    """

    def __init__(self, mappings: Mapping[HeadId, HeadMapping]) -> None:
        counts = {head: _targets(mapping) for head, mapping in mappings.items()}
        having = Counter(token for of_head in counts.values() for token in of_head)
        self._rarity = {token: math.log(len(counts) / number) for token, number in having.items()}
        self._by_token: dict[int, list[tuple[HeadId, float]]] = {}
        for head, of_head in counts.items():
            for token, weight in self._weighed(of_head).items():
                self._by_token.setdefault(token, []).append((head, weight))

    def nearest(self, mapping: HeadMapping, n: int) -> list[HeadId]:
        """The ``n`` heads other than its own with the largest cosine to these rows, the nearest first.

        Fewer where fewer share a token with it.
        """
        cosines: defaultdict[HeadId, float] = defaultdict(float)
        for token, weight in self._weighed(_targets(mapping)).items():
            for head, its in self._by_token.get(token, ()):
                cosines[head] += weight * its
        ordered = sorted((-cosine, head) for head, cosine in cosines.items() if head[:2] != mapping.id[:2])
        return [head for _, head in ordered[:n]]

    def _weighed(self, counts: Counter[int]) -> Weights:
        """In how many rows each token is a target, times its rarity; tokens that all heads have are left out."""
        found = {token: n * self._rarity.get(token, 0.0) for token, n in counts.items()}
        norm = math.hypot(*found.values())
        return {token: weight / norm for token, weight in found.items() if weight}


def _targets(mapping: HeadMapping) -> Counter[int]:
    return Counter(target.token_id for row in mapping.salient for target in row.targets)
