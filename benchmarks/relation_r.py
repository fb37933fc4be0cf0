"""Relation scores by several readings against what heads write of a source while the model runs ("without context")."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.subject import Subject, Variant
from describe.inference import PAPER_TEMPLATES, Runner, Template
from describe.maps import PairHits, Pairs, Sought, Unembedding, head_hits, relation_hits
from describe.operations import OURS, load_operations
from describe.records import MIN_PAIRS
from describe.weights import HeadWeights

__all__ = ["OperationPairs", "RelationFit", "operation_pairs", "relation_fits"]

CPU = torch.device("cpu")
TEMPLATES = PAPER_TEMPLATES[:1]
SEED = 0


@dataclass(frozen=True)
class OperationPairs:
    """Pairs of all valid operations: ``sources`` each once, ``sought`` among them, ``spans`` of each operation."""

    sources: Tensor
    sought: Sought
    spans: dict[str, slice]


@dataclass(frozen=True)
class RelationFit:
    """How a reading's relation scores go with the running model.

    Attributes:
        r: Pearson's r over heads and templates, the mean over operations that vary.
        largest: the largest score of a head, the mean over operations.
    """

    r: float
    largest: float


def operation_pairs(weights: HeadWeights, most: int) -> OperationPairs:
    """At most so many pairs of each operation that is valid in a vocabulary, drawn at random, the same every time."""
    chosen: list[tuple[int, int, int]] = []
    spans = {}
    for operation in load_operations()[0]:
        ids = [(weights.token_id(f" {s}"), weights.token_id(f" {t}")) for s, t in operation.pairs]
        valid = sorted({(s, t) for s, t in ids if s is not None and t is not None})
        if len(valid) >= MIN_PAIRS:
            drawn = random.Random(SEED).sample(valid, min(most, len(valid)))
            spans[operation.name] = slice(len(chosen), len(chosen) + len(drawn))
            chosen += [(s, t, OURS.k(weights.info, operation.copying)) for s, t in drawn]
    source, target, k = torch.tensor(chosen).T
    sources, place = torch.unique(source, return_inverse=True)
    return OperationPairs(sources, Sought(place, target, k), spans)


def relation_fits(
    subject: Subject, runner: Runner, pairs: OperationPairs, variants: Sequence[Variant], told: Callable[[str], None]
) -> list[RelationFit]:
    """The fit of each variant. What heads write while the model runs is ranked by the same U as what they write by the
    variant."""
    weights, info = subject.weights, subject.weights.info
    entities = [[token] for token in pairs.sources.tolist()]
    prompts = [Template.parse(text).prompts(entities, weights.start_ids, weights.token_ids) for text in TEMPLATES]
    read = torch.stack([runner.attend(batch).of_source for batch in prompts]).double()
    told("prompts run")
    every = torch.arange(info.vocab_size)
    static: list[list[PairHits]] = [[] for _ in variants]
    running: dict[bool, list[list[PairHits]]] = {False: [], True: []}
    for layer in range(info.n_layers):
        own = weights.layer(layer)
        for gains in {variant.gains for variant in variants}:
            variant = next(one for one in variants if one.gains == gains)
            unembedding = Unembedding(subject.unembed(variant, layer, every), CPU)
            output = own.output.double()
            running[gains].append([head_hits(z[layer], output, pairs.sought, unembedding) for z in read])
            for place, variant in enumerate(variants):
                if variant.gains == gains:
                    vectors = subject.sources(variant, layer, pairs.sources)[0].double()
                    asked = Pairs(pairs.sought.source, pairs.sought.target, pairs.sought.k, vectors)
                    static[place].append(relation_hits(asked, own, unembedding))
        told(f"relations of layer {layer}")
    return [_fit(static[i], running[variant.gains], pairs) for i, variant in enumerate(variants)]


def _fit(static: list[PairHits], running: list[list[PairHits]], pairs: OperationPairs) -> RelationFit:
    scores = torch.cat([hits.top for hits in static]).double()
    seen = [torch.cat([layer[i].top for layer in running]).double() for i in range(len(TEMPLATES))]
    found, largest = [], []
    for span in pairs.spans.values():
        ours = scores[:, span].mean(1).numpy()
        theirs = np.concatenate([hits[:, span].mean(1).numpy() for hits in seen])
        largest.append(float(ours.max()))
        if np.ptp(ours) and np.ptp(theirs):
            found.append(float(np.corrcoef(np.tile(ours, len(seen)), theirs)[0, 1]))
    return RelationFit(float(np.mean(found)), float(np.mean(largest)))
