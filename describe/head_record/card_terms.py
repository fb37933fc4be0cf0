"""The words that a head is found by through its card."""

from __future__ import annotations

from describe.head_record.facts import Facts
from describe.head_record.headline import Card
from describe.head_record.operation_words import does
from describe.kinds import CARD_KINDS
from describe.records import THRESHOLD
from describe.terms import prose_terms
from describe.text import spaced

__all__ = ["card_terms"]


def card_terms(facts: Facts, made: Card) -> list[str]:
    """The words that a head is found by beside those of its descriptions and tokens: of its headline, of every
    operation and kind of head, of the kind of its headline, and of the verdict on its best description."""
    words: list[str] = []
    if made.kind not in ("said", "supported", "unclear", "not looked at"):
        words += [made.headline, CARD_KINDS.get(made.kind, "")]  # type: ignore[call-overload]
    for name, relation in facts.relations.items():
        for down, score in ((False, relation.score), (True, relation.suppression)):
            if score >= THRESHOLD:
                words += [does(name, suppresses=down), spaced(name)]
    for kind in facts.kinds:
        words += [kind, "head attention"]
    if facts.ranked and facts.ranked[0].verdict != "not judged":
        words.append(facts.ranked[0].verdict)
    return prose_terms(*words)
