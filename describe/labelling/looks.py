"""Where a head looks, as prompt templates show it; and a placebo: the same contexts, looked at elsewhere."""

from __future__ import annotations

import random
from dataclasses import replace

from describe.attention import SAYS, Attended, Context, HeadAttention, TokenPair
from describe.records import HeadMapping
from describe.text import shown, visible

__all__ = ["ATTENTION", "LOOKS", "looks_of", "shuffled_looks"]

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
    return [{"text": _line(one), "attention": one.attended[0].attention} for one in found.contexts if one.attended]


def _line(context: Context) -> str:
    key = context.attended[0].place
    pieces = []
    for place, token in enumerate(context.tokens):
        seen = visible(token)
        seen = f"⟦{seen}⟧" if place == key and place != context.query else seen
        seen = f"⟪{seen}⟫" if place == context.query else seen
        pieces.append((" … " if place == context.cut else "") + seen)
    return "".join(pieces) + (" (at itself)" if key == context.query else "")


def shuffled_looks(found: HeadAttention, seed: int) -> HeadAttention:
    """A head that looks from the same places at others, drawn from the same contexts, and is of no kind."""
    draw = random.Random(f"{seed} {found.layer}.{found.head}")  # noqa: S311  (not a secret)
    contexts = tuple(_elsewhere(context, draw) for context in found.contexts)
    ends = [(one.tokens[one.query], one.tokens[one.attended[0].place], one) for one in contexts if one.attended]
    pairs = tuple(TokenPair(source, target, 1, one.attended[0].attention, 0.0) for source, target, one in ends)
    return replace(found, kinds=(), halves=((), ()), figures={}, pairs=pairs, contexts=contexts, classes=())


def _elsewhere(context: Context, draw: random.Random) -> Context:
    real = {one.place for one in context.attended}
    others = [place for place in range(len(context.tokens)) if place not in real and place <= context.query]
    draw.shuffle(others)
    moved = tuple(Attended(place, one.attention) for place, one in zip(others, context.attended, strict=False))
    return replace(context, attended=moved)
