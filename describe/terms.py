"""Words of full-text search, in prose, in tokens and in queries; on every database the same.

A token is a word as it stands, without the spaces around it and in one case: ``():`` can be searched for, and
`` Paris`` of one tokenizer is ``paris`` of another. A token with letters is found by its words too: ``it's`` by ``it``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from describe.text import visible

__all__ = [
    "FRAME",
    "Term",
    "head_terms",
    "marked",
    "prose_terms",
    "query_terms",
    "row_terms",
    "telling",
    "token_term",
]

LONGEST, MOST, FAR = 60, 2000, 50_000
"""Characters of a term, terms of a text, and characters of a text that are looked at."""

PREFIX_FROM = 3
"""A query's word of so many letters finds all words that begin with it; a shorter one itself alone."""

_WORD = re.compile(r"\w+")

_STOP_WORDS = frozenset(
    _WORD.findall("""
    a about after all also an and any are as at be been before being both but by can could did do does done each either
    else few for from had has have having he her him his how if in into is it its itself like many may more most much
    neither no nor not of often on one only or other others our out over same she so some such than that the their them
    then there these they this those through to too two under up us very was we were what when where whether which while
    who whose will with within without would you your
    """)
)
"""English words that hold sentences together, and say nothing of what these are about."""

FRAME = "‹"
"""Before a term of prose that stands only in phrases around what is said. It is found, behind all that is said."""

_FRAMES = re.compile(
    r"\(\d[^()\"]*\)"  # figures: (30 of 30; 32 % of the vocabulary)
    r"|without a (?:leading )?space(?: before (?:them|it))?"
    r"|after a space"
    r"|whatever (?:the input|it reads)",
    re.IGNORECASE,
)
"""Phrases that describers put around what they say, and that say little of a head by their single words."""


class Term(NamedTuple):
    """A term of a query; ``prefix``: all that begins with it counts."""

    text: str
    prefix: bool

    def meets(self, term: str) -> bool:
        """Whether a text's term is one that this asks for."""
        term = term.removeprefix(FRAME)
        return term.startswith(self.text) if self.prefix else term == self.text


def prose_terms(*texts: str | None) -> list[str]:
    """The different words of texts, in order of appearance; then those of phrases around them, behind `FRAME`."""
    said = [text[:FAR] for text in texts if text]
    told = dict.fromkeys(word for text in said for word in _words(_FRAMES.sub(" ", text)))
    around = (word for text in said for phrase in _FRAMES.findall(text) for word in _words(phrase))
    return _first([*told, *(f"{FRAME}{word}" for word in around if word not in told)])


def token_term(token: str) -> str:
    """A token as one term without spaces: those inside it are marked, what cannot be seen is escaped."""
    cut = token[:LONGEST]
    return visible(_folded(cut.strip(" ") or cut)).replace(" ", "␣")[:LONGEST]


def head_terms(salient: Iterable[Any]) -> list[str]:
    """The different terms of a head's salient tokens and of what it promotes, as the column ``salient`` has them."""
    return row_terms((row[1], [target[1] for target in row[3]]) for row in salient)


def row_terms(rows: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """The different terms of rows, each a source with its targets: the sources' first."""
    rows = list(rows)
    tokens = dict.fromkeys([source for source, _ in rows] + [target for _, targets in rows for target in targets])
    return _first(term for token in tokens for term in _token_terms(token[:LONGEST]))


@lru_cache(maxsize=1 << 16)  # the heads of a model share their tokens
def _token_terms(token: str) -> tuple[str, ...]:
    """A token as one term, and its words."""
    return (token_term(token), *_words(token))


def query_terms(query: str) -> list[Term]:
    """The terms that all must be found. Nothing in a query is syntax, so that none can be wrong.

    Signs count only where there is nothing else: ``():``, but not the dash in ``verbs - past``.
    """
    pieces = query[:500].split()
    words = [Term(word, len(word) >= PREFIX_FROM) for piece in pieces for word in _words(piece)]
    return list(dict.fromkeys(words or [Term(token_term(piece), False) for piece in pieces]))[:12]


def marked(text: str, query: list[Term], width: int = 300) -> list[tuple[str, bool]]:
    """A text about the first word that a query asks for, cut to ``width`` characters, in pieces: marked or not."""
    found = [m.span() for m in _WORD.finditer(text[:FAR]) if any(t.meets(w) for w in _words(m.group()) for t in query)]
    start = max(0, found[0][0] - width // 3) if found and found[0][1] > width else 0
    end = min(len(text), start + width)
    pieces, at = [("…", False)] if start else [], start
    for low, high in found:
        if start <= low and high <= end:
            pieces += [(text[at:low], False), (text[low:high], True)]
            at = high
    return [piece for piece in (*pieces, (text[at:end], False), ("…" if end < len(text) else "", False)) if piece[0]]


def telling(terms: Iterable[str]) -> list[str]:
    """The words of a description that say what it is about: neither stop words, nor numbers, which count its rows, nor
    those of phrases around it."""
    return [term for term in terms if term not in _STOP_WORDS and not term.isdigit() and not term.startswith(FRAME)]


def _words(text: str) -> list[str]:
    return [word[:LONGEST] for word in _WORD.findall(_folded(text))]


def _folded(text: str) -> str:
    """In one case and one of Unicode's ways to write it."""
    return unicodedata.normalize("NFKC", text.casefold())


def _first(terms: Iterable[str]) -> list[str]:
    """The first so many different terms, none of them empty."""
    return list(dict.fromkeys(filter(None, terms)))[:MOST]
