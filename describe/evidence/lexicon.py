"""Words and what is known of them: their opposites, kinds, classes and spellings, of WordNet; needs nothing installed.

The file is made by ``python -m benchmarks.wordnet``, and names its source and licence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

__all__ = ["Lexicon", "load_lexicon"]

STEPS = 5
"""Kinds of kinds, and so on, are followed up to so far."""


@dataclass(frozen=True)
class Lexicon:
    """Words in lower case.

    Attributes:
        classes: of a word its class, by its commonest sense.
        opposites: of a word its antonyms and words similar to these.
        nations: of a nationality or a people the names of its country or region.
        parts: of a place the countries and regions that it is a part of.
        spellings: of British spellings the American one.
    """

    classes: Mapping[str, str]
    opposites: Mapping[str, frozenset[str]]
    nations: Mapping[str, frozenset[str]]
    parts: Mapping[str, frozenset[str]]
    spellings: Mapping[str, str]
    _kinds: Mapping[str, tuple[int, ...]]
    _meanings: tuple[tuple[frozenset[str], tuple[int, ...]], ...]

    def classes_of(self, words: Iterable[str]) -> frozenset[str]:
        """The classes of some words."""
        return frozenset(self.classes[word] for word in words if word in self.classes)

    def kinds(self, word: str) -> frozenset[str]:
        """Kinds that the word, as it is mostly used, is one of: of a dog the animal."""
        found: set[str] = set()
        todo = set(self._kinds.get(word, ()))
        for _ in range(STEPS):
            found |= {name for number in todo for name in self._meanings[number][0]}
            todo = {up for number in todo for up in self._meanings[number][1]}
        return frozenset(found - {word})


@lru_cache(maxsize=1)
def load_lexicon() -> Lexicon:
    """The words that ship with the package."""
    told = json.loads((files("describe.evidence") / "wordnet.json").read_text("utf-8"))

    def listed(section: str) -> dict[str, frozenset[str]]:
        return {word: frozenset(found.split()) for word, found in told[section].items()}

    return Lexicon(
        classes={word: name for name, found in told["classes"].items() for word in found.split()},
        opposites=listed("opposites"),
        nations=listed("nations"),
        parts=listed("parts"),
        spellings=told["spellings"],
        _kinds={word: tuple(map(int, found.split())) for word, found in told["kinds"].items()},
        _meanings=tuple(
            (frozenset(words.split()), tuple(map(int, above.split()))) for words, above in told["meanings"]
        ),
    )
