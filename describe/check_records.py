"""Checks of an operation by running a model, as frozen records."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Ablation", "DynamicHits", "HitCounts", "RemovalEffect"]


@dataclass(frozen=True, slots=True)
class HitCounts:
    """How many pairs each head promotes and suppresses, by layer and head."""

    promoted: tuple[tuple[int, ...], ...]
    suppressed: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class DynamicHits:
    """Pairs looked for in what heads write while the model runs; the dynamic scores are counts over ``pairs``.

    Attributes:
        k, pairs: a pair counts when its target is among the first (the last) k; so many were looked for in each.
        templates: the prompts' templates.
        in_context, of_source: as each head attends, and as if to the source alone, for each template.
    """

    k: int
    pairs: int
    templates: tuple[str, ...]
    in_context: tuple[HitCounts, ...]
    of_source: tuple[HitCounts, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Ablation:
    """How often a model solves an operation's task while heads are removed.

    Attributes:
        prompts: how many prompts the accuracies (0 to 1) are over.
        heads: the heads removed, strongest first.
        numbers: after how many removed heads accuracy was taken.
        base: with no head removed; ``targeted``: with the strongest so many; ``random``: with others, for each seed.
        controls: by operation, its task's base accuracy and that with these same ``heads`` removed.
    """

    prompts: int
    heads: tuple[str, ...]
    numbers: tuple[int, ...]
    base: float
    targeted: tuple[float, ...]
    random: tuple[tuple[float, ...], ...]
    controls: dict[str, tuple[float, tuple[float, ...]]]
    seconds: float


@dataclass(frozen=True, slots=True)
class RemovalEffect:
    """A model on an operation's task or on text, whole and with some heads removed.

    Attributes:
        prompts: how many prompts, or pieces of text.
        base_loss, loss: mean -log, in nats, of the share that the right token gets.
        base_accuracy, accuracy: how often it is the likeliest; None for text.
        direct_loss: the loss if the removal reached the final norm alone, past all later layers; None where it cannot
            be had.
        random_loss, random_accuracy: with as many other heads removed, for each draw.
    """

    prompts: int
    base_loss: float
    loss: float
    direct_loss: float | None
    random_loss: tuple[float, ...]
    base_accuracy: float | None = None
    accuracy: float | None = None
    random_accuracy: tuple[float, ...] = ()
