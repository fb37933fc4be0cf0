"""The facts of a head that its headline is made of: the same from its record and from columns of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from describe.figures import HeadFigure
from describe.head_record.descriptions import State, best_first
from describe.head_record.relations import RelationRecord
from describe.head_record.scores import HeadlineScore, first_score
from describe.head_record.verdicts import verdict
from describe.measures import Verdict

__all__ = ["ATTENTION", "Facts", "Told"]

ATTENTION = "attention"
"""The setting ``shows`` of a describer that was shown where heads look."""


@dataclass(frozen=True)
class Told:
    """A description as far as a headline needs it.

    Attributes:
        tells: of what the head writes, or of where it looks.
        pattern, inputs: its two sentences; ``role``: None of the whole head.
        judged: its scores that have a value; ``described``: when it was made; ``failure``: why there is no answer.
    """

    llm: str
    state: State
    pattern: str | None
    inputs: str | None = None
    role: int | None = None
    kind: str | None = None
    tells: Literal["looks", "writes"] = "writes"
    judged: Sequence[HeadlineScore] = ()
    described: str = ""
    failure: str | None = None

    @cached_property
    def headline(self) -> HeadlineScore | None:
        """Its score to show first."""
        return first_score(self.judged)

    @cached_property
    def verdict(self) -> Verdict:
        """The findings of its scores."""
        return verdict(self.judged)

    @property
    def words(self) -> str:
        """Its pattern; where that is unclear, its inputs."""
        clear = [text for text in (self.pattern, self.inputs) if text and text.strip().lower() != "unclear"]
        return clear[0] if clear else ""


@dataclass(frozen=True)
class Facts:
    """Everything of a head that its headline is made of.

    Attributes:
        relations: its operations, at least those of a score from `THRESHOLD` up; ``pairs``: used, by operation.
        kinds, halves: by where it looks; ``attention``: by text and figure the mean, and that of a head that attends to
            all tokens alike.
        looked_into: something beyond its mappings was looked for.
    """

    relations: Mapping[str, RelationRecord] = field(default_factory=dict)
    pairs: Mapping[str, int] = field(default_factory=dict)
    kinds: Sequence[str] = ()
    halves: Sequence[Sequence[str]] = ()
    attention: Mapping[str, Mapping[str, tuple[float | None, float | None]]] = field(default_factory=dict)
    figure: HeadFigure | None = None
    descriptions: Sequence[Told] = ()
    looked_into: bool = True

    @cached_property
    def ranked(self) -> list[Told]:
        """Its descriptions, the best first."""
        return best_first(self.descriptions)
