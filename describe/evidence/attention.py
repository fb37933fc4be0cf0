"""Where a head looks, in plain words: its kinds, and the classes of tokens on either side. No LLM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from describe.attention import FITS, KINDS, SAYS, TEXTS, HeadAttention, TokenClass, strength
from describe.records import Claim, Description

__all__ = ["LOOKS_METHOD", "LOOKS_NAME", "describe_looks"]

LOOKS_NAME = "attention-evidence-1"
LOOKS_METHOD = """Statistics of where a head looks, put into words without an LLM.

Kinds by the thresholds of the table of kinds. Classes of tokens from which it looks hardest, and at which, against the
share of the text's tokens that are such: exact binomial tail, corrected over all classes, sides and heads
(Benjamini-Hochberg), and an effect of 0.5 at least. Said are the kinds and the two strongest classes of either side.
Claimed are these classes as they were counted, and of kinds in how many of the contexts the head looks at such a token.
"""
"""Stored where the descriptions of an LLM have their prompt."""

MOST_CLASSES = 2
UNCLEAR = "Unclear"


def describe_looks(found: HeadAttention) -> Description:
    """The sentences about a head; an abstention where it is of no kind and neither side has a class of its own."""
    sides = {side: [one for one in found.classes if one.side == side][:MOST_CLASSES] for side in ("from", "at")}
    said = [f"{kind}: {SAYS[kind]}" for kind in found.kinds if kind in SAYS]
    said += [f"looks at {_counted(one)}" for one in sides["at"]]
    if not said and not sides["from"]:
        return Description(UNCLEAR, UNCLEAR, unclear=True)
    inputs = "; ".join(_counted(one) for one in sides["from"]) or UNCLEAR
    claims = (*_kinds_claimed(found), *(_claim(one) for of_side in sides.values() for one in of_side))
    return Description(inputs, "; ".join(said) or UNCLEAR, unclear=not said, claims=claims)


def _claim(one: TokenClass) -> Claim:
    side: Literal["inputs", "outputs"] = "inputs" if one.side == "from" else "outputs"
    return Claim(one.name, side, one.words, one.count, one.looks, one.expected)


def _kinds_claimed(found: HeadAttention) -> Iterator[Claim]:
    """Claims of kinds, counted on the contexts; expected is what a head that attends to all alike gives such tokens."""
    contexts = [one for one in found.contexts if one.attended]
    for kind in KINDS:
        if kind.name not in found.kinds or kind.name not in FITS or not contexts:
            continue
        fits = FITS[kind.name]
        lines = tuple(n for n, one in enumerate(contexts, 1) if fits(one, one.attended[0].place))
        alike = {of: {name: one.uniform for name, one in by_name.items()} for of, by_name in found.figures.items()}
        expected = strength(kind, {of: alike[of] for of in TEXTS if of in alike}) or 0.0
        yield Claim(kind.name, "pairing", SAYS[kind.name], len(lines), len(contexts), expected, lines=lines)


def _counted(one: TokenClass) -> str:
    return f"{one.words} ({one.count} of {one.looks} looks; {one.expected:.0%} of the text)"
