"""Everything known of a head as numbered lines: shown to an LLM that words its card, and rested on by its words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from describe.attention import KINDS
from describe.head_record.facts import Facts, Told
from describe.head_record.head import HeadRecord
from describe.head_record.headline import attention_figure, operation_figure
from describe.head_record.operation_words import does
from describe.head_record.worded import WordedRecord
from describe.records import THRESHOLD

__all__ = ["WordedLines", "card_evidence", "worded_lines"]


class WordedLines(NamedTuple):
    """A worded card as people read it.

    Attributes:
        by: who worded it, and by which prompt.
        failed: why there is nothing, else empty.
        statements: the headline, then two sentences, each with its numbers.
        evidence: the lines that they rest on; ``notes``: the level of the check, and whether more is known by now.
    """

    by: str
    failed: str
    statements: list[str]
    evidence: list[str]
    notes: list[str]


def card_evidence(head: HeadRecord) -> tuple[str, ...]:
    """Everything known of a head beyond its mappings, a line each; nothing where nobody looked further."""
    facts = head.facts
    if not facts.looked_into:
        return ()
    found = [*_operations(facts), *_looks(head, facts), *_mappings(head), *map(_said, facts.ranked), *_roles(head)]
    found += [f"does not go together: {one.words}" for one in (head.card.contradictions if head.card else ())]
    return tuple(" ".join(line.split()) for line in found if line)


def worded_lines(head: HeadRecord, llm: str | None = None) -> list[WordedLines]:
    """The newest wording by each LLM and prompt; ``llm``: those by this one alone."""
    newest = {(one.llm, one.prompt): one for one in head.worded if llm in (None, one.llm)}
    known = card_evidence(head) if newest else ()
    return [_lines(one, known) for one in newest.values()]


def _lines(one: WordedRecord, known: tuple[str, ...]) -> WordedLines:
    notes = [one.level] if one.level else []
    if one.evidence != known:
        notes.append("by what was known then; something else is known now: describe --cards words it again")
    failed = "" if one.failure is None else f"failed ({one.failure}): {one.detail or ''}"
    statements = [statement.words for statement in one.statements]
    return WordedLines(f"{one.llm} ({one.prompt})", failed, statements, one.cited, notes)


def _operations(facts: Facts) -> Iterator[str]:
    strong = sorted(facts.relations.items(), key=lambda item: -item[1].strength)
    for name, relation in strong:
        if relation.strength >= THRESHOLD:
            yield f"operation, by its weights: {operation_figure(facts, name)}"
    if strong and strong[0][1].strength < THRESHOLD:
        name, relation = strong[0]
        nearest = does(name, suppresses=relation.suppression > relation.score)
        yield (
            f"operations, by its weights: none of {len(strong)} by {THRESHOLD} or more; the nearest, {nearest},"
            f" {relation.strength:.2f}"
        )


def _looks(head: HeadRecord, facts: Facts) -> Iterator[str]:
    for kind in KINDS:
        if kind.name in facts.kinds and (told := attention_figure(kind, facts.attention.get(kind.text, {}))[0]):
            yield f"attention, {kind.name}: {told}"
    if head.attention is not None and not facts.kinds:
        yield f"attention: {head.attention.words}"
    if head.query_key is not None:
        yield f"attention, by its weights: {head.query_key.words}"


def _mappings(head: HeadRecord) -> Iterator[str]:
    if head.figure is not None:
        yield f"mappings beside random heads: {head.figure.words}"
    for found in head.evidence:
        yield f"mappings, above chance: {found.text}, by chance {found.expected:.2f} of them"
    if head.inference is not None:
        yield f"its own mappings in prompts, as shares that it writes: {head.inference.text}"


def _said(one: Told) -> str:
    """A description with its verdict; an abstention; nothing of a failure."""
    about = f"{one.llm}, of {'where it looks' if one.tells == 'looks' else 'what it writes'}"
    about += f", role {one.role}" if one.role else ""
    if one.state == "unclear":
        return f"description by {about}: sees no pattern"
    if one.state != "described" or not one.words:
        return ""
    score = f", {one.headline.text}" if one.headline is not None else ""
    return f"description by {about}: {one.pattern}; inputs: {one.inputs}; {one.verdict}{score}"


def _roles(head: HeadRecord) -> Iterator[str]:
    for role in head.roles if len(head.roles) > 1 else ():
        told = f": {role.claims}" if role.claims else ""
        yield f"role {role.role}: {role.sign}, {role.share:.2f} of the saliency, {len(role.rows)} rows{told}"
