"""A model's vocabulary, looked at once: the properties of every token and the keys by which tokens are related."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import describe.operations
from describe.evidence.grammar import Grammar, grammar_versions, load_grammar
from describe.evidence.lexicon import load_lexicon
from describe.evidence.meaning import MEANING_RELATIONS, MEANINGS
from describe.evidence.properties import Property, Token, properties
from describe.evidence.relations import Keys, Relation, relations
from describe.operations import load_operations

__all__ = ["Looks", "Vocabulary", "looked_by"]

Ids = NDArray[np.int_]

MARKED = 0.05
"""Where at least this share of the tokens begins with a space, a space is what words begin with."""


class Looks(NamedTuple):
    """All that was seen in the V tokens of a vocabulary, in numbers, which can be kept.

    Attributes:
        has: (V, P), whether a token has a property.
        same: (2, V), a number for each word, whatever its case and spacing, and for each token.
        owners: of all keys of all K kinds, kind by kind, the token that has it; ``keys`` a number for each key.
        ends: (K,), where each kind ends in these.
    """

    has: NDArray[np.bool_]
    same: NDArray[np.int32]
    owners: NDArray[np.int32]
    keys: NDArray[np.int32]
    ends: NDArray[np.int64]


class Vocabulary:
    """The tokens of a model with their properties and keys; made once, then shared by all heads.

    Args:
        tokens: the text of each of the V tokens.
        looks: what was seen in them before, by what `looked_by` names.

    Attributes:
        properties: P properties.
        looks: what was seen in the tokens; ``has``, which has which property, is a part of it.
        shares: P, the share of the vocabulary that has a property.
        relations: R relations.

    Raises `InputError` when the dictionaries are not installed.
    """

    def __init__(self, tokens: Sequence[str], looks: Looks | None = None) -> None:
        operations, _ = load_operations()
        self.tokens = tokens
        self.properties: list[Property] = [*properties(operations), *MEANINGS]
        self.relations: list[Relation] = [*MEANING_RELATIONS, *relations(operations)]
        kinds = list(dict.fromkeys(keys for one in self.relations for keys in (one.source, one.target)))
        self.looks = _looks(tokens, self.properties, kinds) if looks is None else looks
        self.has = self.looks.has
        self.shares = self.has.sum(0) / max(len(tokens), 1)
        by_kind = (np.split(column, self.looks.ends[:-1]) for column in (self.looks.owners, self.looks.keys))
        made = {kind: _KeyTable(owners, keys, len(tokens)) for kind, owners, keys in zip(kinds, *by_kind, strict=True)}
        self._keys = [(made[relation.source], made[relation.target]) for relation in self.relations]
        self._same = dict(zip(("word", "token"), self.looks.same, strict=True))

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


def looked_by() -> dict[str, str]:
    """Of what a look at a vocabulary depends on, the versions; of our own words and rules a hash."""
    digest = hashlib.sha256()
    for part in (Path(__file__).parent, Path(describe.operations.__file__).parent):
        for file in sorted(part.rglob("*")):
            if file.suffix in (".py", ".json", ".txt"):
                digest.update(file.read_bytes())
    return grammar_versions() | {"words and rules": digest.hexdigest()}


def _looks(tokens: Sequence[str], of_token: Sequence[Property], kinds: Sequence[Keys]) -> Looks:
    looked_at = list(_look_at(tokens, load_grammar()))
    has = np.array([[one.holds(token) for one in of_token] for token in looked_at], dtype=bool)
    numbers: dict[str, int] = {}
    owners: list[int] = []  # flat: a list for each token, most of them empty, costs more than the keys do
    found: list[int] = []
    ends = []
    for keys in kinds:
        for owner, token in enumerate(looked_at):
            for key in keys(token):
                owners.append(owner)
                found.append(numbers.setdefault(key, len(numbers)))
        ends.append(len(owners))
    same = [[numbers.setdefault(key, len(numbers)) for key in (token.fold, token.text)] for token in looked_at]
    return Looks(
        has.reshape(len(tokens), len(of_token)),
        np.array(same, dtype=np.int32).reshape(len(tokens), 2).T.copy(),
        np.array(owners, dtype=np.int32),
        np.array(found, dtype=np.int32),
        np.array(ends, dtype=np.int64),
    )


class _KeyTable:
    """The keys of every token as numbers, padded to a rectangle; tokens without keys share its first row."""

    def __init__(self, owners: NDArray[np.int32], keys: NDArray[np.int32], n_tokens: int) -> None:
        """``owners``: the token of each key, ascending."""
        counts = np.bincount(owners, minlength=n_tokens)
        self._row = np.where(counts, np.cumsum(counts > 0), 0)
        self._table = np.full((1 + np.count_nonzero(counts), max(counts, default=1) or 1), -1, dtype=np.int32)
        column = np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._table[self._row[owners], column] = keys

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
