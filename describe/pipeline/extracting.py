"""``headscribe extract``: the salient mappings of a model's heads, from its weights into the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.pipeline.common import Progress, choose_device, known, silent
from describe.records import HeadId, HeadMapping, MappingRow, ModelInfo, Target, parse_heads
from describe.versions import versions
from describe.weights import content_hash, locate

if TYPE_CHECKING:
    import torch

    from describe.maps import SalientOperations
    from describe.weights import HeadWeights
    from describe.weights.model import LayerWeights

__all__ = ["ExtractResult", "RowFinder", "by_layer", "extract", "named", "seed_of"]

N_SALIENT, N_TARGETS = 30, 5
"""The paper's numbers: salient tokens of a head, and targets of each."""

N_HELD_OUT, N_SAMPLED = 30, 30
"""Tokens kept besides, for judging descriptions by what their authors did not see: the next ones, and random ones."""


@dataclass(frozen=True)
class ExtractResult:
    """Which model was extracted, where its heads are, and how many were new."""

    model: ModelInfo
    extraction_id: int
    heads: list[HeadId]
    new: int


def extract(
    catalogue: Catalogue,
    model: str,
    *,
    heads: str = "all",
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = silent,
) -> ExtractResult:
    """Read the salient mappings of a model's heads into the catalogue; heads that are there are not read again.

    Args:
        model: MODEL as on the command line.
        heads: a selection as `describe.records.parse_heads` reads it.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        dtype: the precision to compute in, ``float32`` or ``float64``.

    Raises `InputError` for a model or selection that cannot be read, before anything is changed.
    """
    settings = extraction_settings(dtype)
    location = locate(model)
    found = known(catalogue, location.name, content_hash(location))
    if found is not None:
        model_id, info = found
        wanted = parse_heads(heads, info.n_layers, info.n_heads)
        extraction_id = catalogue.find_extraction(model_id, settings)
        saved = set() if extraction_id is None else catalogue.saved_heads(extraction_id, complete=True)
        if extraction_id is not None and saved.issuperset(wanted):
            return ExtractResult(info, extraction_id, wanted, 0)

    import torch

    from describe.weights import open_model

    where = choose_device(device, dtype)
    weights = open_model(model)
    info = weights.info
    wanted = parse_heads(heads, info.n_layers, info.n_heads)
    extraction_id = catalogue.begin_extraction(
        catalogue.register_model(info),
        settings,
        versions("torch", "transformers", "gguf", "safetensors") | {"device": where.type},
    )
    saved = catalogue.saved_heads(extraction_id, complete=True)
    missing = [head for head in wanted if head not in saved]
    _extract_layers(catalogue, extraction_id, weights, missing, where, getattr(torch, dtype), progress)
    return ExtractResult(info, extraction_id, wanted, len(missing))


def extraction_settings(dtype: str) -> dict[str, Any]:
    """What a head's mappings depend on besides the model. Raises `InputError` for a precision we do not compute in."""
    if dtype not in ("float32", "float64"):
        raise InputError(f"cannot compute in '{dtype}': use float32 or float64 (checkpoints may be stored in any)")
    return {
        "salient": N_SALIENT,
        "targets": N_TARGETS,
        "first_mlp": True,
        "biases": "of the first MLP and its norm only",
        "dtype": dtype,
    }


def _extract_layers(
    catalogue: Catalogue,
    extraction_id: int,
    weights: HeadWeights,
    heads: list[HeadId],
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress,
) -> None:
    """Layer by layer: read, compute, commit head by head."""
    progress("extract", 0, len(heads))
    find_rows = RowFinder(weights, device, dtype)
    done = 0
    for layer, in_layer in by_layer(heads).items():
        found = find_rows(weights.layer(layer), layer)
        for head in in_layer:
            catalogue.save_head(extraction_id, named(found, head, head.head, weights.tokens))
            done += 1
            progress("extract", done, len(heads))


class RowFinder:
    """Finds the rows that are kept of the heads of a layer: the most salient, the next, and some at random."""

    def __init__(self, weights: HeadWeights, device: torch.device, dtype: torch.dtype) -> None:
        from describe.maps import source_vectors

        self._info = weights.info
        self._x = source_vectors(weights.embed, weights.first_mlp, device, dtype)
        self._unembed = weights.unembed.to(device, dtype)

    def __call__(self, heads: LayerWeights, layer: int) -> SalientOperations:
        """The rows of these heads; ``layer`` decides what is drawn at random."""
        from describe.maps import salient_operations

        draw = {"sample": N_SAMPLED, "seed": seed_of(self._info, layer)}
        return salient_operations(self._x, heads, self._unembed, N_SALIENT + N_HELD_OUT, N_TARGETS, **draw)


def by_layer(heads: Iterable[HeadId]) -> dict[int, list[HeadId]]:
    """The heads of each layer."""
    layers: dict[int, list[HeadId]] = {}
    for head in heads:
        layers.setdefault(head.layer, []).append(head)
    return layers


def seed_of(model: ModelInfo, layer: int) -> int:
    """The seed for what is drawn for a layer's first head: of every head of the model, another."""
    return int(model.content_hash[:12], 16) + layer * model.n_heads


def named(found: SalientOperations, head: HeadId, place: int, tokens: list[str]) -> HeadMapping:
    """One head's part of a layer's result, at its ``place`` there, token ids with their text."""

    def targets(ids: torch.Tensor, logits: torch.Tensor) -> list[tuple[Target, ...]]:
        rows = zip(ids[place].tolist(), logits[place].tolist(), strict=True)
        return [tuple(Target(t, tokens[t], z) for t, z in zip(*row, strict=True)) for row in rows]

    sources, saliency = found.sources[place].tolist(), found.saliency[place].tolist()
    promoted, suppressed = targets(found.targets, found.logits), targets(found.suppressed, found.suppressed_logits)
    columns = zip(sources, saliency, promoted, suppressed, strict=True)
    rows = tuple(MappingRow(source, tokens[source], *rest) for source, *rest in columns)
    last = N_SALIENT + N_HELD_OUT
    return HeadMapping(head, rows[:N_SALIENT], held_out=rows[N_SALIENT:last], sampled=rows[last:])
