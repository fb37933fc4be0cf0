"""Does a model lose an ability when the heads that should implement it are removed? (MAPS)

A head is removed by zeroing its output at the last position. The positions before it run once; each step after that
runs the last position alone, on their keys and values.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from describe.inference.prompts import Prompt
from describe.records import HeadId, OperationScores

if TYPE_CHECKING:
    from describe.inference.running import Runner

__all__ = [
    "ROW_RULES",
    "Exam",
    "RowRule",
    "accuracies",
    "choose_controls",
    "random_heads",
    "removal_numbers",
    "shown_numbers",
    "strongest_heads",
]

MOST_OVERLAP, MOST_DIFFERENCE = 0.15, 0.20
_MOST_HEADS = ((300, 30), (500, 50), (1000, 100), (1500, 150))
_STEPS, _SHOWN = 30, 10


class RowRule(NamedTuple):
    """How the row of a table is taken from a curve of accuracies: in ``words``, and ``place``, which of them it is."""

    words: str
    place: Callable[[Sequence[float]], int]


def _first_zero(curve: Sequence[float]) -> int:
    return next((i for i, accuracy in enumerate(curve) if accuracy == 0), len(curve) - 1)


def _worst(curve: Sequence[float]) -> int:
    return min(range(len(curve)), key=lambda i: (curve[i], i))


ROW_RULES = {
    "zero": RowRule("the first number of heads at which accuracy is 0, else the last", _first_zero),
    "worst": RowRule("the number of heads at which the task fares worst", _worst),
}
"""The paper's rule, and ours, which is at least as strong: the number is chosen on the task itself."""


@dataclass(frozen=True)
class Exam:
    """Prompts, and for each the token ids that answer it."""

    prompts: list[Prompt]
    answers: list[frozenset[int]]


def accuracies(
    runner: Runner,
    exam: Exam,
    removals: Sequence[Sequence[HeadId]],
    progress: Callable[[float], None] = lambda _: None,
) -> list[float]:
    """The share of prompts whose likeliest next token is an answer, for each set of heads removed.

    ``progress`` is told the share of the work that is done after each step.
    """
    right, done = [0] * len(removals), 0
    for steps in runner.steps(exam.prompts, len(removals)):
        answers = [exam.answers[i] for i in steps.places.tolist()]
        for start in range(0, len(removals), steps.at_once):
            some = removals[start : start + steps.at_once]
            for i, likeliest in enumerate(steps.predict(some).tolist(), start):
                right[i] += sum(token in answer for token, answer in zip(likeliest, answers, strict=True))
            done += len(answers) * len(some)
            progress(done / (len(removals) * len(exam.prompts)))
    return [count / len(exam.prompts) for count in right]


def strongest_heads(scores: OperationScores, n_heads: int) -> list[HeadId]:
    """The heads to remove, strongest first: at most 30 to 250 by the model's size, and none with score 0."""
    most = next((most for size, most in _MOST_HEADS if n_heads < size), 250)
    every = [
        (-score, HeadId(layer, head))
        for layer, row in zip(scores.layers, scores.scores, strict=True)
        for head, score in enumerate(row)
        if score > 0
    ]
    return [head for _, head in sorted(every)[:most]]


def removal_numbers(most: int, every: bool = False) -> tuple[int, ...]:
    """After how many removed heads accuracy is taken: each one if ``every``, else at most some thirty."""
    step = 1 if every else max(1, -(-most // _STEPS))
    return tuple(dict.fromkeys([*range(step, most, step), most])) if most else ()


def shown_numbers(curve: Sequence[float]) -> list[int]:
    """The places of a curve at which it is held against others: some ten, the last, and those that a table's row by any
    rule is taken at, so that the curve at these places alone has the same rows."""
    step = max(1, -(-len(curve) // _SHOWN))
    rows = {rule.place(curve) for rule in ROW_RULES.values()}
    return sorted({*range(step - 1, len(curve), step), len(curve) - 1} | rows)


def random_heads(every: Sequence[HeadId], but: Sequence[HeadId], seed: int) -> list[HeadId]:
    """As many heads as ``but`` holds, others than these, in random order."""
    others = [head for head in every if head not in set(but)]
    return random.Random(seed).sample(others, min(len(but), len(others)))  # noqa: S311  (not a secret)


def choose_controls(
    operation: str,
    heads: Mapping[str, Sequence[HeadId]],
    base: Mapping[str, float],
    most: int,
    drawn: bool = False,
) -> list[str]:
    """Tasks to hold an operation's against, at most so many: nearest in base accuracy first, or ``drawn`` at random,
    the same ones every time.

    Their own heads overlap with the operation's by under 15 % and their base accuracy is within 20 points of its own.

    Args:
        heads: the heads to remove of each operation whose task can be tested; ``base``: the base accuracy of each.
    """
    own = set(heads[operation])
    suited = [
        (abs(base[other] - base[operation]), other)
        for other, theirs in heads.items()
        if other != operation
        and abs(base[other] - base[operation]) <= MOST_DIFFERENCE
        and len(own & set(theirs)) < MOST_OVERLAP * max(1, min(len(own), len(theirs)))
    ]
    chosen = [other for _, other in sorted(suited)]
    if drawn:
        chosen = random.Random(operation).sample(sorted(chosen), min(most, len(chosen)))  # noqa: S311  (not a secret)
    return chosen[:most]
