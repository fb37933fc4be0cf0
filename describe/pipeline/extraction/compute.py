"""Computation on a model within a machine's memory, without a catalogue. Where it does so, the engines decide."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from describe.maps import (
    BLOCK,
    ExtractionPlan,
    KeptRows,
    LayerReading,
    PairHits,
    Pairs,
    RankingPlan,
    RoundedRows,
    Rows,
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
from describe.pipeline.extraction.jobs import RankJob
from describe.pipeline.extraction.kept_vectors import load_vectors, save_vectors
from describe.pipeline.extraction.memory import room
from describe.records import ModelInfo
from describe.weights import HeadWeights
from describe.weights.model import LayerWeights, joined

__all__ = [
    "Found",
    "Means",
    "PaperRows",
    "Ranked",
    "Ranking",
    "extract_layers",
    "kept_sources",
    "kept_unembed",
    "salient_layers",
    "salient_rows",
    "seeds_of",
]

PaperRows = tuple[int, SalientOperations]
"""A layer and its heads' salient rows by the paper's reading."""

Found = tuple[int, SalientOperations | LayerReading]
"""A layer and what its heads do, by the paper's reading or another."""

BLOCK_OF_ACCELERATOR = 1 << 26
"""Numbers in the largest temporary where many are computed at once."""


Ranked = tuple[int, PairHits, float]
"""A layer, which pairs its heads implement and suppress, and the seconds that took."""


@dataclass(frozen=True)
class Means:
    """The device, precision and memory to compute with.

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

    def plan(self, weights: HeadWeights, layers: int, *, shared: bool = False) -> ExtractionPlan:
        """How to extract so many layers in the memory there is now; the source vectors may be ``shared``, elsewhere.

        Raises `InputError` when it does not suffice.
        """
        n, hidden = N_SALIENT + N_HELD_OUT + N_SAMPLED, 0 if shared else weights.hidden
        space, item = room(self.memory, self.device), self.dtype.itemsize
        return plan_extraction(weights.info, hidden, n, layers, item, space, self.block, shared=shared)

    def plan_ranking(self, weights: HeadWeights, triples: Sequence[tuple[int, int, int]]) -> RankingPlan:
        """How to rank (source, target, k) in the memory there is now. Raises `InputError` likewise."""
        sources, targets = (len({triple[side] for triple in triples}) for side in (0, 1))
        space = room(self.memory, self.device)
        return plan_ranking(weights.info, weights.hidden, sources, targets, space, self.block)


def extract_layers(weights: HeadWeights, layers: Sequence[int], means: Means) -> Iterator[PaperRows]:
    """Each layer and its salient operations, on the CPU, in order."""
    plan = means.plan(weights, len(layers))
    x = kept_sources(weights, means, plan)
    yield from salient_layers(weights, x, kept_unembed(weights, means, plan), layers, plan)


def salient_rows(
    weights: HeadWeights, stand_ins: Iterable[tuple[int, LayerWeights]], means: Means
) -> Iterator[PaperRows]:
    """Each layer and the salient operations of heads that stand in for its own, in order."""
    plan = means.plan(weights, layers=1)
    x, unembed, n = kept_sources(weights, means, plan), kept_unembed(weights, means, plan), N_SALIENT + N_HELD_OUT
    for layer, heads in stand_ins:
        seed = seeds_of(weights.info, layer)[0]
        found = salient_operations(x, heads, unembed, n, N_TARGETS, sample=N_SAMPLED, seed=seed, block=plan.block)
        yield layer, found.split(len(heads.output))[0]


def kept_unembed(weights: HeadWeights, means: Means, plan: ExtractionPlan) -> Rows:
    """The unembedding on the device where the plan keeps it there, else as it is read."""
    if not plan.keep_unembed:
        return weights.unembed
    whole = weights.unembed.to(means.device, means.dtype)
    return RoundedRows.of(whole) if plan.rounded else whole


def salient_layers(
    weights: HeadWeights, x: SourceVectors, unembed: Rows, layers: Sequence[int], plan: ExtractionPlan
) -> Iterator[PaperRows]:
    """As `extract_layers`, with the source vectors given, on the device and in the precision of their norms,
    and the unembedding."""
    info, n = weights.info, N_SALIENT + N_HELD_OUT
    for start in range(0, len(layers), plan.layers):
        together = layers[start : start + plan.layers]
        wide = joined((weights.layer(layer) for layer in together), len(together), x.norms.device, x.norms.dtype)
        seeds = [seed for layer in together for seed in seeds_of(info, layer)]
        found = salient_operations(x, wide, unembed, n, N_TARGETS, sample=N_SAMPLED, seed=seeds, block=plan.block)
        yield from zip(together, found.split(info.n_heads), strict=True)


class Ranking:
    """The pairs of a job, made ready to be ranked in its layers, in the memory there is now; ``tokens`` (n,): the ids
    of their sources, each once.

    Raises `InputError` when it does not suffice.
    """

    def __init__(self, weights: HeadWeights, job: RankJob, means: Means) -> None:
        place = {token: i for i, token in enumerate(dict.fromkeys(source for source, _, _ in job.triples))}
        plan = means.plan_ranking(weights, job.triples)
        self._weights, self._heads = weights, plan.heads
        self.tokens = torch.tensor(list(place))
        vectors = weights.embed[self.tokens].to(means.device, torch.float64)
        self._first = self._others = Pairs(
            vectors=vectors,
            source=torch.tensor([place[source] for source, _, _ in job.triples], device=means.device),
            target=torch.tensor([target for _, target, _ in job.triples], device=means.device),
            k=torch.tensor([k for _, _, k in job.triples], device=means.device),
        )
        if job.first_mlp:
            through, parts, block = weights.first_mlp, plan.parts, plan.block
            x = source_vectors(vectors, through, means.device, torch.float64, parts=parts, block=block)
            self._others = replace(self._first, vectors=x.of(slice(None)))
        self._unembedding = Unembedding(weights.unembed, means.device, keep=plan.keep_unembed, block=plan.block)

    def layer(self, layer: int, vectors: torch.Tensor | None = None) -> Ranked:
        """The pairs that each head of a layer implements and suppresses, on the CPU.

        ``vectors``: what heads read of the `tokens`, (n, d); by default as the paper has it.
        """
        started = time.perf_counter()
        pairs = self._others if layer else self._first
        if vectors is not None:
            pairs = replace(pairs, vectors=vectors.to(self._first.vectors))
        hits = relation_hits(pairs, self._weights.layer(layer), self._unembedding, heads=self._heads)
        return layer, PairHits(hits.top.cpu(), hits.bottom.cpu()), time.perf_counter() - started


def kept_sources(weights: HeadWeights, means: Means, plan: ExtractionPlan) -> SourceVectors:
    """The source vectors of the whole vocabulary, kept where the plan has them; not computed again where a file has
    them."""
    kept = load_vectors(weights.info, means.device, means.dtype) if plan.keep_sources else None
    if kept is not None:
        x = SourceVectors(kept, torch.linalg.vector_norm(kept, dim=1))
        return x.rounded() if plan.rounded else x
    shape = (weights.info.vocab_size, weights.info.d_model)
    keep = None if plan.keep_sources else _place(shape, means)
    mlp = weights.first_mlp
    x = source_vectors(weights.embed, mlp, means.device, means.dtype, keep=keep, parts=plan.parts, block=plan.block)
    if plan.keep_sources and isinstance(x.vectors, torch.Tensor):
        save_vectors(weights.info, x.vectors)
    return x.rounded() if plan.rounded else x


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
