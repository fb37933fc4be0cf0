"""One document and every head: the figures, and the places from which it looks hardest."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from describe.attention import FIGURES, FIRST_PLACE
from describe.inference.attention.contexts import KEYS, PLACES, looks
from describe.inference.attention.figures import TextMarks, figures, uniform_figures
from describe.inference.attention.patterns import PatternReader
from describe.inference.attention.texts import Document, TokenMarks

__all__ = ["DocumentReading", "at_once", "read_documents"]

PATTERN_BYTES, MOST_AT_ONCE = 1 << 28, 8
"""Bytes of the patterns of a layer, and documents, that are held at once."""


@dataclass(frozen=True)
class DocumentReading:
    """Of a document, of L layers of H heads.

    Attributes:
        figures: (L, H, F), as `FIGURES` has them; NaN where no place has what a figure asks for.
        uniform: (F,), of a head that attends to all tokens so far alike.
        places, keys, attention, strength: (L, H, P), (L, H, P, K) twice and (L, H, P), as `contexts.Looks`; empty
            but for text.
    """

    figures: NDArray[np.float32]
    uniform: NDArray[np.float32]
    places: NDArray[np.int16]
    keys: NDArray[np.int16]
    attention: NDArray[np.float16]
    strength: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """All arrays, compressed."""
        stream = io.BytesIO()
        np.savez_compressed(stream, **{each.name: getattr(self, each.name) for each in fields(self)})
        return stream.getvalue()

    @classmethod
    def of_bytes(cls, data: bytes) -> DocumentReading:
        """The reading again."""
        with np.load(io.BytesIO(data), allow_pickle=False) as kept:
            return cls(**{each.name: kept[each.name] for each in fields(cls)})


def at_once(documents: Sequence[Document], reader: PatternReader) -> list[list[int]]:
    """The places of documents in batches: in order, of one length, and no more than the memory has room for."""
    batches: list[list[int]] = []
    for place, document in enumerate(documents):
        size = len(document.ids)
        most = max(1, min(MOST_AT_ONCE, PATTERN_BYTES // (4 * reader.info.n_heads * size * size)))
        last = batches[-1] if batches else []
        if last and len(last) < most and len(documents[last[0]].ids) == size:
            last.append(place)
        else:
            batches.append([place])
    return batches


def read_documents(
    reader: PatternReader, documents: Sequence[Document], seeds: Sequence[int], tokens: TokenMarks
) -> list[DocumentReading]:
    """Run documents of one length at once; a document's ``seed`` draws the places of it that are kept at random."""
    marks = [_marks(document, tokens) for document in documents]
    on_device = [mark.to(reader.device) for mark in marks]
    shape = (len(documents), reader.info.n_layers, reader.info.n_heads)
    found = torch.empty(*shape, len(FIGURES))
    kept = 2 * PLACES
    places = torch.zeros(*shape, kept, dtype=torch.int16)
    keys = torch.zeros(*shape, kept, KEYS, dtype=torch.int16)
    attention = torch.zeros(*shape, kept, KEYS, dtype=torch.float16)
    strength = torch.zeros(*shape, kept)

    def see(layer: int, patterns: Tensor, lengths: Tensor) -> None:
        for i, document in enumerate(documents):
            found[i, layer] = figures(patterns[i], on_device[i])
            if _is_looked_at(document):
                seen = looks(patterns[i], lengths[i], seeds[i])
                places[i, layer], keys[i, layer] = seen.places, seen.keys
                attention[i, layer], strength[i, layer] = seen.attention, seen.strength

    reader.read(torch.tensor([document.ids for document in documents]), see)
    return [
        DocumentReading(
            found[i].numpy(),
            uniform_figures(marks[i]).numpy(),
            *(part[i if _is_looked_at(document) else slice(0, 0)].numpy() for part in (places, keys)),
            *(part[i if _is_looked_at(document) else slice(0, 0)].numpy() for part in (attention, strength)),
        )
        for i, document in enumerate(documents)
    ]


def _is_looked_at(document: Document) -> bool:
    return document.of == "text" and len(document.ids) >= FIRST_PLACE + 2 * PLACES


def _marks(document: Document, tokens: TokenMarks) -> TextMarks:
    punctuation = [tokens.punctuation[token] for token in document.ids]
    line_break = [tokens.line_break[token] for token in document.ids]
    return TextMarks.of(document.ids, punctuation, line_break, document.copies_from)
