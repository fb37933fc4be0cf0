"""Differences of a head between two records of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher

from describe.head_record.attention import AttentionRecord
from describe.head_record.descriptions import DescriptionRecord
from describe.head_record.form import Json
from describe.head_record.head import HeadRecord
from describe.head_record.query_key import QueryKeyRecord
from describe.head_record.relations import RelationRecord
from describe.mappings import MappingRow

__all__ = ["KINDS", "changes", "described_otherwise", "pairs", "words"]

KINDS = ("mapping", "descriptions", "scores", "relations", "attention", "query_key")
"""Parts of a head that can change."""

CLOSE = 1e-3
"""Numbers that differ by less, of mappings relative to their size, are the same: another machine's rounding."""

MOST_WORDS = 2000
"""Longer texts are not compared word by word, which takes time with the square of their length."""

_WHO = ("llm", "prompt", "role")

Who = tuple[str, str, int | None]
Pair = tuple[HeadRecord | None, HeadRecord | None]


def pairs(old: Iterable[HeadRecord], new: Iterable[HeadRecord]) -> Iterator[Pair]:
    """The heads of two models side by side, both in order; None where one of them lacks a head."""
    ours, theirs = iter(old), iter(new)
    one, other = next(ours, None), next(theirs, None)
    while one is not None or other is not None:
        at, there = _place(one), _place(other)
        yield (one if at <= there else None), (other if there <= at else None)
        if at <= there:
            one = next(ours, None)
        if there <= at:
            other = next(theirs, None)


def changes(old: HeadRecord, new: HeadRecord, llm: str | None = None) -> Json:
    """Changed `KINDS`, empty when nothing did; ``llm``: only descriptions by this one, and their scores."""
    before, after = ({who: d for who, d in _described(record) if llm in (None, who[0])} for record in (old, new))
    found: Json = {
        "mapping": _mapping(old.salient, new.salient),
        "descriptions": [
            dict(zip(_WHO, who, strict=True)) | change
            for who in sorted(before | after, key=str)
            if (change := _description(before.get(who), after.get(who)))
        ],
        "scores": [
            dict(zip(_WHO, who, strict=True)) | change
            for who in sorted(before.keys() & after.keys(), key=str)
            for change in _scores(before[who], after[who])
        ],
        "relations": _relations(old.relations, new.relations),
        "attention": _attention(old.attention, new.attention),
        "query_key": _query_key(old.query_key, new.query_key),
    }
    return {kind: change for kind, change in found.items() if change}


def described_otherwise(
    record: HeadRecord, one: str, other: str
) -> tuple[DescriptionRecord | None, DescriptionRecord | None, Json | None]:
    """The newest descriptions of a whole head by two describers, ``LLM`` or ``LLM@PROMPT``, and how they differ."""
    told = _described(record)[::-1]
    first, second = (
        next((d for (llm, prompt, role), d in told if who in (llm, f"{llm}@{prompt}") and role is None), None)
        for who in (one, other)
    )
    return first, second, _description(first, second)


def words(old: str, new: str) -> list[tuple[str, str]]:
    """Two texts as one: pieces of both (``=``), of the old (``-``) and of the new (``+``), whole words each."""
    before, after = (re.findall(r"\S+\s*", text) for text in (old, new))
    if len(before) + len(after) > MOST_WORDS:
        return [("-", old), ("+", new)]
    found: list[tuple[str, str]] = []
    for kind, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(("=", "".join(before[i:j])))
        else:
            found += [(sign, "".join(part)) for sign, part in (("-", before[i:j]), ("+", after[k:m])) if part]
    return found


def _place(record: HeadRecord | None) -> tuple[float, float]:
    return (math.inf, math.inf) if record is None else (record.layer, record.head)


def _described(record: HeadRecord) -> list[tuple[Who, DescriptionRecord]]:
    """Descriptions by LLM, prompt and role, the newest last."""
    return [((one.llm, one.prompt, one.role), one) for one in record.descriptions]


def _mapping(old: Sequence[MappingRow], new: Sequence[MappingRow]) -> Json | None:
    before, after = ({row.token_id: row for row in rows} for rows in (old, new))
    kept = [(before[token], after[token]) for token in before if token in after]
    largest = max((_apart(a, b) for a, b in kept), default=0.0)
    found = {
        "removed": [row.token for token, row in before.items() if token not in after],
        "added": [row.token for token, row in after.items() if token not in before],
        "other_targets": sum(_ids(a) != _ids(b) for a, b in kept),
        "largest_change": largest,
    }
    moved = found["removed"] or found["added"] or found["other_targets"] or largest > CLOSE
    return found if moved else None


def _ids(row: MappingRow) -> list[list[int]]:
    return [[target.token_id for target in way] for way in (row.targets, row.suppressed) if way]


def _apart(old: MappingRow, new: MappingRow) -> float:
    """How far the saliency and the logits of targets on both sides are apart at most, relative to their size."""
    numbers: list[tuple[float, float]] = [(old.saliency, new.saliency)]
    for before, after in ((old.targets, new.targets), (old.suppressed, new.suppressed)):
        logits = {target.token_id: target.logit for target in after}
        numbers += [(t.logit, logits[t.token_id]) for t in before if t.token_id in logits]
    return max(0.0 if a == b else abs(a - b) / max(abs(a), abs(b)) for a, b in numbers)


def _description(old: DescriptionRecord | None, new: DescriptionRecord | None) -> Json | None:
    before, after = (None if found is None else _said(found) for found in (old, new))
    if before == after:
        return None
    return {"change": "new" if before is None else "gone" if after is None else "changed", "old": before, "new": after}


def _said(found: DescriptionRecord) -> Json:
    return {name: getattr(found, name) for name in ("state", "inputs", "pattern", "failure")}


def _scores(old: DescriptionRecord, new: DescriptionRecord) -> Iterator[Json]:
    before, after = (
        {(measure, judge): score.value for measure, judged in one.scores.items() for judge, score in judged.items()}
        for one in (old, new)
    )
    for measure, judge in sorted(before | after):
        values = before.get((measure, judge)), after.get((measure, judge))
        if _differ(*values):
            yield {"measure": measure, "judge": judge, "old": values[0], "new": values[1]}


def _relations(old: dict[str, RelationRecord], new: dict[str, RelationRecord]) -> list[Json]:
    return [
        {"operation": operation, "side": side, "old": before, "new": after}
        for operation in sorted(old | new)
        for side in ("score", "suppression")
        for before, after in [(getattr(old.get(operation), side, None), getattr(new.get(operation), side, None))]
        if _differ(before, after)
    ]


def _attention(old: AttentionRecord | None, new: AttentionRecord | None) -> Json | None:
    """The kinds before and after, and the figures on text that moved."""
    before, after = ({} if one is None else one.means() for one in (old, new))
    kinds = [None if one is None else list(one.kinds) for one in (old, new)]
    moved = [
        {"figure": name, "old": before.get(name), "new": after.get(name)}
        for name in dict.fromkeys([*before, *after])
        if _differ(before.get(name), after.get(name))
    ]
    return {"old": kinds[0], "new": kinds[1], "figures": moved} if moved or kinds[0] != kinds[1] else None


def _query_key(old: QueryKeyRecord | None, new: QueryKeyRecord | None) -> Json | None:
    """The pairs of queries and keys that came and went, and the agreement with attention on text where it moved."""
    before, after = ([] if one is None else [(pair.query, pair.key) for pair in one.pairs] for one in (old, new))
    agreement = [None if one is None else one.agreement for one in (old, new)]
    found = {
        "removed": [list(pair) for pair in before if pair not in after],
        "added": [list(pair) for pair in after if pair not in before],
        "agreement": {"old": agreement[0], "new": agreement[1]} if _differ(*agreement) else None,
    }
    return found if any(found.values()) else None


def _differ(old: float | None, new: float | None) -> bool:
    return old != new and (old is None or new is None or abs(old - new) > CLOSE)
