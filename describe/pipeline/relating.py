"""``headscribe relations``: how strongly every head implements each predefined operation."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.operations import Operation, Problem, load_operations
from describe.pipeline.common import Progress, choose_device, reading, silent
from describe.records import MIN_PAIRS, LayerScores, ModelInfo, OperationScores
from describe.versions import versions

if TYPE_CHECKING:
    import torch

    from describe.maps import Pairs
    from describe.weights import HeadWeights

__all__ = ["RelationsResult", "relations"]

_K = {"small": {False: 10, True: 1}, "large": {False: 25, True: 3}}
"""k by vocabulary and whether the operation copies: the paper's values; ``large`` is above 100,000 tokens."""


@dataclass(frozen=True)
class RelationsResult:
    """The scores of the operations asked for, and what could not be used."""

    model: ModelInfo
    operations: list[OperationScores]
    problems: list[Problem] = field(default_factory=list)
    new_layers: int = 0


@dataclass(frozen=True)
class _Selected:
    """An operation with its pairs as token ids, and where it is kept."""

    operation: Operation
    pairs: list[tuple[int, int]]
    k: int
    relation_id: int


def relations(
    catalogue: Catalogue,
    model: str,
    *,
    operations: Path | None = None,
    k: int | None = None,
    first_mlp: bool = True,
    both_first_tokens: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> RelationsResult:
    """Relation and suppression score of every head for every valid operation, committed layer by layer.

    Args:
        operations: a directory of operations; by default the 20 that headscribe brings.
        k: how near the top a target must be; by default by vocabulary size and operation.
        first_mlp: read sources through the first MLP in all layers but the first; else the embeddings everywhere.
        both_first_tokens: a word of several tokens counts by its first one, instead of not at all.

    Raises `InputError` for a model, directory or device that cannot be used.
    """
    if k is not None and k < 1:
        raise InputError("--k must be at least 1")
    chosen, problems = load_operations(operations)
    where = choose_device(device, "float64")

    from describe.weights import open_model

    weights = open_model(model)
    settings = {
        "k": k,
        "first_mlp": first_mlp,
        "both_first_tokens": both_first_tokens,
        "min_pairs": MIN_PAIRS,
        "biases": "of the first MLP and its norm only",
    } | reading(weights.info.family)
    run_id = catalogue.relations.begin_run(
        catalogue.register_model(weights.info),
        settings,
        standard=k is None and first_mlp and not both_first_tokens,
        versions=versions("torch", "transformers", "gguf", "safetensors") | {"device": where.type},
    )
    selected = [_select(catalogue, run_id, operation, weights, k, both_first_tokens) for operation in chosen]
    if operations is not None:
        problems += [
            Problem(
                found.operation.name, f"none of its {len(found.operation.pairs)} pairs is a single token on both sides"
            )
            for found in selected
            if not found.pairs
        ]
    valid = [found for found in selected if len(found.pairs) >= MIN_PAIRS]
    saved = catalogue.relations.saved_layers([found.relation_id for found in valid])
    missing = [layer for layer in range(weights.info.n_layers) if layer not in saved] if valid else []
    if missing:
        _score_layers(catalogue, weights, valid, missing, first_mlp, where, progress)
    asked = {found.relation_id for found in selected}
    scores = catalogue.relations.scores(run_id, only=asked)
    return RelationsResult(weights.info, scores, problems, len(missing))


def _select(
    catalogue: Catalogue, run_id: int, operation: Operation, weights: HeadWeights, k: int | None, first_tokens: bool
) -> _Selected:
    """The pairs that count for this vocabulary: each word, with a leading space, is one token."""

    def token(word: str) -> int | None:
        found = weights.token_id(f" {word}")
        return weights.first_token(f" {word}") if found is None and first_tokens else found

    ids = [(token(source), token(target)) for source, target in operation.pairs]
    pairs = list(dict.fromkeys((s, t) for s, t in ids if s is not None and t is not None))
    used = k or standard_k(weights.info, operation.copying)
    about = as_row(operation)
    relation_id = catalogue.relations.begin_relation(run_id, about, used, len(pairs), len(pairs) >= MIN_PAIRS)
    return _Selected(operation, pairs, used, relation_id)


def standard_k(model: ModelInfo, copying: bool = False) -> int:
    """How near the top a target must be, by vocabulary size and whether the operation copies: the paper's values."""
    return _K["small" if model.vocab_size <= 100_000 else "large"][copying]


def as_row(operation: Operation) -> dict[str, Any]:
    """An operation as the catalogue keeps it."""
    return {
        "name": operation.name,
        "content_hash": operation.content_hash,
        "category": operation.category,
        "direction": operation.direction,
        "pairs": operation.pairs,
    }


def _score_layers(
    catalogue: Catalogue,
    weights: HeadWeights,
    selected: list[_Selected],
    layers: list[int],
    first_mlp: bool,
    device: torch.device,
    progress: Progress,
) -> None:
    """Layer by layer: read, rank, commit all operations at once. A source of several operations is projected once."""
    import torch

    from describe.maps import Unembedding, relation_hits

    progress("relations", 0, len(layers))
    by_embedding = _pairs(selected, weights, False, device)
    by_mlp = _pairs(selected, weights, True, device) if first_mlp else by_embedding
    unembedding = Unembedding(weights.unembed, device)
    sizes = torch.tensor([len(found.pairs) for found in selected])
    share = (sizes / sizes.sum()).tolist()
    for done, layer in enumerate(layers, 1):
        started = time.perf_counter()
        hits = relation_hits(by_mlp if layer else by_embedding, weights.layer(layer), unembedding)
        top, bottom = (
            torch.stack([part.double().mean(1) for part in torch.split(side.cpu(), sizes.tolist(), dim=1)])
            for side in (hits.top, hits.bottom)
        )
        seconds = time.perf_counter() - started
        catalogue.relations.save_layer(
            layer,
            {
                found.relation_id: LayerScores(top[i].tolist(), bottom[i].tolist(), seconds * share[i])
                for i, found in enumerate(selected)
            },
        )
        progress("relations", done, len(layers))


def _pairs(selected: list[_Selected], weights: HeadWeights, mlp: bool, device: torch.device) -> Pairs:
    """All pairs of the operations, one after another, by the distinct tokens they start from."""
    import torch

    from describe.maps import Pairs

    every = [(source, target, found.k) for found in selected for source, target in found.pairs]
    place = {token: i for i, token in enumerate(dict.fromkeys(source for source, _, _ in every))}
    vectors = weights.embed[torch.tensor(list(place))].to(device, torch.float64)
    if mlp:
        vectors = weights.first_mlp.to(device, torch.float64)(vectors)

    def column(values: list[Any]) -> torch.Tensor:
        return torch.tensor(values, device=device)

    return Pairs(
        vectors=vectors,
        source=column([place[source] for source, _, _ in every]),
        target=column([target for _, target, _ in every]),
        k=column([k for _, _, k in every]),
    )
