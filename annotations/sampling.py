"""A stratified sample of descriptions: equal parts of every model and source, and within these in proportion to how
many there are of each third of the layers, each third of the scores, and of abstentions. Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

from annotations.seeded import chance, shuffled
from annotations.sources import Described
from describe.errors import InputError

__all__ = ["proportional", "sample", "stratum"]

K = TypeVar("K", bound=Hashable)


def sample(all_of_them: Sequence[Described], number: int, seed: int) -> list[Described]:
    """Draw descriptions. Raises `InputError` when there are not as many.

    Within a source every description is exactly as likely as any other, so that its share of plausible ones needs no
    weights.
    """
    if number > len(all_of_them):
        raise InputError(f"{number} descriptions are asked for and {len(all_of_them)} are there: ask for fewer")
    groups: dict[tuple[str, str], list[Described]] = {}
    for one in all_of_them:
        groups.setdefault((one.model, one.source), []).append(one)
    names = shuffled(sorted(groups), seed, "groups")
    chosen: list[Described] = []
    for name, share in _equal({name: len(groups[name]) for name in names}, number).items():
        strata: dict[tuple[int, int, bool], list[Described]] = {}
        for one, third in zip(groups[name], _thirds(groups[name]), strict=True):
            strata.setdefault(stratum(one, third), []).append(one)
        sizes = {key: len(strata[key]) for key in sorted(strata)}
        for key, size in proportional(sizes, share, seed, name).items():
            chosen += shuffled(strata[key], seed, "draw", name, key)[:size]
    return chosen


def stratum(one: Described, third: int) -> tuple[int, int, bool]:
    """The third of the layers, the third of the scores, and whether it is an abstention."""
    return min(int(one.depth * 3), 2), third, one.unclear


def proportional(sizes: Mapping[K, int], number: int, *key: Any) -> dict[K, int]:
    """Share a number out in proportion to sizes, fractions rounded up or down at random, so that each share is the
    exact one on average (systematic sampling). No share is larger than its size, for a number no larger than all sizes.
    """
    total = sum(sizes.values())
    upto = int(chance(*key, "start") * total)
    shares: dict[K, int] = {}
    for name, size in sizes.items():
        before, upto = upto, upto + number * size
        shares[name] = upto // total - before // total
    return shares


def _equal(sizes: Mapping[K, int], number: int) -> dict[K, int]:
    """Share a number out equally; who has not as many gives all, and the others the rest; the first get the odd one."""
    shares = dict.fromkeys(sizes, 0)
    while number:
        able = [key for key in sizes if shares[key] < sizes[key]][:number]
        even = number // len(able)
        for key in able:
            extra = min(even, sizes[key] - shares[key])
            shares[key] += extra
            number -= extra
    return shares


def _thirds(group: Sequence[Described]) -> list[int]:
    """For each, in which third it is by score; by the head's saliency where not all have scores."""
    scored = all(one.score is not None for one in group)
    order = sorted(range(len(group)), key=lambda i: ((group[i].score or 0.0) if scored else group[i].strength, i))
    ranks = {i: rank for rank, i in enumerate(order)}
    return [ranks[i] * 3 // len(group) for i in range(len(group))]
