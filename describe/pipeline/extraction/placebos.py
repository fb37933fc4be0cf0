"""``headscribe describe --placebos N``: heads that do nothing in particular, to be described as the model's own are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.pipeline.common import Progress, choose_device
from describe.pipeline.extraction.extract import named
from describe.readings import PAPER
from describe.records import HeadId, HeadMapping
from describe.versions import versions

if TYPE_CHECKING:
    from describe.maps import HeadCoordinates, LayerView
    from describe.pipeline.extraction.compute import Found, Means
    from describe.weights import HeadWeights
    from describe.weights.model import LayerWeights

__all__ = ["KINDS", "drawn_heads", "known_placebos", "make_placebos"]

KINDS = {"shuffled": "targets shuffled over the rows", "random": "random W_VO with the same spectrum"}
"""The kinds of placebo heads, and what they are."""

SEED = 0


def make_placebos(
    catalogue: Catalogue, model: str, own: int, number: int, device: str, dtype: str, progress: Progress
) -> list[tuple[str, int, list[HeadId]]]:
    """Placebos of ``number`` heads of the extraction ``own``, of each kind; those that are there are not made again.

    Returns each kind, its extraction, and the heads. Which heads is drawn at random, the same every time; a larger
    number adds to a smaller one's. ``dtype``: the precision of ``own``.
    """
    if number == 0:
        return []
    heads = drawn_heads(catalogue.saved_heads(own), number)
    parts, missing = [], {}
    for kind in KINDS:
        extraction_id = catalogue.placebos.begin(own, kind, {"seed": SEED}, versions("torch"))
        parts.append((kind, extraction_id, heads))
        saved = catalogue.saved_heads(extraction_id)
        missing[extraction_id] = [head for head in heads if head not in saved]
    total, done = sum(map(len, missing.values())), 0
    if total == 0:
        return parts

    from describe.pipeline.extraction.compute import Means
    from describe.weights import open_model

    weights = open_model(model)
    progress("make", 0, total)
    for kind, extraction_id, _ in parts:
        wanted = missing[extraction_id]
        if not wanted:
            continue
        found = (
            _shuffled(catalogue, own, weights, wanted)
            if kind == "shuffled"
            else _random(catalogue, model, own, weights, wanted, Means(choose_device(device, dtype), dtype), progress)
        )
        for mapping in found:
            catalogue.save_head(extraction_id, mapping)
            done += 1
            progress("make", done, total)
    return parts


def drawn_heads(heads: Iterable[HeadId], number: int) -> list[HeadId]:
    """The heads of a model's extracted ones that there are placebos of, in order."""
    return sorted(sorted(heads, key=lambda head: hashlib.sha256(f"{SEED} {head}".encode()).digest())[:number])


def known_placebos(catalogue: Catalogue, own: int) -> dict[str, int | None]:
    """The extraction of each kind of placebos that `make_placebos` makes; None where nobody has made any."""
    return {kind: catalogue.placebos.find(own, kind, {"seed": SEED}) for kind in KINDS}


def _shuffled(catalogue: Catalogue, own: int, weights: HeadWeights, heads: list[HeadId]) -> Iterator[HeadMapping]:
    from describe.maps import shuffled
    from describe.pipeline.extraction.compute import seeds_of

    for head in heads:
        seed = seeds_of(weights.info, head.layer)[head.head]
        yield shuffled(catalogue.mapping(own, head, held_out=True), seed)


def _random(
    catalogue: Catalogue,
    model: str,
    own: int,
    weights: HeadWeights,
    heads: list[HeadId],
    means: Means,
    progress: Progress,
) -> Iterator[HeadMapping]:
    """Random heads in the place of these, by the reading of the extraction ``own``."""
    from describe.maps import own_heads, random_heads
    from describe.pipeline.extraction.compute import salient_rows, seeds_of

    in_layers = {layer: list(some) for layer, some in groupby(heads, key=lambda head: head.layer)}
    reading = catalogue.reading(own)

    def made(layer: int, read: LayerWeights) -> LayerWeights:
        return random_heads(read, [one.head for one in in_layers[layer]], seeds_of(weights.info, layer)[0])

    rows: Iterator[Found]
    if reading == PAPER:
        rows = salient_rows(weights, ((layer, made(layer, weights.layer(layer))) for layer in in_layers), means)
    else:
        from describe.pipeline.extraction.direct import read_views

        def drawn(layer: int, view: LayerView, read: LayerWeights) -> Iterator[HeadCoordinates]:
            return own_heads(view, made(layer, read), block=means.block)

        rows = read_views(model, weights, reading, list(in_layers), means, drawn, progress=progress)
    for layer, found in rows:
        for place, head in enumerate(in_layers[layer]):
            yield named(found, head, place, weights.tokens)
