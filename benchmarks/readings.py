"""Readings of heads and their parts, one at a time, measured on models: docs/readings.md has the tables.

    python -m benchmarks.readings [MODEL]... [--tokens N] [--json PATH]
    python -m benchmarks.readings --tables PATH

MODEL: ``demo`` by default; ``gemma`` is Gemma-3-270M out of the packages that `benchmarks.gemma` fetches. Of each
variant of a reading

    cosine     with what heads' value output is at tokens of running text, in the metric of the output vocabulary
    heads      that relate, copy or suppress words more than any of 256 random heads of the same spectra, read likewise
    random     the largest share of near neighbours in a random head, and how many random heads would count
    r          of relation scores with what heads write while the model runs, and the largest scores, 20 operations
    hubs       tokens that unusually many heads promote
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.gemma import gemma_file
from benchmarks.reading_tables import tables
from benchmarks.relation_r import operation_pairs, relation_fits
from benchmarks.running_text import fidelity, read_text
from benchmarks.subject import CPU, OPENINGS, Subject, Variant
from describe.evidence import hubs
from describe.evidence.figures import HeadRows, model_figures, near_neighbours, word_keys
from describe.figures import PARTS
from describe.inference import open_runner
from describe.maps import (
    DirectOperations,
    LayerView,
    RowCounts,
    SalientOperations,
    own_heads,
    random_heads_of,
    random_operations,
    read_layer,
    salient_operations,
)
from describe.maps.roles import singular_values
from describe.records import HeadId
from describe.weights import open_model

RANDOM_HEADS, ROWS, TARGETS = 256, 30, 5
MORE = 2
"""So many times the rows are looked at: variants of one word take one."""
MOST_PAIRS = 30
Sides = list[list[HeadRows]]
TWO = OPENINGS[:2]

VARIANTS = {
    "paper": Variant("x", centred=False, gains=False, tokens="all"),
    "paper, the commonest tokens": Variant("x", centred=False, gains=False, tokens="commonest"),
    "paper, learnt tokens": Variant("x", centred=False, gains=False),
    "x, mean off": Variant("x", gains=False),
    "x, mean off, gain in": Variant("x", gain=True, gains=False),
    "x, mean off, gains out": Variant("x"),
    "x, mean off, gain in, gains out": Variant("x", gain=True),
    "E, gain in, mean off, gains out": Variant("E", gain=True),
    "stream behind the start": Variant("stream", OPENINGS[:1]),
    "stream behind The": Variant("stream", OPENINGS[1:2]),
    "stream behind the start, and The": Variant("stream", TWO),
    "stream behind The, and It is": Variant("stream", ("The", "It is")),
    "stream behind all four": Variant("stream", OPENINGS),
    "the start, and The: mean left in": Variant("stream", TWO, centred=False),
    "the start, and The: gains not out": Variant("stream", TWO, gains=False),
    "the start, and The: output lens": Variant("stream", TWO, lens=0.1),
    "the start, and The: by distinctness": Variant("stream", TWO, order="distinctness"),
}


RELATED = (
    "paper",
    "x, mean off, gains out",
    "stream behind the start",
    "stream behind the start, and The",
    "the start, and The: mean left in",
)
"""Variants whose relation scores are held against the running model."""


@dataclass
class Row:
    """The figures of a variant.

    Attributes:
        heads: how many show something above random heads; ``parts`` by part, ``by_third`` of the layers.
        random_most: the largest share of a random head, by part; ``random_heads``: how many of them would count.
        cosine: with what heads write in text, of each layer; empty where another variant has the same.
        r, largest: of relation scores; None likewise.
        hubs: tokens that unusually many heads promote.
    """

    heads: int
    parts: dict[str, int]
    by_third: list[int]
    random_most: dict[str, float]
    random_heads: int
    hubs: int
    cosine: list[float] = field(default_factory=list)
    r: float | None = None
    largest: float | None = None


def measure(model: str, name: str, largest: int, told: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """All figures of a model there are so far, after each part."""
    weights = open_model(model)
    runner = open_runner(model, weights.info, CPU, torch.float32)
    told("model loaded")
    pairs = operation_pairs(weights, MOST_PAIRS)
    text = read_text(runner, weights)
    told(f"{len(text.tokens)} positions of text")
    also = {*pairs.sources.tolist(), *text.tokens.tolist()}
    subject = Subject(weights, runner, largest, sorted(also))
    subject.read_streams(OPENINGS, told)
    rows: dict[str, Row] = {}
    elsewhere: list[float] = []
    counts = {"learnt": len(subject.learnt), "positions": len(text.tokens), "types": len(set(text.tokens.tolist()))}
    shape = {"layers": weights.info.n_layers, "heads": weights.info.n_heads, "vocabulary": weights.info.vocab_size}
    about = {"name": name, "operations": len(pairs.spans)} | shape | counts

    def so_far() -> dict[str, object]:
        return about | {"elsewhere": elsewhere, "rows": {label: asdict(row) for label, row in rows.items()}}

    figure = _Figure(subject)
    for label, variant in VARIANTS.items():
        rows[label] = figure.of(variant)
        told(f"{label}: {rows[label].heads} heads")
        yield so_far()
    chosen = _once(VARIANTS, lambda v: replace(v, tokens="learnt", order="saliency", gains=True, lens=None))
    for layer in range(weights.info.n_layers):
        learnt = subject.unembed(Variant("x"), layer, subject.learnt)
        readings = [lambda ids, v=v, layer=layer: subject.sources(v, layer, ids)[0] for v in chosen.values()]
        *found, ceiling = fidelity(text, layer, weights.layer(layer), learnt, readings)
        elsewhere.append(ceiling)
        for label, cosine in zip(chosen, found, strict=True):
            rows[label].cosine.append(cosine)
    told("text")
    yield so_far()
    chosen = _once(VARIANTS, lambda v: replace(v, tokens="learnt", order="saliency", lens=None))
    chosen = {label: variant for label, variant in chosen.items() if label in RELATED}
    for label, fit in zip(chosen, relation_fits(subject, runner, pairs, list(chosen.values()), told), strict=True):
        rows[label].r, rows[label].largest = fit.r, fit.largest
    yield so_far()


def _once(variants: dict[str, Variant], key: Callable[[Variant], Variant]) -> dict[str, Variant]:
    """The first of the variants that are the same by a key."""
    first: dict[Variant, str] = {}
    for label, variant in variants.items():
        first.setdefault(key(variant), label)
    return {label: variants[label] for label in first.values()}


class _Figure:
    """The figure of a subject's heads by any variant, against random heads with spectra of its own, drawn once."""

    def __init__(self, subject: Subject) -> None:
        self._subject, weights = subject, subject.weights
        self._keys = word_keys(weights.tokens)
        drawn = random.Random(0).choices(weights.info.heads, k=RANDOM_HEADS)
        self._drawn: dict[int, list[HeadId]] = {}
        for head in drawn:
            self._drawn.setdefault(head.layer, []).append(head)
        self._layers = [weights.layer(layer) for layer in range(weights.info.n_layers)]
        spectra = {head: singular_values(self._layers[head.layer], head.head, torch.empty(0)) for head in set(drawn)}
        self._spectra = {layer: torch.stack([spectra[head] for head in heads]) for layer, heads in self._drawn.items()}

    def of(self, variant: Variant) -> Row:
        """Its figures, without those of text and relations."""
        own, null = (self._by_distinctness if variant.order == "distinctness" else self._by_saliency)(variant)
        tokens = self._subject.tokens(variant)
        embed = self._subject.weights.embed
        above: list[set[str]] = [set() for _ in self._subject.weights.info.heads]
        most, standing = dict.fromkeys(PARTS, 0.0), 0
        for ours, others in zip(own, null, strict=True):
            sources = np.concatenate([rows.sources for rows in (*ours, *others)])
            near = near_neighbours(lambda places: embed[tokens[places]].float().numpy(), tokens.numpy(), sources)
            found = model_figures(ours, others, self._keys, near)
            for place, one in enumerate(found):
                above[place] |= set(one.above)
            most = {name: max(most[name], getattr(found[0], name).most) for name in PARTS}
            standing += found[0].random_above
        targets = [np.unique(rows.promoted[rows.promoted >= 0]) for rows in own[0]]
        third = len(above) / 3
        return Row(
            heads=sum(map(bool, above)),
            parts={name: sum(name in parts for parts in above) for name in PARTS},
            by_third=[sum(map(bool, above[round(i * third) : round((i + 1) * third)])) for i in range(3)],
            random_most=most,
            random_heads=standing,
            hubs=len(hubs(targets, len(self._keys))),
        )

    def _by_saliency(self, variant: Variant) -> tuple[Sides, Sides]:
        own: list[HeadRows] = []
        null: list[HeadRows] = []
        same = variant.source == "x" and not (variant.gain or variant.gains)  # every layer is seen alike
        more = ROWS if variant.tokens == "all" else MORE * ROWS
        for layer, weights in enumerate(self._layers):
            if not (same and layer):
                view = self._subject.view(variant, layer)
            own += _named(salient_operations(view.x, weights, view.unembed, more, TARGETS), view)
            spectra = self._spectra.get(layer)
            if same:
                spectra = torch.cat(list(self._spectra.values())) if layer == 0 else None
            if spectra is not None:
                drawn = random_operations(view.x, view.unembed, spectra, more, TARGETS, seed=layer)
                null += _named(drawn, view)
        return [own], [null]

    def _by_distinctness(self, variant: Variant) -> tuple[Sides, Sides]:
        """The rows that promote the most distinctly, and those that suppress so, apart."""
        own: Sides = [[], []]
        null: Sides = [[], []]
        counts = RowCounts(salient=1, held_out=0, sampled=0, distinct=ROWS, targets=TARGETS)
        for layer, weights in enumerate(self._layers):
            view = self._subject.view(variant, layer)
            heads = [(own, own_heads(view, weights))]
            if layer in self._spectra:
                heads.append((null, random_heads_of(view, self._spectra[layer], seed=layer)))
            for sides, of_layer in heads:
                read = read_layer(view, of_layer, counts)
                for side, found in zip(sides, (read.promoting, read.suppressing), strict=True):
                    if found is not None:
                        side += _side(found, promoting=side is sides[0])
        return own, null


def _side(found: DirectOperations, *, promoting: bool) -> Iterator[HeadRows]:
    for rows in _rows(found):
        nothing = np.full_like(rows.promoted, -1)
        sides = (rows.promoted, nothing) if promoting else (nothing, rows.suppressed)
        yield HeadRows(rows.sources, *sides)


def _rows(found: SalientOperations) -> Iterator[HeadRows]:
    columns = (found.sources, found.targets, found.suppressed)
    return (HeadRows(*head) for head in zip(*(column.numpy() for column in columns), strict=True))


def _named(found: SalientOperations, view: LayerView) -> Iterator[HeadRows]:
    """Rows by places as rows by token ids, one for each word."""
    for rows in _rows(found):
        _, first = np.unique(view.words[rows.sources] if view.words is not None else rows.sources, return_index=True)
        kept = np.sort(first)[:ROWS]
        names = view.sources.numpy()
        yield HeadRows(*(names[ids[kept]] for ids in rows))


def main() -> None:
    """Measure models, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", default=["demo"], help="demo, gemma, or any MODEL")
    parser.add_argument("--tokens", type=int, default=4096, help="how many of the learnt tokens count")
    parser.add_argument("--json", type=Path, help="write the figures here; those of other models there stay")
    parser.add_argument("--tables", type=Path, help="print the tables of figures written before")
    arguments = parser.parse_args()
    if arguments.tables:
        print(tables(json.loads(arguments.tables.read_text())))
        return
    started = time.perf_counter()

    def told(words: str) -> None:
        print(f"{time.perf_counter() - started:7.0f} s  {words}", flush=True)

    kept = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    for name in arguments.models:
        model = str(gemma_file()) if name == "gemma" else name
        for found in measure(model, name, arguments.tokens, told):
            kept[name] = found
            if arguments.json:
                arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    print(tables(kept))


if __name__ == "__main__":
    main()
