"""Kinds of heads, by how what a head promotes depends on what it reads."""

from __future__ import annotations

from typing import Literal

__all__ = ["KINDS", "LEAST_COVERED", "NO_PATTERN", "Kind"]

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
