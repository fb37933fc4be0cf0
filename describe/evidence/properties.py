"""The properties a token can have, from which claims about a head's inputs and outputs are made: one table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from describe.evidence.grammar import FUNCTION_WORDS, PRONOUNS, words
from describe.operations import Operation

__all__ = ["Property", "Token", "properties"]


@dataclass(frozen=True, slots=True)
class Token:
    """A token with what the tests look at.

    Attributes:
        text: the token as it is.
        word: without white space around it.
        fold: the word without regard to case.
        zipf: how common the word is, 0 to about 7.5.
        tags: its parts of speech, as `describe.evidence.grammar.Grammar.tags`.
        inner: written without the space with which words of this vocabulary begin.
        classes: of what it may mean, words of `describe.evidence.lexicon`.
    """

    text: str
    word: str
    fold: str
    zipf: float
    tags: frozenset[str]
    lemmas: frozenset[str]
    inner: bool
    classes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Property:
    """A property: its machine word, its group, how it is said in the plural, and its test.

    Of a group the most specific property is told of; within a group they stand from the most specific down.
    """

    name: str
    group: str
    wording: str
    holds: Callable[[Token], bool]


CODE = re.compile(r"[a-z][A-Z]|\w_|_\w|[{}\[\]<>=|\\;]|[()]{2}|::|->|&&|//|^\.\w|\w\(|^[#$@]\w")
BYTE = re.compile(r"(<0x[0-9A-F]{2}>)+")
MONTHS = words(
    "january february march april may june july august september october november december jan feb mar apr jun jul aug"
    " sep sept oct nov dec"
)
DAYS = words("monday tuesday wednesday thursday friday saturday sunday")
NUMBERS = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion first"
    " second third fourth fifth sixth seventh eighth ninth tenth dozen"
)

MEMBERS = (
    ("country_to_capital", 0, "countries"),
    ("country_to_capital", 1, "capital cities"),
    ("country_to_official_language", 1, "languages"),
    ("name_copying", 0, "first names"),
    ("product_to_company", 1, "companies"),
    ("product_to_company", 0, "products"),
    ("year_to_following", 0, "years"),
)
"""Operations of which one side (0 sources, 1 targets) is a class of things."""


def _is_code(token: Token) -> bool:
    return bool(CODE.search(token.word)) and not BYTE.search(token.word)


def _is_name(token: Token) -> bool:
    return _capitalised(token) and len(token.word) > 2 and not token.tags and token.fold not in FUNCTION_WORDS


def _capitalised(token: Token) -> bool:
    return token.word.isalpha() and token.word[0].isupper() and len(token.word) > 1 and token.word[1:].islower()


def _non_latin(token: Token) -> bool:
    letters = [char for char in token.word if char.isalpha()]
    return bool(letters) and not any("LATIN" in unicodedata.name(char, "") for char in letters)


def _punctuation(token: Token) -> bool:
    return bool(token.word) and all(unicodedata.category(char)[0] in "PS" for char in token.word)


def _tagged(*tags: str) -> Callable[[Token], bool]:
    wanted = frozenset(tags)
    return lambda token: bool(wanted & token.tags)


PROPERTIES = (
    Property("superlative", "speech", "superlatives", _tagged("JJS", "RBS")),
    Property("comparative", "speech", "comparatives", _tagged("JJR", "RBR")),
    Property("past_tense", "speech", "past-tense verbs", _tagged("VBD")),
    Property("ing_form", "speech", "-ing forms", _tagged("VBG")),
    Property("plural_noun", "speech", "plural nouns", _tagged("NNS")),
    Property("pronoun", "speech", "pronouns", lambda token: token.fold in PRONOUNS),
    Property("function_word", "speech", "function words", lambda token: token.fold in FUNCTION_WORDS),
    Property("adverb", "speech", "adverbs", _tagged("ADV")),
    Property("adjective", "speech", "adjectives", _tagged("ADJ")),
    Property("verb", "speech", "verbs", _tagged("VERB", "AUX")),
    Property("noun", "speech", "nouns", _tagged("NOUN", "PROPN")),
    Property("month", "topic", "months", lambda token: token.fold in MONTHS),
    Property("weekday", "topic", "days of the week", lambda token: token.fold in DAYS),
    Property("number_word", "topic", "number words", lambda token: token.fold in NUMBERS),
    Property("name", "form", "names or their beginnings", _is_name),
    Property("all_capitals", "form", "words in capitals", lambda t: t.word.isalpha() and t.word.isupper()),
    Property("capitalised", "form", "capitalised words", _capitalised),
    Property("whitespace", "form", "white space and line breaks", lambda token: not token.word),
    Property("bytes", "form", "bytes of incomplete characters", lambda token: bool(BYTE.search(token.word))),
    Property("code", "form", "code (brackets, operators, snake_case, camelCase)", _is_code),
    Property("punctuation", "form", "punctuation and symbols", _punctuation),
    Property("numeric", "form", "numbers in digits", lambda token: bool(re.fullmatch(r"[\d.,]*\d[\d.,]*", token.word))),
    Property("non_latin", "form", "words in a non-Latin script", _non_latin),
    Property("subword", "form", "pieces of words", lambda t: t.inner and t.word.islower() and t.zipf < 4),
    Property("unspaced", "spacing", "words without a leading space", lambda t: t.inner and t.word.isalpha()),
    Property("rare", "frequency", "rare words", lambda t: t.word.isalpha() and t.zipf < 2),
)


def properties(operations: Iterable[Operation]) -> list[Property]:
    """All properties: those of the table, then membership in the classes that the operations list."""
    pairs = {operation.name: operation.pairs for operation in operations}
    members = [(f"{name}_{side}", label, {pair[side] for pair in pairs.get(name, ())}) for name, side, label in MEMBERS]
    return [*PROPERTIES, *(Property(name, "topic", label, _member_of(listed)) for name, label, listed in members)]


def _member_of(listed: set[str]) -> Callable[[Token], bool]:
    return lambda token: token.word in listed
