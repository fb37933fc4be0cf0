"""A stratified sample of descriptions: equal parts of every model and source, and within these in proportion to how
many there are of each third of the layers, each third of the scores, and of abstentions. Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from annotations.seeded import chance, shuffled
from annotations.sources import Described
from describe.errors import InputError

__all__ = ["proportional", "sample", "stratum"]

K = TypeVar("K", bound=Hashable)


def sample(all_of_them: Sequence[Described], number: int, seed: int) -> list[Described]:
    """Draw descriptions, of different heads as far as possible. Raises `InputError` when there are not as many.

    Within a source every description is as likely as any other, so that its share of plausible descriptions needs no
    weights.
    """
    if number > len(all_of_them):
        raise InputError(f"{number} descriptions are asked for and {len(all_of_them)} are there: ask for fewer")
    groups: dict[tuple[str, str], list[Described]] = {}
    for one in all_of_them:
        groups.setdefault((one.model, one.source), []).append(one)
    names = shuffled(sorted(groups), seed, "groups")
    chosen: list[Described] = []
    taken: set[str] = set()
    for name, share in _equal({name: len(groups[name]) for name in names}, number).items():
        strata: dict[tuple[int, int, bool], list[Described]] = {}
        for one, place in zip(groups[name], _thirds(groups[name]), strict=True):
            strata.setdefault(stratum(one, place), []).append(one)
        for key, size in proportional({key: len(strata[key]) for key in sorted(strata)}, share, seed).items():
            order = sorted(
                strata[key], key=lambda one: (one.key in taken, chance(seed, "draw", one.key, one.source), one.key)
            )
            chosen += order[:size]
            taken |= {one.key for one in order[:size]}
    return chosen


def stratum(one: Described, third: int) -> tuple[int, int, bool]:
    """The third of the layers, the third of the scores, and whether it is an abstention."""
    return min(int(one.depth * 3), 2), third, one.unclear


def proportional(sizes: Mapping[K, int], number: int, seed: int) -> dict[K, int]:
    """Share a number out in proportion to sizes, by largest remainder, ties at random."""
    total = sum(sizes.values())
    exact = {key: number * size / total for key, size in sizes.items()}
    shares = {key: int(value) for key, value in exact.items()}
    left = sorted(exact, key=lambda key: (shares[key] - exact[key], chance(seed, "remainder", str(key))))
    for key in left[: number - sum(shares.values())]:
        shares[key] += 1
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
