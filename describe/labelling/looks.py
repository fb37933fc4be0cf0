"""Where a head looks, as prompt templates show it; and a placebo: the same contexts, looked at elsewhere."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from describe.attention import SAYS, Attended, Context, HeadAttention, TokenPair
from describe.mappings import MappingRow, Target
from describe.records import HeadMapping
from describe.text import shown, visible

__all__ = ["ATTENTION", "LOOKS", "context_line", "look_rows", "looks_of", "shuffled_looks"]

LOOKS = frozenset({"kinds", "pairs", "contexts"})
"""Fields of a template that show where a head looks."""

ATTENTION = "attention"
"""The setting ``shows`` of who describes where heads look: no mapping row tells whether that is true."""

MOST_PAIRS = 12


def looks_of(mapping: HeadMapping, field: str) -> list[dict[str, object]]:
    """One of the fields `LOOKS` of a head; nothing where it is not known where it looks."""
    found = mapping.attention
    if found is None:
        return []
    if field == "kinds":
        return [{"name": visible(kind), "says": SAYS.get(kind, "of another version")} for kind in found.kinds]
    if field == "pairs":
        return [
            {"source": shown(pair.source), "target": shown(pair.target), "count": pair.count}
            for pair in found.pairs[:MOST_PAIRS]
        ]
    return [{"text": _looked_at(one), "attention": one.attended[0].attention} for one in _lines(found)]


def look_rows(found: HeadAttention) -> tuple[MappingRow, ...]:
    """The lines of the contexts as rows: the token from which the head looks, and the one that it looks at."""
    return tuple(
        MappingRow(
            0, one.tokens[one.query], first.attention, (Target(0, one.tokens[first.place], first.attention),), ()
        )
        for one in _lines(found)
        for first in one.attended[:1]
    )


def context_line(context: Context, marked: Callable[[int, str], str]) -> str:
    """A context in one line, the token looked from in ⟪⟫; ``marked``: how the token at a place is written."""
    pieces = []
    for place, token in enumerate(context.tokens):
        seen = marked(place, visible(token))
        seen = f"⟪{seen}⟫" if place == context.query else seen
        pieces.append((" … " if place == context.cut else "") + seen)
    return "".join(pieces)


def _lines(found: HeadAttention) -> list[Context]:
    """The contexts that are shown, a line each."""
    return [one for one in found.contexts if one.attended]


def _looked_at(context: Context) -> str:
    key = context.attended[0].place
    line = context_line(context, lambda place, seen: f"⟦{seen}⟧" if place == key != context.query else seen)
    return line + (" (at itself)" if key == context.query else "")


def shuffled_looks(found: HeadAttention, seed: int) -> HeadAttention:
    """A head that looks from the same places at others, drawn from the same contexts, and is of no kind.

    So it does in the held-out contexts, on which what is said of it is judged.
    """
    draw = random.Random(f"{seed} {found.layer}.{found.head}")  # noqa: S311  (not a secret)
    contexts = tuple(_elsewhere(context, draw) for context in found.contexts)
    held_out = tuple(_elsewhere(context, draw) for context in found.held_out)
    ends = [(one.tokens[one.query], one.tokens[one.attended[0].place], one) for one in contexts if one.attended]
    pairs = tuple(TokenPair(source, target, 1, one.attended[0].attention, 0.0) for source, target, one in ends)
    moved = replace(found, pairs=pairs, contexts=contexts, held_out=held_out)
    return replace(moved, kinds=(), halves=((), ()), figures={}, classes=())


def _elsewhere(context: Context, draw: random.Random) -> Context:
    real = {one.place for one in context.attended}
    others = [place for place in range(len(context.tokens)) if place not in real and place <= context.query]
    draw.shuffle(others)
    moved = tuple(Attended(place, one.attention) for place, one in zip(others, context.attended, strict=False))
    return replace(context, attended=moved)
