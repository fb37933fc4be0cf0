"""What a machine computes of a model within its memory, without a catalogue. Where it does so, the engines decide."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from describe.maps import (
    BLOCK,
    ExtractionPlan,
    KeptRows,
    PairHits,
    Pairs,
    RankingPlan,
    SalientOperations,
    ScratchRows,
    SourceVectors,
    Unembedding,
    plan_extraction,
    plan_ranking,
    relation_hits,
    salient_operations,
    source_vectors,
)
from describe.pipeline.common import N_HELD_OUT, N_SALIENT, N_SAMPLED, N_TARGETS
from describe.pipeline.engines import RankJob
from describe.pipeline.memory import room
from describe.records import ModelInfo
from describe.weights import HeadWeights
from describe.weights.model import LayerWeights, joined

__all__ = ["Found", "Means", "Ranked", "extract_layers", "rank_layers", "salient_layers", "salient_rows", "seeds_of"]

Found = tuple[int, SalientOperations]
"""A layer and what its heads do."""

BLOCK_OF_ACCELERATOR = 1 << 26
"""Numbers in the largest temporary where many are computed at once."""


Ranked = tuple[int, PairHits, float]
"""A layer, which pairs its heads implement and suppress, and the seconds that took."""


@dataclass(frozen=True)
class Means:
    """What to compute with.

    Attributes:
        device: where.
        precision: in which: ``float32`` or ``float64``.
        memory: bytes that a process may take, or None for a share of what is free.
    """

    device: torch.device
    precision: str
    memory: int | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch calls it."""
        found: torch.dtype = getattr(torch, self.precision)
        return found

    @property
    def block(self) -> int:
        """Numbers in the largest temporary, at most."""
        return BLOCK if self.device.type == "cpu" else BLOCK_OF_ACCELERATOR

    def plan(self, weights: HeadWeights, layers: int) -> ExtractionPlan:
        """How to extract so many layers in the memory there is now.

        Raises `InputError` when it does not suffice.
        """
        sources = N_SALIENT + N_HELD_OUT + N_SAMPLED
        space = room(self.memory, self.device)
        return plan_extraction(weights.info, weights.hidden, sources, layers, self.dtype.itemsize, space, self.block)

    def plan_ranking(self, weights: HeadWeights, sources: int, targets: int) -> RankingPlan:
        """How to rank pairs of so many distinct sources and targets. Raises `InputError` likewise."""
        space = room(self.memory, self.device)
        return plan_ranking(weights.info, weights.hidden, sources, targets, space, self.block)


def extract_layers(weights: HeadWeights, layers: Sequence[int], means: Means) -> Iterator[Found]:
    """Each layer and its salient operations, on the CPU, in order."""
    plan = means.plan(weights, len(layers))
    yield from salient_layers(weights, _sources(weights, means, plan), layers, plan)


def salient_rows(weights: HeadWeights, stand_ins: Iterable[tuple[int, LayerWeights]], means: Means) -> Iterator[Found]:
    """Each layer and the salient operations of heads that stand in for its own, in order."""
    plan = means.plan(weights, layers=1)
    x, unembed, n = _sources(weights, means, plan), weights.unembed, N_SALIENT + N_HELD_OUT
    kept = unembed.to(x.norms.device, x.norms.dtype) if plan.keep_unembed else unembed
    for layer, heads in stand_ins:
        seed = seeds_of(weights.info, layer)[0]
        found = salient_operations(x, heads, kept, n, N_TARGETS, sample=N_SAMPLED, seed=seed, block=plan.block)
        yield layer, found.split(len(heads.output))[0]


def _sources(weights: HeadWeights, means: Means, plan: ExtractionPlan) -> SourceVectors:
    shape = (weights.info.vocab_size, weights.info.d_model)
    keep = None if plan.keep_sources else _place(shape, means)
    mlp = weights.first_mlp
    return source_vectors(weights.embed, mlp, means.device, means.dtype, keep=keep, parts=plan.parts, block=plan.block)


def salient_layers(
    weights: HeadWeights, x: SourceVectors, layers: Sequence[int], plan: ExtractionPlan
) -> Iterator[Found]:
    """The same, with the source vectors given, on the device and in the precision of their norms."""
    info, unembed = weights.info, weights.unembed
    kept = unembed.to(x.norms.device, x.norms.dtype) if plan.keep_unembed else unembed
    for start in range(0, len(layers), plan.layers):
        together = layers[start : start + plan.layers]
        wide = joined((weights.layer(layer) for layer in together), len(together), x.norms.device, x.norms.dtype)
        seeds = [seed for layer in together for seed in seeds_of(info, layer)]
        n = N_SALIENT + N_HELD_OUT
        found = salient_operations(x, wide, kept, n, N_TARGETS, sample=N_SAMPLED, seed=seeds, block=plan.block)
        yield from zip(together, found.split(info.n_heads), strict=True)


def rank_job(
    weights: HeadWeights,
    model: str,
    layers: tuple[int, ...],
    triples: Sequence[tuple[int, int, int]],
    first_mlp: bool,
    means: Means,
) -> RankJob:
    """The job of ranking (source, target, k) in layers: by the distinct tokens they start from, whose vectors are the
    embeddings in the first layer, and in all layers without ``first_mlp``."""
    place = {token: i for i, token in enumerate(dict.fromkeys(source for source, _, _ in triples))}
    plan = means.plan_ranking(weights, len(place), len({target for _, target, _ in triples}))
    embedded = weights.embed[torch.tensor(list(place))].to(means.device, torch.float64)
    first = Pairs(
        vectors=embedded,
        source=torch.tensor([place[source] for source, _, _ in triples], device=means.device),
        target=torch.tensor([target for _, target, _ in triples], device=means.device),
        k=torch.tensor([k for _, _, k in triples], device=means.device),
    )
    if not first_mlp:
        return RankJob(model, weights.info, layers, first, first)
    x = source_vectors(embedded, weights.first_mlp, means.device, torch.float64, parts=plan.parts, block=plan.block)
    return RankJob(model, weights.info, layers, first, replace(first, vectors=x.vectors[:]))


def rank_layers(weights: HeadWeights, job: RankJob, means: Means) -> Iterator[Ranked]:
    """The pairs of a job that each head of each of its layers implements and suppresses, on the CPU."""
    plan = means.plan_ranking(weights, len(job.first.vectors), len(torch.unique(job.first.target)))
    unembedding = Unembedding(weights.unembed, means.device, keep=plan.keep_unembed, block=plan.block)
    for layer in job.layers:
        started = time.perf_counter()
        pairs = job.others if layer else job.first
        hits = relation_hits(pairs, weights.layer(layer), unembedding, heads=plan.heads)
        yield layer, PairHits(hits.top.cpu(), hits.bottom.cpu()), time.perf_counter() - started


def _place(shape: tuple[int, int], means: Means) -> KeptRows:
    """Where source vectors are kept for which the device has no room: in this machine's memory, or a scratch file."""
    bytes_ = 2 * shape[0] * shape[1] * means.dtype.itemsize
    if means.device.type != "cpu" and bytes_ < room(means.memory, torch.device("cpu")):
        return torch.empty(shape, dtype=means.dtype)
    return ScratchRows(shape, means.dtype)


def seeds_of(model: ModelInfo, layer: int) -> range:
    """The seeds for drawing tokens of a layer's heads: of every head of the model, another."""
    first = int(model.content_hash[:12], 16) + layer * model.n_heads
    return range(first, first + model.n_heads)
