"""The relations a target can stand in to its source, from which claims about pairing are made: one table.

A relation holds where a key of the source equals a key of the target. Keys are strings made of the token; a relation
names the keys of either side, and whether the same word written alike or in another way counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from describe.evidence.properties import Token
from describe.operations import Operation
from describe.text import spaced

__all__ = ["Keys", "Relation", "relations"]

Keys = Callable[[Token], Iterable[str]]


@dataclass(frozen=True)
class Relation:
    """A relation: its machine word, its group, what a head that shows it does, and the keys that must meet.

    Attributes:
        but_not: what does not count: the same ``word`` in whatever case and spacing, the same ``token``, or nothing.
    """

    name: str
    group: str
    wording: str
    source: Keys
    target: Keys
    but_not: Literal["word", "token", ""] = "word"


LONGEST = 12
"""Beginnings of words are looked at up to so many letters."""


def _text(token: Token) -> list[str]:
    return [token.text]


def _fold(token: Token) -> list[str]:
    return [token.fold] if token.fold else []


def _letter(token: Token) -> list[str]:
    return [token.fold] if len(token.fold) == 1 and token.fold.isalpha() else []


def _ends(position: int) -> Keys:
    return lambda token: [token.fold[position]] if len(token.fold) > 1 and token.fold.isalpha() else []


def _prefixes(token: Token) -> list[str]:
    return [token.fold[:length] for length in range(2, min(len(token.fold), LONGEST))] if token.fold.isalpha() else []


def _first_three(token: Token) -> list[str]:
    return [token.fold[:3]] if len(token.fold) >= 3 and token.fold.isalpha() else []


def _piece(token: Token) -> list[str]:
    return [token.fold] if len(token.fold) >= 2 and token.fold.isalpha() else []


def _lemmas(token: Token) -> Iterable[str]:
    return sorted(token.lemmas)[:4]


RELATIONS = (
    Relation("copy", "word", "copies the input token", _text, _text, ""),
    Relation("variant", "word", "writes the input with other case or spacing", _fold, _fold, "token"),
    Relation("inflection", "inflection", "gives another form of the same word", _lemmas, _lemmas),
    Relation("same_lemma", "word", "gives the same word or another form of it", _lemmas, _lemmas, ""),
    Relation("completion", "beginning", "completes the input to longer words", _piece, _prefixes),
    Relation("truncation", "beginning", "gives a beginning of the input", _prefixes, _piece),
    Relation(
        "same_beginning", "beginning", "gives words with the same first three letters", _first_three, _first_three
    ),
    Relation("first_letter", "letter", "gives the first letter of the input", _ends(0), _letter),
    Relation("last_letter", "letter", "gives the last letter of the input", _ends(-1), _letter),
    Relation("same_first_letter", "letter", "gives words with the same first letter", _ends(0), _ends(0)),
)


def relations(operations: Iterable[Operation]) -> list[Relation]:
    """All relations: those of the table, then the pairs of each operation, in both directions."""
    return [*RELATIONS, *(relation for operation in operations for relation in _of_operation(operation))]


def _of_operation(operation: Operation) -> list[Relation]:
    first, joined, last = spaced(operation.name).partition(" to ")
    if not joined:
        return []  # copying: every pair is a word with itself
    forward = [(source.casefold(), target.casefold()) for source, target in operation.pairs]
    backward = [(target, source) for source, target in forward]
    return [
        Relation(operation.name, "operation", f"maps {first} to {last}", _paired(forward), _fold),
        Relation(f"{operation.name}_reversed", "operation", f"maps {last} to {first}", _paired(backward), _fold),
    ]


def _paired(pairs: Iterable[tuple[str, str]]) -> Keys:
    found: dict[str, list[str]] = {}
    for source, target in pairs:
        found.setdefault(source, []).append(target)
    return lambda token: found.get(token.fold, ())
