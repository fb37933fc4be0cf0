"""What changed of a head between two records of it, both in the JSON form of one head."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import Any

__all__ = ["KINDS", "changes", "described_otherwise", "pairs", "words"]

KINDS = ("mapping", "descriptions", "scores", "relations")
"""What of a head can change."""

CLOSE = 1e-3
"""Numbers that differ by less, of mappings relative to their size, are the same: another machine's rounding."""

MOST_WORDS = 2000
"""Longer texts are not compared word by word, which takes time with the square of their length."""

_WHO = ("llm", "prompt", "role")

Record = dict[str, Any]


def pairs(old: Iterable[Record], new: Iterable[Record]) -> Iterator[tuple[Record | None, Record | None]]:
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


def changes(old: Record, new: Record, llm: str | None = None) -> dict[str, Any]:
    """What of `KINDS` changed, empty when nothing did; ``llm``: only descriptions by this one, and their scores."""
    before, after = ({who: d for who, d in _described(record) if llm in (None, who[0])} for record in (old, new))
    found: dict[str, Any] = {
        "mapping": _mapping(old["salient"], new["salient"]),
        "descriptions": [
            dict(zip(_WHO, who, strict=True)) | change
            for who in sorted(before | after, key=str)
            if (change := _description(before.get(who), after.get(who)))
        ],
        "scores": [
            dict(zip(_WHO, who, strict=True)) | change
            for who in sorted(before.keys() & after.keys(), key=str)
            for change in _scores(before[who]["scores"], after[who]["scores"])
        ],
        "relations": _relations(old["relations"], new["relations"]),
    }
    return {kind: change for kind, change in found.items() if change}


def described_otherwise(record: Record, one: str, other: str) -> tuple[Record | None, Record | None, Record | None]:
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


def _place(record: Record | None) -> tuple[float, float]:
    return (math.inf, math.inf) if record is None else (record["layer"], record["head"])


def _described(record: Record) -> list[tuple[tuple[Any, ...], Record]]:
    """Descriptions by LLM, prompt and role, the newest last."""
    return [(tuple(found[part] for part in _WHO), found) for found in record["descriptions"]]


def _mapping(old: list[Record], new: list[Record]) -> Record | None:
    before, after = ({row["token_id"]: row for row in rows} for rows in (old, new))
    kept = [(before[token], after[token]) for token in before if token in after]
    largest = max((_apart(a, b) for a, b in kept), default=0.0)
    found = {
        "removed": [row["token"] for token, row in before.items() if token not in after],
        "added": [row["token"] for token, row in after.items() if token not in before],
        "other_targets": sum(_ids(a) != _ids(b) for a, b in kept),
        "largest_change": largest,
    }
    moved = found["removed"] or found["added"] or found["other_targets"] or largest > CLOSE
    return found if moved else None


def _ids(row: Record) -> list[list[int]]:
    return [[target["token_id"] for target in row[way]] for way in ("targets", "suppressed") if row[way]]


def _apart(old: Record, new: Record) -> float:
    """How far the saliency and the logits of targets on both sides are apart at most, relative to their size."""
    numbers: list[tuple[float, float]] = [(old["saliency"], new["saliency"])]
    for way in ("targets", "suppressed"):
        after = {target["token_id"]: target["logit"] for target in new[way]}
        numbers += [(t["logit"], after[t["token_id"]]) for t in old[way] if t["token_id"] in after]
    return max(0.0 if a == b else abs(a - b) / max(abs(a), abs(b)) for a, b in numbers)


def _description(old: Record | None, new: Record | None) -> Record | None:
    before, after = (None if found is None else _said(found) for found in (old, new))
    if before == after:
        return None
    return {"change": "new" if before is None else "gone" if after is None else "changed", "old": before, "new": after}


def _said(found: Record) -> Record:
    state = "failed" if found["failure"] else "unclear" if found["unclear"] else "described"
    return {"state": state, **{name: found[name] for name in ("inputs", "pattern", "failure")}}


def _scores(old: Record, new: Record) -> Iterator[Record]:
    judged = sorted({(m, judge) for scores in (old, new) for m, judges in scores.items() for judge in judges})
    for measure, judge in judged:
        before, after = (scores.get(measure, {}).get(judge, {}).get("value") for scores in (old, new))
        if _differ(before, after):
            yield {"measure": measure, "judge": judge, "old": before, "new": after}


def _relations(old: Record, new: Record) -> list[Record]:
    return [
        {"operation": operation, "side": side, "old": before, "new": after}
        for operation in sorted(old | new)
        for side in ("score", "suppression")
        for before, after in [(old.get(operation, {}).get(side), new.get(operation, {}).get(side))]
        if _differ(before, after)
    ]


def _differ(old: float | None, new: float | None) -> bool:
    return old != new and (old is None or new is None or abs(old - new) > CLOSE)
