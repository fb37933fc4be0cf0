"""Glosses of tokens that are the beginning of a word and no word themselves: " strugg" as in struggle.

Words are those of ``words.txt``, the commonest first; it is made by ``python -m benchmarks.wordnet``, and names its
sources. They are told by spelling alone, so that it is the same for all tokenizers that write the space before a word
into its token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

from describe.text import shown

__all__ = ["gloss", "glossed"]

SHORTEST = 3
"""Letters of a piece that tells a word: shorter ones begin too many."""

ENDINGS = (
    (r"s$", ""),
    (r"es$", ""),
    (r"ies$", "y"),
    (r"d$", ""),
    (r"ed$", ""),
    (r"ied$", "y"),
    (r"ing$", ""),
    (r"ing$", "e"),
    (r"e[rd]$", "e"),
    (r"e(?:r|st)$", ""),
    (r"est$", "e"),
    (r"ie(?:r|st)$", "y"),
    (r"(.)\1(?:ed|ing|er|est)$", r"\1"),
    (r"ly$", ""),
    (r"ily$", "y"),
)
"""Endings of English words, and what stands in their place in the plain word."""

PLAIN = 4
"""Letters of the shortest word of which another is taken for a form."""

CONTRACTED = frozenset(
    [
        "aren",
        "couldn",
        "didn",
        "doesn",
        "hadn",
        "hasn",
        "haven",
        "isn",
        "mustn",
        "needn",
        "shouldn",
        "wasn",
        "weren",
        "wouldn",
    ]
)
"""Beginnings of "aren't" and the like, as tokenizers cut them before the apostrophe."""

PIECE = re.compile(rf" [A-Za-z][a-z]{{{SHORTEST - 1},}}")


def glossed(token: str) -> str:
    """A token in quotes, as `shown` writes it; behind a piece of a word, without quotes, the word: no token itself."""
    word = gloss(token)
    return shown(token) if word is None else f"{shown(token)} (as in {word})"


@lru_cache(maxsize=2**16)
def gloss(token: str) -> str | None:
    """The commonest word that a token begins, with a capital where it has one; None for words, and what begins none."""
    if not PIECE.fullmatch(token):
        return None
    known, commonest = _words()
    piece = token[1:].lower()
    if piece in known or piece in CONTRACTED or any(form in known for form in _plain_forms(piece)):
        return None
    word = commonest.get(piece)
    return word.capitalize() if word and token[1].isupper() else word


def _plain_forms(word: str) -> Iterator[str]:
    """Words that it may be a regular form of."""
    for ending, plain in ENDINGS:
        found = re.sub(ending, plain, word)
        if found != word and len(found) >= PLAIN:
            yield found


@lru_cache(maxsize=1)
def _words() -> tuple[frozenset[str], dict[str, str]]:
    """All words, and by the beginnings of words the commonest that begins so."""
    lines = (files("describe.labelling") / "words.txt").read_text("utf-8").splitlines()
    listed = [word for line in lines if not line.startswith("#") for word in line.split()]
    beginnings: dict[str, str] = {}
    for word in listed:
        for length in range(SHORTEST, len(word)):
            beginnings.setdefault(word[:length], word)
    return frozenset(listed), beginnings
