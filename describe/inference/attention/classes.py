"""Classes of tokens from which a head looks, or at which, more often than the text has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from describe.attention import TokenClass
from describe.statistics import benjamini_hochberg, binomial_tail, cohens_h

__all__ = ["CLASSES", "LEVEL", "class_table", "significant_classes"]

LEVEL, LEAST_EFFECT = 0.01, 0.5
"""The false discovery rate over all classes, sides and heads of a model, and the least Cohen's h, that are told."""

_PRONOUNS = "i you he she it we they me him her us them my your his its our their who which that this these those"
_FUNCTION = (
    "the a an of in to and for with on at by from as is are was were be been has have had do does did not no or but if"
    " so than then there when where what how all any some can could will would shall should may might must"
)


def _word_in(words: str) -> Callable[[str], bool]:
    known = frozenset(words.split())
    return lambda token: token.strip().casefold() in known


def _matches(pattern: str) -> Callable[[str], bool]:
    found = re.compile(pattern)
    return lambda token: found.fullmatch(token) is not None


CLASSES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "word_start": ("beginnings of words after a space", _matches(r" [^\W\d_].*")),
    "word_piece": ("words or pieces of words without a space before them", _matches(r"[^\W\d_]+")),
    "capitalised": ("capitalised words", lambda token: token.strip()[:1].isupper() and token.strip()[1:2].islower()),
    "capitals": ("words in capitals", lambda token: len(token.strip()) > 1 and token.strip().isupper()),
    "pronoun": ("pronouns", _word_in(_PRONOUNS)),
    "function_word": ("function words", _word_in(_FUNCTION)),
    "number": ("numbers", _matches(r"\s*\d+")),
    "sentence_end": ("ends of sentences", _matches(r"\s*[.!?]+[\"'”’)]*")),
    "comma": ("commas and semicolons", _matches(r"\s*[,;:]+")),
    "quote": ("quotation marks", _matches(r"\s*[\"'`“”‘’«»]+")),
    "bracket": ("brackets", _matches(r"\s*[()\[\]{}]+[:;,]?")),
    "code_sign": ("signs of code", _matches(r"\s*[=_+*/<>|&%#@\\^~-]+")),
    "line_break": ("line breaks", lambda token: "\n" in token),
    "indent": ("spaces alone", _matches(r" +|\t+")),
}
"""By machine word: what the tokens are called, and which they are."""


def class_table(tokens: Sequence[str]) -> NDArray[np.bool_]:
    """Which tokens of a vocabulary are of each class, (V, C)."""
    return np.array([[of(token) for _, of in CLASSES.values()] for token in tokens], dtype=bool)


def significant_classes(
    counts: NDArray[np.int_], looks: NDArray[np.int_], expected: NDArray[np.float64]
) -> list[tuple[TokenClass, ...]]:
    """The classes above the text's own frequencies of N heads, the strongest first.

    Args:
        counts: (N, 2, C): how many of a head's strongest looks are from, and at, a token of each class.
        looks: (N,) how many these are.
        expected: (C,) the share of the text's tokens that are of each class.
    """
    number = np.maximum(looks, 1)[:, None, None]
    chance = np.clip(expected, 1e-6, 1 - 1e-6)
    p_values = binomial_tail(counts, number, chance)
    q_values = benjamini_hochberg(p_values.ravel()).reshape(p_values.shape)
    effects = cohens_h(counts / number, np.broadcast_to(chance, counts.shape))
    found = []
    for head in range(len(counts)):
        told = [
            TokenClass(
                "at" if side else "from",
                name,
                words,
                int(counts[head, side, place]),
                int(looks[head]),
                float(f"{expected[place]:.4g}"),
                float(f"{effects[head, side, place]:.4g}"),
                float(f"{q_values[head, side, place]:.4g}"),
            )
            for side in (0, 1)
            for place, (name, (words, _)) in enumerate(CLASSES.items())
            if q_values[head, side, place] <= LEVEL and effects[head, side, place] >= LEAST_EFFECT
        ]
        found.append(tuple(sorted(told, key=lambda one: (one.side == "at", -one.effect))))
    return found
