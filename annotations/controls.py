"""The controls hidden among the items: descriptions of other heads, shuffled targets, and what is obvious.

Swapped and shuffled items are made of heads whose own description is shown too, and is no abstention, so that a rater's
"fits" for the true and for the wrong description of the same table can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from annotations.material import catch_material
from annotations.records import EXPECTED
from annotations.seeded import chance, shuffled
from annotations.sources import Described
from annotations.storage import NewItem
from describe.errors import InputError
from describe.operations import load_operations

__all__ = ["Table", "Tables", "catch_items", "real", "shuffled_items", "swapped", "table_overlap"]

Table = list[list[Any]]
"""Rows as shown: [[source, [target, ...]], ...]."""

Tables = Callable[[Described], Table]

LARGEST_POOL = 2000
"""Of more heads than these, other heads' descriptions are looked for among as many drawn at random."""

ALIKE = 0.5
"""Descriptions that share more of their words than this (Jaccard index) say the same."""


def real(one: Described, table: Table) -> NewItem:
    """A head as it is."""
    return _item("real", one, one, table, {})


def swapped(
    kind: str, number: int, heads: Sequence[Described], pool: Sequence[Described], tables: Tables, seed: int
) -> list[NewItem]:
    """Tables of some of the ``heads`` with the description of another head of the same model by the same source.

    ``swap_easy``: of any other head, drawn at random, of one that is not in the study itself where there is one.
    ``swap_hard``: of the head with the most similar outputs (`table_overlap`). Either says something else than the
    head's own description does. No description is used twice. Raises `InputError` when there are too few.
    """
    items: list[NewItem] = []
    in_study, used = {one.key for one in heads}, set[int]()
    clear = [one for one in pool if not one.unclear]
    if len(clear) > LARGEST_POOL:
        clear = list(shuffled(clear, seed, "pool"))[:LARGEST_POOL]
    for one in heads:
        if len(items) == number:
            break
        others = [
            other
            for other in clear
            if (other.model, other.source) == (one.model, one.source)
            and other.head != one.head
            and other.description_id not in used
            and not _say_the_same(one, other)
        ]
        if not others:
            continue
        overlaps = (
            {o.description_id: table_overlap(tables(one), tables(o)) for o in others} if kind == "swap_hard" else {}
        )

        def preference(
            other: Described, one: Described = one, overlaps: dict[int, float] = overlaps
        ) -> tuple[float, bool, float]:
            luck = chance(seed, kind, one.key, other.key)
            return -overlaps.get(other.description_id, 0.0), other.key in in_study, luck

        other = min(others, key=preference)
        used.add(other.description_id)
        overlap = table_overlap(tables(one), tables(other))
        items.append(_item(kind, one, other, tables(one), {"description_of": other.key, "overlap": round(overlap, 6)}))
    return _enough(kind, items, number, "other heads with a description of their own that says something else")


def shuffled_items(number: int, heads: Sequence[Described], tables: Tables, seed: int) -> list[NewItem]:
    """Tables of some of the ``heads`` with their targets shuffled over the rows, and the heads' own descriptions.

    Every row gets the targets of another row, each once; heads whose rows mostly have the same targets are passed over,
    since shuffling leaves them as they are. Raises `InputError` when there are too few.
    """
    items: list[NewItem] = []
    for one in heads:
        if len(items) == number:
            break
        rows = tables(one)
        order = list(shuffled(range(len(rows)), seed, "rows", one.key))
        donor = dict(zip(order, [*order[1:], order[0]], strict=True))  # one cycle: no row keeps its own
        mixed = [[source, rows[donor[i]][1]] for i, (source, _) in enumerate(rows)]
        other = sum(2 * len(set(mixed[i][1]) & set(rows[i][1])) <= len(rows[i][1]) for i in range(len(rows)))
        if 2 * other > len(rows):  # most rows have mostly other targets
            items.append(_item("shuffled", one, one, mixed, {"targets_from_row": [donor[i] for i in range(len(rows))]}))
    return _enough("shuffled", items, number, "heads whose targets differ from row to row")


def catch_items(number: int, rows: int, targets: int, seed: int) -> list[NewItem]:
    """Obvious items, as many that fit as that don't, of as many rows and targets as the others have.

    Not more than there are: `catch_material` lists them.
    """
    operations = {operation.name: operation for operation in load_operations()[0]}
    words, listed = catch_material()["words"], catch_material()["items"]
    by_expected = [shuffled((i for i in listed if i["expected"] == e), seed, "catch", e) for e in EXPECTED]
    chosen = [item for both in zip(*by_expected, strict=False) for item in both][:number]
    items = []
    for found in chosen:
        name, says = found["operation"], found["says"]
        pairs = shuffled(operations[name].pairs, seed, "pairs", name, says)[:rows]
        table = [[f" {source}", _spellings(target, targets, seed)] for source, target in pairs]
        inputs, pattern = words[says]
        item = NewItem(
            kind="catch",
            model="made up",
            head="",
            layer=-1,
            source="made up",
            unclear=False,
            true_unclear=False,
            score=None,
            content={"rows": table, "inputs": inputs, "pattern": pattern, "unclear": False},
            touches=(f"catch {name}",),
            origin=found,
            expected=found["expected"],
        )
        items.append(item)
    return items


def table_overlap(table: Table, other: Table) -> float:
    """How similar two heads' outputs are: shared target tokens of all their target tokens (Jaccard index)."""
    a, b = ({target for _, targets in rows for target in targets} for rows in (table, other))
    return len(a & b) / len(a | b) if a | b else 0.0


def _item(kind: str, of_table: Described, of_words: Described, table: Table, origin: dict[str, Any]) -> NewItem:
    said = {"inputs": of_words.inputs, "pattern": of_words.pattern, "unclear": of_words.unclear}
    return NewItem(
        kind=kind,
        model=of_table.model,
        head=str(of_table.head),
        layer=of_table.head.layer,
        source=of_words.source,
        unclear=of_words.unclear,
        true_unclear=of_table.unclear,
        score=of_words.score if kind == "real" else None,
        content={"rows": table, **said},
        touches=tuple(sorted({of_table.key, of_words.key})),
        origin={"description_id": of_words.description_id, "extraction_id": of_table.extraction_id, **origin},
    )


def _spellings(target: str, number: int, seed: int) -> list[str]:
    """A target as a real head has it: with a leading space first, then in other cases and without."""
    forms = [target, target.capitalize(), f" {target.capitalize()}", target.upper(), f" {target.upper()}"]
    others = [form for form in dict.fromkeys(forms) if form != f" {target}"]
    return [f" {target}", *shuffled(others, seed, "spelling", target)][:number]


def _say_the_same(one: Described, other: Described) -> bool:
    a, b = (set(re.findall(r"[^\W\d_]+", f"{d.inputs} {d.pattern}".casefold())) for d in (one, other))
    return len(a & b) > ALIKE * len(a | b) or not a or not b


def _enough(kind: str, items: list[NewItem], number: int, lacking: str) -> list[NewItem]:
    if len(items) < number:
        option = f"--{kind.replace('_', '-')}"
        raise InputError(
            f"{number} {kind} controls are asked for, {len(items)} can be made: there are too few {lacking};"
            f" set {option} lower, or 0"
        )
    return items
