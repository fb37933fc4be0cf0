"""Kinds of heads, by how what a head promotes depends on what it reads, and by their headlines."""

from __future__ import annotations

from typing import Literal

__all__ = [
    "CARD_KINDS",
    "CONTRADICTIONS",
    "KINDS",
    "LEAST_COVERED",
    "NO_PATTERN",
    "CardKind",
    "Contradicts",
    "Kind",
]

Kind = Literal["meaning", "form", "copy", "class", "list", "nothing"]

KINDS: dict[Kind, str] = {
    "meaning": "the outputs follow from the input's meaning",
    "form": "the outputs follow from the input's form",
    "copy": "copies the input or inflects it",
    "class": "one class of outputs whatever the input",
    "list": "one unrelated list of outputs whatever the input",
    "nothing": "nothing that can be described",
}
"""Each kind in words."""

NO_PATTERN: frozenset[Kind] = frozenset({"list", "nothing"})
"""Kinds of heads that have no pattern: an answer of such a kind is an abstention, whatever else it says."""

LEAST_COVERED = 1 / 3
"""A description whose groups cover a smaller share of the lines is of too few of them to be taken for the head's."""

CardKind = Literal[
    "relates",
    "copies",
    "suppresses",
    "induction",
    "duplicate-token",
    "previous-token",
    "first-token sink",
    "delimiter",
    "local",
    "broad",
    "content",
    "supported",
    "said",
    "unclear",
    "not looked at",
]

CARD_KINDS: dict[CardKind, str] = {
    "relates": "writes words that are related to its input",
    "copies": "copies its input",
    "suppresses": "suppresses its input, or words related to it",
    "induction": "induction head",
    "duplicate-token": "duplicate-token head",
    "previous-token": "previous-token head",
    "first-token sink": "first-token sink",
    "delimiter": "delimiter head",
    "local": "local head",
    "broad": "broad head",
    "content": "content head",
    "supported": "described, and a test bears it out",
    "said": "described, and no test bears it out",
    "unclear": "nothing found above chance",
    "not looked at": "mappings alone are known",
}
"""Kinds of headline, by what carries it, in words. The order is that of legends."""

Contradicts = Literal["copies", "prompts", "ablation", "judges", "halves"]

CONTRADICTIONS: dict[Contradicts, str] = {
    "copies": "a description says that it copies, and it suppresses",
    "prompts": "an operation by its weights does not happen in prompts",
    "ablation": "an operation's task is not harmed without the head",
    "judges": "judges of one description disagree",
    "halves": "halves of the text give other kinds of attention",
}
"""The sorts of contradiction in words."""
