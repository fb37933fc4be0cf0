"""The rows that a description is judged by: some of its own head that its author never saw, as many of other heads.

Own rows are of the next most salient sources (ranks 31 to 60): there a true description of the 30 before must hold. A
few are of random sources, to see how far it reaches beyond them; these do not count in the score, since a description
of what a head does to plural nouns says nothing of the rest. Other rows are of the same ranks, of the heads that are
nearest by their outputs as often as of those of the same layer: among strangers a list of outputs is told by any one of
them. Hub tokens, targets of many of these heads, are taken out of all rows: they tell no head from another.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from describe.evidence import hubs
from describe.records import HeadId, HeadMapping, MappingRow

__all__ = [
    "LEAST",
    "NOBODY",
    "Case",
    "Trial",
    "Words",
    "draw_trial",
    "hub_targets",
    "matched",
    "seen",
    "swapped_trial",
    "without_named",
]

T = TypeVar("T")

Words = tuple[str, str]
"""A description's sentences on the inputs and on the pattern."""

LEAST = 5
"""Fewer rows of the head itself, or of others, say too little."""

NOBODY = HeadId(-1, -1)
"""Whose the rows are that were made up."""


@dataclass(frozen=True)
class Trial:
    """Rows to be judged, in the order shown.

    Attributes:
        head: whose description is judged, or which of its roles.
        rows: with the targets that are shown, those suppressed where these are described, in ``targets``.
        heads: the head that each row is of.
        reach: whether a row is of a random source.
    """

    head: HeadId
    rows: tuple[MappingRow, ...]
    heads: tuple[HeadId, ...]
    reach: tuple[bool, ...]

    @property
    def enough(self) -> bool:
        """Whether there are rows enough to judge by, on either side."""
        own = sum(head == self.head for head, reach in zip(self.heads, self.reach, strict=True) if not reach)
        return min(own, sum(not reach for reach in self.reach) - own) >= LEAST

    def split(
        self, values: Iterable[float], *, reach: bool = False, without: HeadId | None = None
    ) -> tuple[list[float], list[float]]:
        """Values of the rows, parted into those of own rows and of others; ``without`` the rows of one other head."""
        left_out = None if without is None else without._replace(role=0)
        sides: tuple[list[float], list[float]] = ([], [])
        for value, head, reaching in zip(values, self.heads, self.reach, strict=True):
            if reaching == reach and head != left_out:
                sides[head != self.head].append(value)
        return sides


@dataclass(frozen=True)
class Case:
    """A description to be judged on a trial's rows.

    Attributes:
        words: what it says.
        wrong: what a description of another head says, ``wrong_head``; None where there is none.
        suppressed: it is about what the head pushes down, and the rows show that.
        own: all rows of the head or role, with what is described of them as targets.
    """

    trial: Trial
    words: Words
    wrong: Words | None
    wrong_head: HeadId | None
    suppressed: bool
    own: HeadMapping


def seen(row: MappingRow, *, suppressed: bool) -> MappingRow:
    """A row with what is described of it as its targets: what the head promotes, or what it pushes down."""
    return replace(row, targets=row.suppressed if suppressed else row.targets, suppressed=())


def hub_targets(mappings: Iterable[HeadMapping], vocab_size: int) -> frozenset[int]:
    """The tokens that unusually many of these heads have as targets, as `describe.evidence.hubs` finds them."""
    of_head = [{t.token_id for row in _all_rows(mapping) for t in row.targets} for mapping in mappings]
    found = hubs([np.array(sorted(ids), dtype=np.int64) for ids in of_head], vocab_size)
    return frozenset(int(token) for token in found)


def matched(head: HeadId, heads: Iterable[HeadId]) -> list[HeadId]:
    """Other heads, or roles of other heads, of the same layer; where there are none, those of the nearest layers."""
    away = {other: abs(other.layer - head.layer) for other in heads if other[:2] != head[:2]}
    nearest = min(away.values(), default=0)
    return sorted(other for other, distance in away.items() if distance == nearest)


def draw_trial(
    mapping: HeadMapping,
    others: Mapping[HeadId, HeadMapping],
    vocab_size: int,
    *,
    n: int,
    reach: int,
    seed: int,
    near: Mapping[HeadId, HeadMapping] | None = None,
) -> Trial:
    """Draw ``n`` own held-out rows and ``reach`` own rows of random sources, and as many of either of others: of
    ``others`` and of those ``near`` in turn.

    Fewer where hub tokens leave fewer. ``mapping`` and the others have what is described of them as targets (`seen`).
    The draw depends on the seed and the head alone, so that every description of a head is judged by the same rows.
    """
    luck = random.Random(f"{seed} {mapping.id}")  # noqa: S311  (no secret)
    near = near or {}
    hub = hub_targets([mapping, *others.values()], vocab_size)
    chosen: list[tuple[HeadId, bool, MappingRow]] = []
    for number, reaching in ((n, False), (reach, True)):
        own = _usable(mapping, hub, luck, reach=reaching)[:number]
        chosen += [(mapping.id, reaching, row) for row in own]
        sides = [
            _in_turn({id: _usable(other, hub, luck, reach=reaching) for id, other in side.items()}, luck)
            for side in (near, {id: other for id, other in others.items() if id not in near})
        ]
        chosen += [(id, reaching, row) for id, row in _by_turns(*sides)[: len(own)]]
    luck.shuffle(chosen)
    heads, reaches, rows = zip(*chosen, strict=True) if chosen else ((), (), ())
    return Trial(mapping.id, tuple(rows), tuple(heads), tuple(reaches))


def _all_rows(mapping: HeadMapping) -> tuple[MappingRow, ...]:
    return mapping.salient + mapping.held_out + mapping.sampled


def _usable(mapping: HeadMapping, hub: frozenset[int], luck: random.Random, *, reach: bool) -> list[MappingRow]:
    """The rows that may be shown, without hub tokens, in random order; those of hub tokens alone are left out."""
    rows = mapping.sampled if reach else mapping.held_out
    bare = [replace(row, targets=tuple(t for t in row.targets if t.token_id not in hub)) for row in rows]
    usable = [row for row in bare if row.targets]
    luck.shuffle(usable)
    return usable


def _in_turn(rows: Mapping[HeadId, list[MappingRow]], luck: random.Random) -> list[tuple[HeadId, MappingRow]]:
    """The rows of several heads, one of each head in turn, the heads in random order."""
    heads = list(rows)
    luck.shuffle(heads)
    longest = max(map(len, rows.values()), default=0)
    return [(head, rows[head][i]) for i in range(longest) for head in heads if i < len(rows[head])]


def _by_turns(one: list[T], other: list[T]) -> list[T]:
    """Both lists in one, by turns as far as both go."""
    paired = [item for pair in zip(one, other, strict=False) for item in pair]
    both = min(len(one), len(other))
    return paired + one[both:] + other[both:]


def swapped_trial(mapping: HeadMapping, *, n: int, seed: int) -> Trial:
    """Held-out rows of a head: up to ``n`` as they are, as many with the targets of another of them.

    No source comes twice. ``mapping`` has what is described of it as targets (`seen`).
    """
    luck = random.Random(f"{seed} {mapping.id} swapped")  # noqa: S311  (no secret)
    rows = [row for row in mapping.held_out if row.targets]
    luck.shuffle(rows)
    half = min(n, len(rows) // 2)
    real, moved = rows[:half], rows[half : 2 * half]
    made_up = [replace(row, targets=other.targets) for row, other in zip(moved, [*moved[1:], *moved[:1]], strict=True)]
    chosen = [*((mapping.id, row) for row in real), *((NOBODY, row) for row in made_up)]
    luck.shuffle(chosen)
    return Trial(mapping.id, tuple(r for _, r in chosen), tuple(h for h, _ in chosen), (False,) * len(chosen))


_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_WORD = re.compile(r"[^\W\d_]+")


def without_named(trial: Trial, words: Words) -> Trial:
    """The rows without the tokens that a description names, in quotes or as words; rows with nothing left are out.

    The tokens go without a trace: a mark in their place would tell the rows of the head.
    """
    said = " ".join(words)
    named = {found.strip().casefold() for found in _QUOTED.findall(said)} | {w.casefold() for w in _WORD.findall(said)}
    places, rows = [], []
    for place, row in enumerate(trial.rows):
        left = tuple(target for target in row.targets if target.token.strip().casefold() not in named)
        if left and row.token.strip().casefold() not in named:
            places.append(place)
            rows.append(replace(row, targets=left))
    heads, reach = tuple(trial.heads[place] for place in places), tuple(trial.reach[place] for place in places)
    return Trial(trial.head, tuple(rows), heads, reach)
