"""``headscribe diff``: what changed between two catalogues, or between two describers of one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.head_record.differences import changes, described_otherwise, pairs
from describe.pipeline.common import find
from describe.pipeline.stored import extracted
from describe.records import ModelInfo

__all__ = ["Differences", "ModelDifferences", "diff", "diff_describers"]


@dataclass(frozen=True)
class ModelDifferences:
    """Changes of one model.

    Attributes:
        content: the content hashes, old and new.
        readings: by which reading the heads were read, old and new.
        compared: how many heads are on both sides (were described by both).
        counts: how many of them changed, by kind (`describe.head_record.differences.KINDS`; or how the two differ).
        only_old, only_new: heads that one side lacks.
        heads: the changes of each head that changed, with its name as ``head``, in order.
        agree: how many heads two describers say the same of; None between catalogues.
        supported: of two describers, of how many heads that both described a test bears out what ``both`` say, what the
            ``first`` alone says, what the ``second`` alone says, or what ``neither`` does.
    """

    model: str
    content: tuple[str, str]
    readings: tuple[str, str]
    compared: int
    counts: dict[str, int]
    only_old: list[str] = field(default_factory=list)
    only_new: list[str] = field(default_factory=list)
    heads: list[dict[str, Any]] = field(default_factory=list)
    agree: int | None = None
    supported: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Differences:
    """Changes of the models that both have, and the names of those that only one has."""

    models: list[ModelDifferences]
    only_old: list[str] = field(default_factory=list)
    only_new: list[str] = field(default_factory=list)


def diff(
    old: Catalogue,
    new: Catalogue,
    *,
    model: str | None = None,
    llm: str | None = None,
    reading: str | None = None,
) -> Differences:
    """Changes of every head between two catalogues: mapping, descriptions, scores, relation scores.

    A layer of each is in memory at a time. ``model``: this one only; ``llm``: only what this one said; ``reading``:
    by which one the heads of both were read, as `find` takes it.
    Raises `InputError` when there is nothing to compare.
    """
    if model is not None:
        return Differences([_compare(old, find(old, model, reading), new, find(new, model, reading), llm)])
    here, there = extracted(old, reading), extracted(new, reading)
    both = [(found, partner) for found in here if (partner := _partner(found[0], there)) is not None]
    if not both:
        raise InputError("the two catalogues have no model in common")
    matched = [found[0] for pair in both for found in pair]
    return Differences(
        [_compare(old, found, new, partner, llm) for found, partner in both],
        *([info.name for info, _ in side if info not in matched] for side in (here, there)),
    )


_SUPPORTED = {
    (True, True): "both",
    (True, False): "first",
    (False, True): "second",
    (False, False): "neither",
}


def diff_describers(
    catalogue: Catalogue, one: str, other: str, *, model: str | None = None, reading: str | None = None
) -> Differences:
    """How the newest descriptions of each head by two describers differ, each ``LLM`` or ``LLM@PROMPT``.

    Raises `InputError` when one of them described nothing.
    """
    found = [find(catalogue, model, reading)] if model is not None else extracted(catalogue, reading)
    seen: Counter[str] = Counter()
    differences = []
    for info, extraction_id in found:
        compared, counts, heads = 0, Counter[str](), []
        supported = Counter[str]()
        for record in catalogue.head_records(info, extraction_id, held_out=False):
            seen.update({name for d in record.descriptions for name in (d.llm, f"{d.llm}@{d.prompt}")})
            first, second, change = described_otherwise(record, one, other)
            if first is None or second is None:
                continue
            compared += 1
            borne_out = first.verdict == "supported", second.verdict == "supported"
            supported[_SUPPORTED[borne_out]] += 1
            if change is not None:
                counts[f"{change['old']['state']} / {change['new']['state']}"] += 1
                said = {"llm": other, "prompt": None, "role": None, **change}
                heads.append({"head": str(record.id), "descriptions": [said]})
        hashes = (info.content_hash, info.content_hash)
        readings = (catalogue.reading(extraction_id).name,) * 2
        agree = compared - len(heads)
        differences.append(
            ModelDifferences(
                info.name,
                hashes,
                readings,
                compared,
                dict(counts),
                heads=heads,
                agree=agree,
                supported=dict(supported),
            )
        )
    for who in (one, other):
        if who not in seen:
            known = ", ".join(sorted(seen)) or "nobody has described a head"
            raise InputError(f"'{who}' has described none of these heads (there are: {known})")
    return Differences(differences)


def _partner(info: ModelInfo, among: list[tuple[ModelInfo, int]]) -> tuple[ModelInfo, int] | None:
    """A model's counterpart in another catalogue: of that name and content, or else the only one of that name."""
    named = [found for found in among if found[0].name == info.name]
    same = [found for found in named if found[0].content_hash == info.content_hash]
    return same[0] if same else named[0] if len(named) == 1 else None


def _compare(
    old: Catalogue, one: tuple[ModelInfo, int], new: Catalogue, other: tuple[ModelInfo, int], llm: str | None
) -> ModelDifferences:
    only: dict[bool, list[str]] = {True: [], False: []}
    compared, counts, heads = 0, Counter[str](), []
    for before, after in pairs(old.head_records(*one, held_out=False), new.head_records(*other, held_out=False)):
        if before is None or after is None:
            only[after is None] += [str(record.id) for record in (before, after) if record is not None]
            continue
        compared += 1
        if found := changes(before, after, llm):
            counts.update(found.keys())
            heads.append({"head": str(before.id), **found})
    hashes = (one[0].content_hash, other[0].content_hash)
    readings = (old.reading(one[1]).name, new.reading(other[1]).name)
    return ModelDifferences(one[0].name, hashes, readings, compared, dict(counts), only[True], only[False], heads)
