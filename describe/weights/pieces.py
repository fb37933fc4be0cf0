"""The pieces of a tokenizer: which of them text is made of, and in which order they are common.

A tokenizer learns its pieces by how common they are in the text that it was made from. Byte-pair encoding keeps that as
the order of its merges, a unigram model as scores; where neither is told, ids stand for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from describe.weights.sources import GgufSource
from describe.weights.vocabulary import BYTES, load_tokenizer, scheme_of

if TYPE_CHECKING:
    from tokenizers.models import Model

__all__ = ["Pieces", "gguf_pieces", "hub_pieces"]

SPECIAL, NEVER_MADE = "special tokens", "pieces that the tokenizer never makes"

RESERVED = re.compile(
    r"[<\[]\|?[a-z_ ]*(unused|reserved|extra_id|dummy|placeholder)[a-z_ ]*-?\d*\|?[>\]]", re.IGNORECASE
)
"""Names that tokenizers keep for tokens to come."""

Merges = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Pieces:
    """The pieces 0 .. V-1 of a tokenizer.

    Attributes:
        order: all ids, the commonest first.
        never: why no text contains a piece, by its id; one of `SPECIAL` and `NEVER_MADE`.
    """

    order: list[int]
    never: dict[int, str]


def hub_pieces(directory: Path, size: int) -> Pieces:
    """Those of the tokenizer in a Hugging Face directory. Raises `CheckpointError` when it cannot be loaded."""
    tokenizer = load_tokenizer(directory)
    pieces: dict[str, int] = tokenizer.get_vocab()
    added = tokenizer.added_tokens_decoder
    never = {index: SPECIAL for index, each in added.items() if each.special}
    learnt = {piece: index for piece, index in pieces.items() if index not in added}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    model = {} if backend is None else json.loads(backend.to_str())["model"]
    if model.get("type") == "Unigram":
        scored = [(str(piece), float(score)) for piece, score in model["vocab"]]
        never |= _never_made(_unigram(scored, model.get("unk_id")), learnt)
        return _pieces(pieces, never, _by_scores([score for _, score in scored], size))
    merges = [_merge(each) for each in model.get("merges") or ()] if model.get("type") == "BPE" else []
    marked = model.get("end_of_word_suffix") or model.get("continuing_subword_prefix")
    if merges and not marked and not model.get("ignore_merges"):
        never |= _never_made(_byte_pairs(model["vocab"], merges), learnt)
    byte_level = scheme_of(directory, tokenizer, pieces) == BYTES
    return _pieces(pieces, never, _by_merges(pieces, merges, size, byte_level=byte_level))


def gguf_pieces(source: GgufSource, size: int) -> Pieces:
    """Those of a GGUF file."""
    listed = [str(piece) for piece in source.metadata("tokenizer.ggml.tokens", [])[:size]]
    kinds = source.metadata("tokenizer.ggml.token_type") or []
    never = {index: SPECIAL for index, kind in enumerate(kinds[:size]) if kind in _GGUF_SPECIAL}
    pieces = {piece: index for index, piece in reversed(list(enumerate(listed)))}
    merges = [
        _merge(each) for each in source.metadata("tokenizer.ggml.merges") or () if isinstance(each, str) and " " in each
    ]
    byte_level = source.metadata("tokenizer.ggml.model") == "gpt2"
    scores = source.metadata("tokenizer.ggml.scores")
    if not merges and isinstance(scores, list) and len(set(scores)) > 1:
        scores = [-float("inf") if kind == _GGUF_BYTE else score for score, kind in zip_longest(scores, kinds)]
        return _pieces(pieces, never, _by_scores(scores, size))
    if merges:
        learnt = {piece: i for piece, i in pieces.items() if i >= len(kinds) or kinds[i] == _GGUF_NORMAL}
        never |= _never_made(_byte_pairs(learnt, merges), learnt)
    return _pieces(pieces, never, _by_merges(pieces, merges, size, byte_level=byte_level))


_GGUF_NORMAL, _GGUF_BYTE = 1, 6
_GGUF_SPECIAL = (2, 3, 5)
"""GGUF's token types "unknown", "control" and "unused"."""


def _pieces(pieces: dict[str, int], never: dict[int, str], order: list[int]) -> Pieces:
    reserved = {index: SPECIAL for piece, index in pieces.items() if RESERVED.fullmatch(piece)}
    return Pieces(order, {index: why for index, why in (never | reserved).items() if index < len(order)})


def _by_scores(scores: Sequence[float], size: int) -> list[int]:
    """All ids, those with the highest score first; equal ones, and those without, by id."""
    return sorted(range(size), key=lambda i: (-float(scores[i]) if i < len(scores) else float("inf"), i))


def _by_merges(pieces: dict[str, int], merges: Merges, size: int, *, byte_level: bool) -> list[int]:
    """All ids in the order in which merges make them.

    What no merge makes stands where its id is among the others'; but the single bytes of a byte-level tokenizer, of
    which every text is made, come first.
    """
    made: dict[int, int] = {}
    for rank, (left, right) in enumerate(merges):
        index = pieces.get(left + right)
        if index is not None:
            made.setdefault(index, rank)
    single = {index for piece, index in pieces.items() if byte_level and len(piece) == 1}
    place, last = [], -1
    for index in range(size):
        last = made.get(index, last)
        place.append(-1 if index in single and index not in made else last)
    return sorted(range(size), key=lambda index: (place[index], index))


def _merge(told: str | Sequence[str]) -> tuple[str, str]:
    """A merge, which older files write as one text."""
    left, right = told.split(" ", 1) if isinstance(told, str) else told
    return left, right


def _byte_pairs(vocabulary: dict[str, int], merges: Merges) -> Model:
    from tokenizers import models

    known = [(left, right) for left, right in merges if {left, right, left + right} <= vocabulary.keys()]
    return models.BPE(vocab=vocabulary, merges=known)


def _unigram(scored: list[tuple[str, float]], unknown: int | None) -> Model:
    from tokenizers import models

    return models.Unigram(scored, unknown)


def _never_made(model: Model, pieces: dict[str, int]) -> dict[int, str]:
    """The pieces that a tokenizer's model splits when it is given them."""
    made = {index: [token.value for token in model.tokenize(piece)] == [piece] for piece, index in pieces.items()}
    return {index: NEVER_MADE for index, whole in made.items() if not whole}
