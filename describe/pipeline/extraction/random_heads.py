"""The random heads of a model, against which evidence is held; drawn once, then kept in the catalogue."""

from __future__ import annotations

import random
from collections.abc import Iterator

from describe.catalog import Catalogue
from describe.catalog.placebos import NULL
from describe.pipeline.common import N_SALIENT, N_TARGETS, Progress, choose_device, silent
from describe.pipeline.extraction.extract import named
from describe.records import HeadId, HeadMapping
from describe.versions import versions

__all__ = ["random_mappings"]


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

    settings = {**RANDOM, "salient": N_SALIENT}
    extraction_id = catalogue.placebos.find(own, NULL, settings)
    if extraction_id is None and keep:
        extraction_id = catalogue.placebos.begin(own, NULL, settings, versions("torch"))
    saved = set() if extraction_id is None else catalogue.saved_heads(extraction_id)
    every = [HeadId(group, number) for group in range(RANDOM["groups"]) for number in range(RANDOM["heads"])]
    found = {head: catalogue.mapping(extraction_id, head) for head in every if head in saved and extraction_id}
    missing = [group for group in range(RANDOM["groups"]) if any(h.layer == group for h in every if h not in saved)]
    if missing:
        progress("chance", len(saved), len(every))
    for mapping in _draw(catalogue, model, own, missing, device):
        if mapping.id not in found:
            found[mapping.id] = mapping
            if keep and extraction_id is not None:
                catalogue.save_head(extraction_id, mapping)
            progress("chance", len(found), len(every))
    return [found[head] for head in every]


def _draw(catalogue: Catalogue, model: str, own: int, groups: list[int], device: str) -> Iterator[HeadMapping]:
    """The random heads of some groups, with the spectra of own heads that are drawn at random."""
    if not groups:
        return
    import torch

    from describe.evidence import RANDOM
    from describe.maps import random_operations
    from describe.maps.roles import singular_values
    from describe.pipeline.extraction.compute import Means, kept_sources, kept_unembed
    from describe.weights import open_model

    weights, means = open_model(model), Means(choose_device(device, "float32"), "float32")
    plan = means.plan(weights, layers=1)
    x, unembed = kept_sources(weights, means, plan), kept_unembed(weights, means, plan)
    cpu = torch.empty(0)
    heads = sorted(catalogue.saved_heads(own))
    for group in groups:
        luck = random.Random(f"{RANDOM['seed']} {group}")  # noqa: S311  (no secret)
        drawn = luck.choices(heads, k=RANDOM["heads"])
        read = {layer: weights.layer(layer) for layer in {head.layer for head in drawn}}
        spectra = {head: singular_values(read[head.layer], head.head, cpu) for head in set(drawn)}
        singular = torch.stack([spectra[head] for head in drawn])
        seed = RANDOM["seed"] + group
        operations = random_operations(x, unembed, singular, N_SALIENT, N_TARGETS, seed=seed, block=plan.block)
        found = operations.split(len(drawn))[0]
        yield from (named(found, HeadId(group, place), place, weights.tokens) for place in range(len(drawn)))
