"""The predefined operations in words: what a head does that implements or suppresses one."""

from __future__ import annotations

from typing import NamedTuple

from describe.text import spaced

__all__ = ["COPYING", "does"]

COPYING = frozenset({"copying", "name_copying"})
"""Operations whose target is their source."""


class _Does(NamedTuple):
    """A head that implements an operation, and one that suppresses it."""

    implements: str
    suppresses: str


_COPIES = {"copying": _Does("copies its input", "suppresses its input")}
_COPIES |= {"name_copying": _Does("copies names", "suppresses names")}

_TARGETS = {
    "adjective_to_comparative": "the comparative of an adjective",
    "adjective_to_superlative": "the superlative of an adjective",
    "country_to_capital": "the capital of a country",
    "country_to_official_language": "the official language of a country",
    "english_to_french": "the French for an English word",
    "english_to_spanish": "the Spanish for an English word",
    "noun_to_pronoun": "the pronoun for a noun",
    "object_to_superclass": "the class of an object",
    "product_to_company": "the company of a product",
    "verb_to_past_tense": "the past tense of a verb",
    "word_to_antonym": "the antonym of a word",
    "word_to_compound": "the compound that a word begins",
    "word_to_first_letter": "the first letter of a word",
    "word_to_homophone": "the homophone of a word",
    "word_to_last_letter": "the last letter of a word",
    "word_to_synonym": "the synonym of a word",
    "work_to_location": "the place of a work",
    "year_to_following": "the year that follows a year",
}


def does(operation: str, *, suppresses: bool) -> str:
    """A head that implements an operation, or suppresses it: ``writes the capital of a country``.

    Of an operation that is not among ours: ``writes capital for country``, by its name.
    """
    if operation in _COPIES:
        return _COPIES[operation].suppresses if suppresses else _COPIES[operation].implements
    source, to, target = spaced(operation).partition(" to ")
    what = _TARGETS.get(operation, f"{target} for {source}" if to else spaced(operation))
    return f"{'suppresses' if suppresses else 'writes'} {what}"
