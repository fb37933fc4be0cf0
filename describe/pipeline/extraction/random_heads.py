"""The random heads of a model, against which evidence is held; drawn once, then kept in the catalogue."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.catalog.placebos import NULL
from describe.head_record import Json
from describe.pipeline.common import N_DIRECT_TARGETS, N_SALIENT, N_TARGETS, Progress, choose_device, silent
from describe.pipeline.extraction.jobs import Beside, StandIns
from describe.pipeline.extraction.naming import named
from describe.readings import PAPER, Reading
from describe.records import HeadId, HeadMapping
from describe.versions import versions

if TYPE_CHECKING:
    import torch

    from describe.maps import HeadsTogether, LayerReading, LayerView, RowCounts
    from describe.pipeline.extraction.compute import Means
    from describe.weights import HeadWeights
    from describe.weights.model import LayerWeights

__all__ = ["random_beside", "random_mappings"]


def random_mappings(
    catalogue: Catalogue,
    model: str,
    own: int,
    *,
    keep: bool = True,
    device: str = "auto",
    progress: Progress = silent,
) -> list[HeadMapping]:
    """The random heads of the model whose own heads are in the extraction ``own``; those missing are drawn now.

    They are drawn in groups, ``0.0`` to ``0.63`` the first. ``keep`` commits them. The placebos that descriptions are
    tried on are other draws.
    """
    from describe.evidence import RANDOM

    settings = _settings()
    extraction_id = catalogue.placebos.find(own, NULL, settings)
    if extraction_id is None and keep:
        extraction_id = catalogue.placebos.begin(own, NULL, settings, versions("torch"))
    saved = set() if extraction_id is None else catalogue.saved_heads(extraction_id)
    every = [HeadId(group, number) for group in range(RANDOM["groups"]) for number in range(RANDOM["heads"])]
    found = {head: catalogue.mapping(extraction_id, head) for head in every if head in saved and extraction_id}
    missing = [group for group in range(RANDOM["groups"]) if any(h.layer == group for h in every if h not in saved)]
    if missing:
        progress("chance", len(saved), len(every))
    for mapping in _draw(catalogue, model, own, missing, device, progress):
        if mapping.id not in found:
            found[mapping.id] = mapping
            if keep and extraction_id is not None:
                catalogue.save_head(extraction_id, mapping)
            progress("chance", len(found), len(every))
    return [found[head] for head in every]


def _draw(
    catalogue: Catalogue, model: str, own: int, groups: list[int], device: str, progress: Progress
) -> Iterator[HeadMapping]:
    """The random heads of some groups, with the spectra of own heads that are drawn at random."""
    if not groups:
        return
    import torch

    from describe.maps.roles import singular_values
    from describe.pipeline.extraction.compute import Means
    from describe.weights import open_model

    weights, means = open_model(model), Means(choose_device(device, "float32"), "float32")
    reading, drawn = catalogue.reading(own), _spectra_of(sorted(catalogue.saved_heads(own)), groups)
    cpu = torch.empty(0)
    if reading != PAPER:
        yield from _by_view(model, weights, reading, means, drawn, progress)
        return
    spectra: dict[HeadId, torch.Tensor] = {}
    for layer in {head.layer for head in drawn.values()}:
        read = weights.layer(layer)
        of_layer = (head for head in set(drawn.values()) if head.layer == layer)
        spectra |= {head: singular_values(read, head.head, cpu) for head in of_layer}
    yield from _by_paper(weights, means, {name: spectra[head] for name, head in drawn.items()})


def _by_paper(weights: HeadWeights, means: Means, spectra: dict[HeadId, torch.Tensor]) -> Iterator[HeadMapping]:
    """Random heads with these spectra by the paper's reading, a group at a time."""
    import torch

    from describe.evidence import RANDOM
    from describe.maps import random_operations
    from describe.pipeline.extraction.compute import kept_sources, kept_unembed

    plan = means.plan(weights, layers=1)
    x, unembed = kept_sources(weights, means, plan), kept_unembed(weights, means, plan)
    for group, names in groupby(spectra, key=lambda name: name.layer):
        of_group = list(names)
        singular, seed = torch.stack([spectra[name] for name in of_group]), RANDOM["seed"] + group
        operations = random_operations(x, unembed, singular, N_SALIENT, N_TARGETS, seed=seed, block=plan.block)
        found = operations.split(len(of_group))[0]
        yield from (named(found, name, place, weights.tokens) for place, name in enumerate(of_group))


def _spectra_of(heads: list[HeadId], groups: Iterable[int]) -> dict[HeadId, HeadId]:
    """For each random head of some groups the own head, one of ``heads``, whose spectrum it has."""
    from describe.evidence import RANDOM

    drawn: dict[HeadId, HeadId] = {}
    for group in groups:
        luck = random.Random(f"{RANDOM['seed']} {group}")  # noqa: S311  (no secret)
        chosen = luck.choices(heads, k=RANDOM["heads"])
        drawn |= {HeadId(group, place): head for place, head in enumerate(chosen)}
    return drawn


def random_beside(catalogue: Catalogue, weights: HeadWeights, own: int, means: Means) -> Beside:
    """The random heads of a model, to be drawn while the heads of the extraction ``own``, which is to have all of them,
    are read: of one that runs the model, at half the time of doing so again. They are those of `random_mappings`."""
    from describe.evidence import RANDOM

    extraction_id = catalogue.placebos.begin(own, NULL, _settings(), versions("torch"))
    saved = catalogue.saved_heads(extraction_id)
    drawn = _spectra_of(sorted(weights.info.heads), range(RANDOM["groups"]))

    def take(layer: int, rows: LayerReading) -> None:
        for place, name in enumerate(_of_layers(drawn)[layer]):
            if name not in saved:
                catalogue.save_head(extraction_id, named(rows, name, place, weights.tokens))

    return Beside(frozenset(_of_layers(drawn)), _stand_ins(drawn, means), _counts(), take)


def _by_view(
    model: str,
    weights: HeadWeights,
    reading: Reading,
    means: Means,
    drawn: dict[HeadId, HeadId],
    progress: Progress,
) -> Iterator[HeadMapping]:
    """Random heads, each with the spectrum of an own head, and read as heads of that one's layer are."""
    from describe.pipeline.extraction.direct import read_views

    names, heads = _of_layers(drawn), _stand_ins(drawn, means)
    found = read_views(model, weights, reading, sorted(names), means, heads, counts=_counts(), progress=progress)
    for layer, rows in found:
        yield from (named(rows, name, place, weights.tokens) for place, name in enumerate(names[layer]))


def _of_layers(drawn: dict[HeadId, HeadId]) -> dict[int, list[HeadId]]:
    """The random heads by the layer of which they are read."""
    names: dict[int, list[HeadId]] = {}
    for name, head in drawn.items():
        names.setdefault(head.layer, []).append(name)
    return names


def _stand_ins(drawn: dict[HeadId, HeadId], means: Means) -> StandIns:
    """The random heads of a layer over its view."""
    import torch

    from describe.evidence import RANDOM
    from describe.maps import random_heads_of
    from describe.maps.roles import singular_values

    names = _of_layers(drawn)

    def heads(layer: int, view: LayerView, read: LayerWeights) -> Iterator[HeadsTogether]:
        spectra = [singular_values(read, drawn[name].head, torch.empty(0)) for name in names[layer]]
        return random_heads_of(view, torch.stack(spectra), seed=RANDOM["seed"] + layer, block=means.block)

    return heads


def _counts() -> RowCounts:
    from describe.maps import RowCounts

    return RowCounts(N_SALIENT, held_out=0, sampled=0, distinct=N_SALIENT, targets=N_DIRECT_TARGETS)


def _settings() -> Json:
    from describe.evidence import RANDOM

    return {**RANDOM, "salient": N_SALIENT}
