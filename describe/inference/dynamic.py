"""Dynamic relation and suppression scores: what heads write in prompts that contain the source (MAPS).

A head's own output at the last position, z W_O, goes through U, and a pair counts as for the static scores: by the rank
of its target, with the same counting. ``in_context`` is the output as the head attends in the prompt; ``of_source`` is
the output as if the last position attended to the source alone, which is the value vector at the source through W_O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from describe.check_records import HitCounts
from describe.inference.prompts import Prompt
from describe.inference.running import Attended, Runner
from describe.maps import Sought, Unembedding, head_hits
from describe.maps.blocks import blocks
from describe.maps.memory import HELD

__all__ = ["Asked", "dynamic_hits", "hits_of"]


@dataclass(frozen=True)
class Asked:
    """Pairs to look for in prompts: each of ``pairs`` is the place of its source among the sources, and its target.

    Attributes:
        sources: the token ids of each distinct source.
        pairs: (place of the source, target's token id).
        k: how many tokens may stand before the target, plus one.
    """

    sources: list[tuple[int, ...]]
    pairs: list[tuple[int, int]]
    k: int

    @classmethod
    def of(cls, pairs: Sequence[tuple[tuple[int, ...], int]], k: int) -> Asked:
        """From pairs of a source's token ids and a target's."""
        place = {source: i for i, source in enumerate(dict.fromkeys(source for source, _ in pairs))}
        return cls(list(place), [(place[source], target) for source, target in pairs], k)

    def sought(self, device: torch.device) -> Sought:
        """The prompts as tensors."""
        source, target = torch.tensor(self.pairs, device=device).T
        return Sought(source, target, torch.full_like(source, self.k))


def dynamic_hits(
    runner: Runner,
    asked: Asked,
    prompts: Sequence[Prompt],
    unembedding: Unembedding,
    layers: Sequence[int] | None = None,
) -> tuple[HitCounts, HitCounts]:
    """How many pairs each head of the layers (by default all) promotes and suppresses, in context and of the source.

    Args:
        prompts: one a source, all of one template.
        unembedding: of the same model.
    """
    layers = range(runner.info.n_layers) if layers is None else layers
    return hits_of(runner, asked, runner.attend(prompts, layers), layers, unembedding)


def hits_of(
    runner: Runner, asked: Asked, attended: Attended, layers: Sequence[int], unembedding: Unembedding
) -> tuple[HitCounts, HitCounts]:
    """`dynamic_hits` of what heads of the layers have read."""
    sought, info = asked.sought(runner.device), runner.info
    n, twice = len(asked.pairs), Sought(*(side.repeat(2) for side in (sought.source, sought.target, sought.k)))
    twice.source[n:] += len(asked.sources)
    found: tuple[list[tuple[Tensor, Tensor]], ...] = ([], [])
    each = 2 * len(asked.sources) * info.n_heads * info.d_model
    for some in blocks(len(layers), each, HELD):
        # Both, and several layers, at once: a part of the vocabulary is read, and multiplied, for all of them.
        every = attended.of_source[some].repeat_interleave(info.n_heads // info.n_kv_heads, dim=1)
        read = torch.cat([attended.in_context[some], every], dim=2).flatten(0, 1)
        output = torch.cat([runner.output(layer) for layer in layers[some]])
        hits = head_hits(read, output, twice, unembedding)
        for side, part in zip(found, (slice(n), slice(n, None)), strict=True):
            top, bottom = (hit[:, part].sum(1).view(-1, info.n_heads) for hit in (hits.top, hits.bottom))
            side += zip(top, bottom, strict=True)
    of_context, of_sources = (
        HitCounts(*(tuple(tuple(row.tolist()) for row in rows) for rows in zip(*side, strict=True))) for side in found
    )
    return of_context, of_sources
