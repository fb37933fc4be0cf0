"""Dictionaries' knowledge of a word: its lemmas, its forms, how common it is. Needs ``headscribe[evidence]``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from typing import Any

from describe.errors import InputError
from describe.versions import versions

__all__ = ["FUNCTION_WORDS", "PRONOUNS", "Grammar", "grammar_versions", "load_grammar", "words"]


def words(text: str) -> frozenset[str]:
    """The words of a list that is written as text."""
    return frozenset(text.split())


PRONOUNS = words(
    "i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself we us"
    " our ours ourselves they them their theirs themselves this that these those one ones who whom whose which what"
    " someone somebody something anyone anybody anything everyone everybody everything nobody nothing none"
)
AUXILIARIES = words(
    "be am is are was were been being do does did have has had will would shall should can could may might must"
)
FUNCTION_WORDS = (
    PRONOUNS
    | AUXILIARIES
    | words(
        "a an the and or but nor so yet if because although though while whereas unless until since than as of in on at"
        " by for with without from to into onto upon over under above below between among through during before after"
        " about against toward towards across along around behind beside besides beyond despite except inside near off"
        " out outside per up down via within not no each every either neither both all any some such"
    )
)

INFLECTED = {"NNS", "VBZ", "VBD", "VBG", "JJR", "JJS", "RBR", "RBS"}
"""The Penn tags that are asked about; a form that equals its lemma does not count as inflected."""


@dataclass(frozen=True)
class Grammar:
    """Looks words up, in lower case.

    Attributes:
        zipf: how common a word is in English: log10 of its uses in a billion words, 0 where it is not known.
    """

    zipf: Callable[[str], float]
    _lemmas: Callable[[str], dict[str, tuple[str, ...]]]
    _forms: Callable[[str], dict[str, tuple[str, ...]]]

    def lemmas(self, word: str) -> frozenset[str]:
        """The lemmas of a word, of whatever part of speech; none for what the dictionary does not list."""
        return frozenset(lemma for found in self._lemmas(word).values() for lemma in found)

    def tags(self, word: str) -> frozenset[str]:
        """``NOUN``, ``VERB``, ``ADJ``, ``ADV`` it can be, and Penn tags of `INFLECTED`; none for particles."""
        if word in FUNCTION_WORDS - AUXILIARIES:
            return frozenset()  # the dictionary calls nearly all of them nouns
        inflected = {
            tag
            for lemma in self.lemmas(word)
            for tag, forms in self._forms(lemma).items()
            if tag in INFLECTED and word in forms and word != lemma
        }
        return frozenset(self._lemmas(word)) | inflected


@lru_cache(maxsize=1)
def load_grammar() -> Grammar:
    """The dictionaries, opened once. Raises `InputError` that says what to install when they are not there."""
    try:
        import lemminflect
        import wordfreq
    except ImportError as error:
        raise InputError(f"statistics need {error.name}: pip install 'headscribe[evidence]'") from error
    frequencies: dict[str, float] = wordfreq.get_frequency_dict("en")

    def zipf(word: str) -> float:
        return float(wordfreq.freq_to_zipf(frequencies[word])) if word in frequencies else 0.0

    lookups: list[Any] = [lru_cache(maxsize=None)(f) for f in (lemminflect.getAllLemmas, lemminflect.getAllInflections)]
    return Grammar(zipf, *lookups)


def grammar_versions() -> dict[str, str]:
    """The versions of what the evidence depends on. Raises `InputError` where it is not installed."""
    try:
        return versions("lemminflect", "wordfreq", "numpy")
    except PackageNotFoundError as error:
        raise InputError(f"statistics need {error.name}: pip install 'headscribe[evidence]'") from error
