"""Where a head looks, in plain words: its kinds, and the classes of tokens on either side. No LLM."""

from __future__ import annotations

from describe.attention import SAYS, HeadAttention, TokenClass
from describe.records import Description

__all__ = ["LOOKS_METHOD", "LOOKS_NAME", "describe_looks"]

LOOKS_NAME = "attention-evidence-1"
LOOKS_METHOD = """Statistics of where a head looks, put into words without an LLM.

Kinds by the thresholds of the table of kinds. Classes of tokens from which it looks hardest, and at which, against the
share of the text's tokens that are such: exact binomial tail, corrected over all classes, sides and heads
(Benjamini-Hochberg), and an effect of 0.5 at least. Said are the kinds and the two strongest classes of either side.
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
    return Description(inputs, "; ".join(said) or UNCLEAR, unclear=not said)


def _counted(one: TokenClass) -> str:
    return f"{one.words} ({one.count} of {one.looks} looks; {one.expected:.0%} of the text)"
