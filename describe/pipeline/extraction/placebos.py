"""``headscribe describe --placebos N``: heads that do nothing in particular, to be described as the model's own are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.pipeline.common import Progress, choose_device
from describe.pipeline.extraction.naming import named
from describe.readings import PAPER
from describe.records import HeadId, HeadMapping
from describe.versions import versions

if TYPE_CHECKING:
    from describe.maps import HeadsTogether, LayerView
    from describe.pipeline.extraction.compute import Found, Means
    from describe.weights import HeadWeights
    from describe.weights.model import LayerWeights

__all__ = ["KINDS", "AskedPlacebos", "known_placebos", "make_placebos"]

KINDS = {"shuffled": "targets shuffled over the rows", "random": "random W_VO with the same spectrum"}
"""The kinds of placebo heads, and what they are."""

SEED = 0

UNASKED = "random"
"""The kind that is described beside a model's own heads without being asked for."""

SHARE, LEAST = 0.1, 8
"""Which share of a run they take then, and how many they are at least."""


@dataclass(frozen=True)
class AskedPlacebos:
    """The placebos that a run is to describe: of which ``kinds``, and each of them in the place of which ``heads``."""

    kinds: tuple[str, ...] = ()
    heads: tuple[HeadId, ...] = ()

    @classmethod
    def of(cls, number: int | None, wanted: Iterable[HeadId], extracted: Iterable[HeadId]) -> AskedPlacebos:
        """Placebos beside the ``wanted`` heads: ``number`` of each kind, or by default random ones at a tenth of the
        run's cost, eight at least.

        Which places they take is drawn at random, the same every time, so that a larger number adds to a smaller one's:
        those of the wanted heads, and where these are too few, of the other ``extracted`` heads.
        """
        own = set(wanted)
        usual = max(LEAST, round(len(own) * SHARE / (1 - SHARE)))
        number, kinds = (usual, (UNASKED,)) if number is None else (number, tuple(KINDS))
        drawn = sorted({*own, *extracted}, key=lambda head: (head not in own, _rank(head)))[:number]
        return cls(kinds, tuple(sorted(drawn))) if drawn else cls()


def make_placebos(
    catalogue: Catalogue, model: str, own: int, asked: AskedPlacebos, device: str, dtype: str, progress: Progress
) -> list[tuple[str, int, list[HeadId]]]:
    """Placebos of heads of the extraction ``own``; those that are there are not made again.

    Returns each kind, its extraction, and the heads. ``dtype``: the precision of ``own``.
    """
    heads = list(asked.heads)
    parts, missing = [], {}
    for kind in asked.kinds:
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


def known_placebos(catalogue: Catalogue, own: int, kinds: Iterable[str]) -> dict[str, int | None]:
    """The extraction of each of these kinds that `make_placebos` makes; None where nobody has made any."""
    return {kind: catalogue.placebos.find(own, kind, {"seed": SEED}) for kind in kinds}


def _rank(head: HeadId) -> bytes:
    return hashlib.sha256(f"{SEED} {head}".encode()).digest()


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

        def drawn(layer: int, view: LayerView, read: LayerWeights) -> Iterator[HeadsTogether]:
            return own_heads(view, made(layer, read), block=means.block)

        rows = read_views(model, weights, reading, list(in_layers), means, drawn, progress=progress)
    for layer, found in rows:
        for place, head in enumerate(in_layers[layer]):
            yield named(found, head, place, weights.tokens)
