"""Contradictions: findings on a head that do not go together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

from describe.head_record.facts import Facts
from describe.head_record.form import Record
from describe.head_record.operation_words import does
from describe.head_record.relations import RelationRecord
from describe.head_record.scores import HeadlineScore
from describe.kinds import Contradicts
from describe.records import THRESHOLD
from describe.text import spaced
from describe.values import Text

__all__ = [
    "ContradictionRecord",
    "contradictions",
    "missing_in_prompts",
    "unharmed",
]

HARM = 0.1
"""Accuracy that a task must lose with a head, beyond what it loses with random ones, for the head to matter to it."""


class ContradictionRecord(Record):
    """Two findings on a head that do not go together."""

    sort: Contradicts
    """which sort it is"""

    words: Text
    """both findings in a sentence"""


def contradictions(facts: Facts) -> tuple[ContradictionRecord, ...]:
    """All that does not go together, in the order of `describe.kinds.CONTRADICTIONS`."""
    found = (*_copies(facts), *_operations(facts), *_judges(facts), *_halves(facts))
    return tuple(ContradictionRecord.of(sort=sort, words=words) for sort, words in found)


Found = Iterator[tuple[Contradicts, str]]

_COPIES = re.compile(r"\b(cop(y|ies|ied|ying)|repeats?|reproduc\w+|the same (token|word|name)s?)\b", re.IGNORECASE)
_DENIES = re.compile(r"\b(suppress\w*|not|never|prevent\w*|instead of|push\w* down|inhibit\w*)\b", re.IGNORECASE)


def _copies(facts: Facts) -> Found:
    down = [(relation.suppression, name) for name, relation in facts.relations.items()]
    strongest, name = max(down, default=(0.0, ""))
    part = facts.figure.above.get("suppresses_copies") if facts.figure else None
    if strongest < THRESHOLD and part is None:
        return
    shown = f"{does(name, suppresses=True)}: {strongest:.2f}" if strongest >= THRESHOLD else ""
    if part is not None and not shown:
        shown = f"suppresses its input: {part.share:.2f} of rows, random heads at most {part.most:.2f}"
    for one in facts.descriptions:
        says = one.pattern or ""
        copies = one.kind == "copy" or (_COPIES.search(says) and not _DENIES.search(says))
        if one.state == "described" and one.tells == "writes" and copies:
            yield "copies", f"{one.llm} says that it copies, but it {shown}"


def missing_in_prompts(relation: RelationRecord) -> bool:
    """An operation by the weights that it does not carry out in prompts, though it attended to the source alone."""
    run = relation.inference
    if run is None or relation.strength < THRESHOLD:
        return False
    down = relation.suppression > relation.score
    return (run.of_source.suppression if down else run.of_source.score) < THRESHOLD


def unharmed(relation: RelationRecord) -> bool:
    """An operation that the head implements, whose task is not harmed by removing it more than by random heads."""
    removed = relation.ablation
    if removed is None or removed.random is None:
        return True
    return relation.score < THRESHOLD or removed.random - removed.targeted < HARM


def _operations(facts: Facts) -> Found:
    for name, relation in facts.relations.items():
        down = relation.suppression > relation.score
        if missing_in_prompts(relation) and relation.inference is not None:
            run = relation.inference.of_source
            yield (
                "prompts",
                f"{does(name, suppresses=down)} by its weights ({relation.strength:.2f}), but not in prompts:"
                f" {run.suppression if down else run.score:.2f} though it attended to nothing else",
            )
    for name, relation in facts.relations.items():
        removed = relation.ablation
        told = removed is not None and removed.random is not None and removed.base >= HARM
        if told and removed is not None and relation.score >= THRESHOLD and unharmed(relation):
            yield (
                "ablation",
                f"{does(name, suppresses=False)} ({relation.score:.2f}), but the task {spaced(name)} is solved as well"
                f" without it: {removed.targeted:.2f}, and {removed.random:.2f} without as many random heads",
            )


def _judges(facts: Facts) -> Found:
    for one in facts.descriptions:
        by_measure: dict[str, list[HeadlineScore]] = {}
        for score in sorted(one.judged, key=lambda score: score.judge):
            by_measure.setdefault(score.measure, []).append(score)
        for scores in by_measure.values():
            apart = next((pair for pair in combinations(scores, 2) if _apart(*pair)), None)
            if apart is not None:
                first, second = apart
                yield (
                    "judges",
                    f"judges of the description by {one.llm} disagree: {first.by} {first.with_interval},"
                    f" {second.judge} {second.with_interval}",
                )


def _apart(one: HeadlineScore, other: HeadlineScore) -> bool:
    """Two scores whose intervals have nothing in common."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low > other.high or other.low > one.high


def _halves(facts: Facts) -> Found:
    if len(facts.halves) == 2 and set(facts.halves[0]) != set(facts.halves[1]):
        first, second = (", ".join(half) or "no kind" for half in facts.halves)
        yield "halves", f"by one half of the text its attention is {first}, by the other {second}"
