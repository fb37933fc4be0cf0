"""A model's vocabulary, looked at once: the properties of every token and the keys by which tokens are related."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from describe.evidence.grammar import Grammar, load_grammar
from describe.evidence.lexicon import load_lexicon
from describe.evidence.meaning import MEANING_RELATIONS, MEANINGS
from describe.evidence.properties import Property, Token, properties
from describe.evidence.relations import Keys, Relation, relations
from describe.operations import load_operations

__all__ = ["Vocabulary"]

Ids = NDArray[np.int_]

MARKED = 0.05
"""Where at least this share of the tokens begins with a space, a space is what words begin with."""


class Vocabulary:
    """The tokens of a model with their properties and keys; made once, then shared by all heads.

    Args:
        tokens: the text of each of the V tokens.

    Attributes:
        properties: P properties.
        has: V x P, whether a token has a property.
        shares: P, the share of the vocabulary that has it.
        relations: R relations.

    Raises `InputError` when the dictionaries are not installed.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        operations, _ = load_operations()
        self.tokens = tokens
        self.properties: list[Property] = [*properties(operations), *MEANINGS]
        self.relations: list[Relation] = [*MEANING_RELATIONS, *relations(operations)]
        looked_at = list(_look_at(tokens, load_grammar()))
        self.has = np.array([[p.holds(token) for p in self.properties] for token in looked_at], dtype=bool)
        self.has.shape = (len(tokens), len(self.properties))
        self.shares = self.has.sum(0) / max(len(tokens), 1)
        numbers: dict[str, int] = {}
        made: dict[Keys, _KeyTable] = {}
        for relation in self.relations:
            for keys in (relation.source, relation.target):
                if keys not in made:
                    made[keys] = _KeyTable(looked_at, keys, numbers)
        self._keys = [(made[relation.source], made[relation.target]) for relation in self.relations]
        self._same = {
            "word": np.array([numbers.setdefault(token.fold, len(numbers)) for token in looked_at]),
            "token": np.array([numbers.setdefault(token.text, len(numbers)) for token in looked_at]),
        }

    @staticmethod
    def of(tokens: Sequence[str]) -> Vocabulary:
        """That of a model's tokens: looked at once by all that one run says of it."""
        return _kept(tuple(tokens))

    def __len__(self) -> int:
        return len(self.tokens)

    def related(self, sources: Ids, targets: Ids) -> NDArray[np.bool_]:
        """R x S x T: whether, under each relation, token t of ``targets`` (T ids) answers s of ``sources`` (S ids)."""
        found = np.empty((len(self.relations), len(sources), len(targets)), dtype=bool)
        for number in range(len(self.relations)):
            found[number] = self.related_by(number, sources, targets)
        return found

    def related_by(self, number: int, sources: Ids, targets: Ids) -> NDArray[np.bool_]:
        """S x T: the same under the relation of that number alone."""
        relation, (source, target) = self.relations[number], self._keys[number]
        found = source.meets(sources, target, targets)
        if relation.but_not:
            ids = self._same[relation.but_not]
            found &= ids[sources][:, None] != ids[targets]
        return found


@lru_cache(maxsize=1)
def _kept(tokens: tuple[str, ...]) -> Vocabulary:
    return Vocabulary(tokens)


class _KeyTable:
    """The keys of every token as numbers, padded to a rectangle; tokens without keys share its first row."""

    def __init__(self, tokens: Sequence[Token], keys: Keys, numbers: dict[str, int]) -> None:
        owners: list[int] = []  # flat: a list for each token, most of them empty, costs more than the keys do
        found: list[int] = []
        for owner, token in enumerate(tokens):
            for key in keys(token):
                owners.append(owner)
                found.append(numbers.setdefault(key, len(numbers)))
        counts = np.bincount(np.array(owners, dtype=np.int64), minlength=len(tokens))
        self._row = np.where(counts, np.cumsum(counts > 0), 0)
        self._table = np.full((1 + np.count_nonzero(counts), max(counts, default=1) or 1), -1, dtype=np.int64)
        column = np.arange(len(found)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._table[self._row[owners], column] = found

    def meets(self, own: Ids, other: _KeyTable, others: Ids) -> NDArray[np.bool_]:
        """S x T: whether a token of ``own`` and one of ``others`` have a key in common."""
        mine, theirs = self._table[self._row[own]], other._table[other._row[others]]
        width = (mine >= 0).any(0).sum()  # most tokens have few keys
        mine = mine[:, :width]
        met = np.zeros((len(own), len(others)), dtype=bool)
        for column in mine.T:
            met |= ((column[:, None, None] == theirs) & (column[:, None, None] >= 0)).any(-1)
        return met


def _look_at(tokens: Sequence[str], grammar: Grammar) -> Iterable[Token]:
    spaced = sum(token.startswith(" ") for token in tokens) >= MARKED * len(tokens)
    for text in tokens:
        word = text.strip()
        fold = word.casefold()
        known = fold.isascii() and fold.isalpha() and len(fold) > 1
        inner, lemmas = spaced and text == word, grammar.lemmas(fold) if known else frozenset()
        piece = inner and word.islower()
        yield Token(
            text=text,
            word=word,
            fold=fold,
            zipf=grammar.zipf(fold),
            tags=grammar.tags(fold) if known else frozenset(),
            lemmas=lemmas,
            inner=inner,
            classes=frozenset() if piece else load_lexicon().classes_of(lemmas or {fold}),
        )
