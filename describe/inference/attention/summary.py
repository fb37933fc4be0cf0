"""Every head over all documents: means with their spread, kinds, pairs of tokens, and contexts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from describe.attention import (
    FIGURES,
    FIRST_PLACE,
    TEXTS,
    Attended,
    Context,
    Figures,
    HeadAttention,
    Spread,
    TextName,
    TokenClass,
    TokenPair,
    kinds,
)
from describe.inference.attention.classes import class_table, significant_classes
from describe.inference.attention.contexts import PLACES
from describe.inference.attention.reading import DocumentReading
from describe.inference.attention.texts import Document

__all__ = ["heads_of"]

HELD_OUT_EACH = 4
"""The contexts of every fourth document are kept from describers."""

STRONGEST, TENTHS, HELD_OUT, PAIRS = 6, 10, 10, 20
"""Contexts of each sort, and pairs of tokens, that are kept of a head."""

BEFORE_KEY, AFTER_KEY, BEFORE_QUERY = 6, 2, 8
"""Tokens shown around what a head looks at, and before where it looks from."""


@dataclass(frozen=True, slots=True)
class _Look:
    """One place from which a head looks: the document's number, the place, what it attends to and how strongly."""

    document: int
    place: int
    keys: tuple[int, ...]
    attention: tuple[float, ...]
    strength: float


class _Texts:
    """The documents of each text, with their figures and those of a head that attends to all tokens alike."""

    def __init__(self, documents: Sequence[Document], readings: Sequence[DocumentReading]) -> None:
        self.documents, self.readings = documents, readings
        self.numbers = {of: [i for i, d in enumerate(documents) if d.of == of] for of in TEXTS}
        self.numbers = {of: numbers for of, numbers in self.numbers.items() if numbers}
        self.figures = {of: np.stack([readings[i].figures for i in numbers]) for of, numbers in self.numbers.items()}
        self.uniform = {of: np.stack([readings[i].uniform for i in numbers]) for of, numbers in self.numbers.items()}


def heads_of(
    documents: Sequence[Document], readings: Sequence[DocumentReading], tokens: Sequence[str]
) -> Iterator[HeadAttention]:
    """Every head in order, of readings of documents in the same order; ``tokens``: the text of each by its id."""
    texts = _Texts(documents, readings)
    parts = [slice(None), slice(0, None, 2), slice(1, None, 2)]
    uniform = [{of: _named(_mean(values[part])) for of, values in texts.uniform.items()} for part in parts]
    means = [{of: _mean(values[part]) for of, values in texts.figures.items()} for part in parts]
    spreads = {of: _spread(values) for of, values in texts.figures.items()}
    layers, heads = readings[0].figures.shape[:2]
    classes = _classes(texts, layers, heads, tokens)
    for layer in range(layers):
        for head in range(heads):
            of_parts: list[tuple[str, ...]] = []
            for mean, alike in zip(means, uniform, strict=True):
                of_part: dict[TextName, Figures] = {of: _named(values[layer, head]) for of, values in mean.items()}
                of_parts.append(kinds(of_part, alike))
            described = _looks(texts, layer, head, held_out=False)
            yield HeadAttention(
                layer=layer,
                head=head,
                kinds=of_parts[0],
                halves=(of_parts[1], of_parts[2]),
                figures={
                    of: {
                        figure.name: Spread(
                            _number(means[0][of][layer, head, i]),
                            _number(spreads[of][layer, head, i]),
                            uniform[0][of][figure.name],
                        )
                        for i, figure in enumerate(FIGURES)
                    }
                    for of in means[0]
                },
                pairs=_pairs(described, documents, tokens),
                contexts=_contexts(described, documents, tokens),
                held_out=_held_out(texts, layer, head, tokens),
                classes=classes[layer * heads + head],
            )


# -- figures ------------------------------------------------------------------------------------------------------


def _mean(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean over documents, of those that have a value; NaN where none has."""
    there = ~np.isnan(values)
    number = there.sum(0)
    total = np.where(there, values, 0).astype(np.float64).sum(0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _spread(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The standard deviation over documents; NaN where fewer than two have a value."""
    there = ~np.isnan(values)
    number = there.sum(0)
    apart = np.where(there, values - _mean(values), 0)
    return np.where(number > 1, np.sqrt(np.square(apart).sum(0) / np.maximum(number - 1, 1)), np.nan)


def _named(values: NDArray[np.float64]) -> Figures:
    return {figure.name: _number(value) for figure, value in zip(FIGURES, values.tolist(), strict=True)}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.4g}")


def _classes(texts: _Texts, layers: int, heads: int, tokens: Sequence[str]) -> list[tuple[TokenClass, ...]]:
    """Of every head, the classes of tokens at either end of its strongest looks."""
    of_class = class_table(tokens)
    counts = np.zeros((layers * heads, 2, of_class.shape[1]), dtype=int)
    looks = np.zeros(layers * heads, dtype=int)
    seen = np.zeros(len(tokens), dtype=int)
    for number in texts.numbers.get("text", ()):
        ids = texts.documents[number].ids
        np.add.at(seen, np.array(ids[FIRST_PLACE:], dtype=int), 1)
    for number in range(layers * heads):
        strong, _ = _looks(texts, *divmod(number, heads), held_out=False)
        looks[number] = len(strong)
        for look in strong:
            ids = texts.documents[look.document].ids
            counts[number, 0] += of_class[ids[look.place]]
            counts[number, 1] += of_class[ids[look.keys[0]]]
    expected = seen @ of_class / max(1, seen.sum())
    return significant_classes(counts, looks, expected)


# -- contexts -----------------------------------------------------------------------------------------------------


def _looks(texts: _Texts, layer: int, head: int, *, held_out: bool) -> tuple[list[_Look], list[_Look]]:
    """The strongest looks of each document, and those at random; of held-out documents or of the others."""
    strong: list[_Look] = []
    drawn: list[_Look] = []
    for place_of_text, number in enumerate(texts.numbers.get("text", ())):
        if (place_of_text % HELD_OUT_EACH == HELD_OUT_EACH - 1) != held_out:
            continue
        reading = texts.readings[number]
        if not len(reading.places):
            continue
        rows = zip(
            reading.places[layer, head].tolist(),
            reading.keys[layer, head].tolist(),
            reading.attention[layer, head].tolist(),
            reading.strength[layer, head].tolist(),
            strict=True,
        )
        for i, (place, keys, attention, strength) in enumerate(rows):
            (strong if i < PLACES else drawn).append(_Look(number, place, tuple(keys), tuple(attention), strength))
    return strong, drawn


def _pairs(
    described: tuple[list[_Look], list[_Look]], documents: Sequence[Document], tokens: Sequence[str]
) -> tuple[TokenPair, ...]:
    by_pair: dict[tuple[int, int], list[_Look]] = {}
    for look in described[0]:
        ids = documents[look.document].ids
        by_pair.setdefault((ids[look.place], ids[look.keys[0]]), []).append(look)
    whole = sum(look.strength for look in described[0]) or 1.0
    sums = {pair: sum(look.strength for look in found) for pair, found in by_pair.items()}
    best = sorted(sums, key=lambda pair: (-sums[pair], pair))[:PAIRS]
    return tuple(
        TokenPair(
            tokens[source],
            tokens[target],
            len(by_pair[source, target]),
            round(sum(look.attention[0] for look in by_pair[source, target]) / len(by_pair[source, target]), 3),
            round(sums[source, target] / whole, 4),
        )
        for source, target in best
    )


def _contexts(
    described: tuple[list[_Look], list[_Look]], documents: Sequence[Document], tokens: Sequence[str]
) -> tuple[Context, ...]:
    """The strongest looks, each pair of tokens once, then from each tenth of the random ones the one in its middle."""
    strong, drawn = described
    best: dict[tuple[int, int], _Look] = {}
    for look in sorted(strong, key=lambda one: (-one.strength, one.document, one.place)):
        ids = documents[look.document].ids
        best.setdefault((ids[look.place], ids[look.keys[0]]), look)
    found = [_context(look, documents, tokens, 0) for look in list(best.values())[:STRONGEST]]
    ranked = sorted(drawn, key=lambda one: (one.strength, one.document, one.place))
    if len(ranked) >= TENTHS:
        middles = [int((tenth + 0.5) * len(ranked) / TENTHS) for tenth in range(TENTHS)]
        found += [_context(ranked[at], documents, tokens, tenth) for tenth, at in enumerate(middles, 1)]
    return tuple(found)


def _held_out(texts: _Texts, layer: int, head: int, tokens: Sequence[str]) -> tuple[Context, ...]:
    """Strong looks of the held-out documents: the strongest of each document first, then the next of each."""
    by_document: dict[int, list[_Look]] = {}
    for look in _looks(texts, layer, head, held_out=True)[0]:
        by_document.setdefault(look.document, []).append(look)
    ranked = [sorted(found, key=lambda one: (-one.strength, one.place)) for found in by_document.values()]
    turns = [found[turn] for turn in range(PLACES) for found in ranked if turn < len(found)]
    return tuple(_context(look, texts.documents, tokens, 0) for look in turns[:HELD_OUT])


def _context(look: _Look, documents: Sequence[Document], tokens: Sequence[str], tenth: int) -> Context:
    document, key = documents[look.document], look.keys[0]
    near = range(max(0, key - BEFORE_KEY), min(key + AFTER_KEY, look.place) + 1)
    last = range(max(0, look.place - BEFORE_QUERY), look.place + 1)
    whole = near.stop >= last.start
    shown = list(range(min(near.start, last.start), look.place + 1)) if whole else [*near, *last]
    at = {place: i for i, place in enumerate(shown)}
    shares = zip(look.keys, look.attention, strict=True)
    attended = [Attended(at[key], round(share, 3)) for key, share in shares if key in at and share >= 0.001]
    return Context(
        tenth=tenth,
        tokens=tuple(tokens[document.ids[place]] for place in shown),
        cut=None if whole else len(near),
        query=at[look.place],
        attended=tuple(attended),
        text=document.kind,
    )
