"""How far a judge found a description true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, Field

from describe.head_record.form import Object, Record
from describe.measures import ranked
from describe.text import spaced, visible
from describe.values import Cause, Count, Hash, Moment, Number, Prompt, Text, Word

__all__ = [
    "HeadlineScore",
    "MeasureName",
    "ScoreProvenance",
    "ScoreRecord",
    "best_of_each",
    "first_score",
    "headline",
    "valued",
]


def _known(measure: str) -> str:
    if measure not in ranked():
        raise ValueError(f"there are no scores by '{visible(measure)[:80]}', only by {', '.join(ranked())}")
    return measure


MeasureName = Annotated[Word, AfterValidator(_known)]


class _Judged(Protocol):
    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def wrong(self) -> float | None: ...
    @property
    def grouping(self) -> float | None: ...
    @property
    def wrong_figure(self) -> str: ...
    @property
    def figure(self) -> str: ...
    @property
    def interval(self) -> str: ...


class _Figures:
    """A score as people read it, everywhere."""

    __slots__ = ()

    @property
    def figure(self: _Judged) -> str:
        """The value."""
        return "failed" if self.value is None else f"{self.value:.2f}"

    @property
    def interval(self: _Judged) -> str:
        """The 95 % confidence interval: ``0.79 to 0.91``; empty where there is none."""
        return "" if self.low is None or self.high is None else f"{self.low:.2f} to {self.high:.2f}"

    @property
    def with_interval(self: _Judged) -> str:
        """The value, with its interval where it has one: ``0.85 (0.79 to 0.91)``."""
        return self.figure + (f" ({self.interval})" if self.interval else "")

    @property
    def wrong_figure(self: _Judged) -> str:
        """The value of a wrong description of the same head."""
        return "not run" if self.wrong is None else f"{self.wrong:.2f}"

    @property
    def levels(self: _Judged) -> str:
        """The value of a wrong description, and of grouping the rows by shared tokens without any, where there is one:
        ``0.48, shared tokens alone 0.71``."""
        return self.wrong_figure + ("" if self.grouping is None else f", shared tokens alone {self.grouping:.2f}")


class ScoreProvenance(Record):
    """How a score came to be."""

    prompt: Prompt
    """name of the judge's prompt template"""

    template_hash: Hash
    """SHA-256 of the template"""

    template: Text
    """the template, whole"""

    judge: Object
    """settings of the judge: sampling parameters and the like"""

    settings: Object
    """settings of the measure"""

    versions: Object
    """versions of the programs that took part"""

    scored: Moment
    """when"""


class ScoreRecord(_Figures, Record):
    """How far a judge found a description true, by one measure; or why that is not known."""

    value: Number | None
    """the score; null on failure. Of `detection` the area under the ROC curve (0.5 by chance), of `likelihood` bits
    saved a row, of `stability` mean agreement"""

    low: Number | None
    """lower end of its 95 % confidence interval"""

    high: Number | None
    """upper end of it"""

    wrong: Annotated[Number | None, Field(alias="placebo")]
    """what a wrong description of the same head gets; null: not tried"""

    n: Count
    """how many mapping rows were judged"""

    failure: Cause | None
    """why there is no value, in a word"""

    detail: Text | None
    """the failure in a sentence"""

    found: Object
    """what else the measure gives"""

    provenance: ScoreProvenance
    """how it came to be"""

    @property
    def cause(self) -> str:
        """Why there is no value, in words; empty where there is one."""
        return "" if self.value is not None else self.detail or spaced(self.failure or "nobody knows why")

    @property
    def grouping(self) -> float | None:
        """The value of grouping the rows by shared tokens, without any description; None where it was not looked at."""
        found = self._also("grouping")
        value = found.get("value") if isinstance(found, dict) else None
        return value if isinstance(value, int | float) else None

    @property
    def p(self) -> float | None:
        """The share of random heads that come as far with the same words; None of measures that ask none."""
        value = self._also("p")
        return value if isinstance(value, int | float) else None

    def _also(self, name: str) -> object:
        """Another value that the measure gives, by its name; None of a record that was made of a part of its fields."""
        return self.found.get(name) if "found" in self.model_fields_set else None


@dataclass(frozen=True, slots=True)
class HeadlineScore(_Figures):
    """The one score of a description that is shown first: it has a value.

    Attributes:
        scored: when, as in `ScoreProvenance`.
        p: the share of random heads that come as far, of measures that ask them.
    """

    measure: str
    judge: str
    value: float
    low: float | None
    high: float | None
    wrong: float | None
    scored: str
    grouping: float | None = None
    p: float | None = None

    @property
    def rank(self) -> tuple[int, float]:
        """The order of better scores before worse ones: first the measure, whose values are of different kinds."""
        return _telling(self.measure), self.value

    @property
    def by(self) -> str:
        """Measure and judge."""
        return f"{self.measure} by {self.judge}"

    @property
    def text(self) -> str:
        """The score in words, with what a wrong description of the head gets."""
        return f"{self.by}: {self.with_interval}, wrong description: {self.levels}"


def valued(scores: Mapping[Any, Mapping[str, ScoreRecord]]) -> list[HeadlineScore]:
    """A description's scores that have a value, given by measure and judge."""
    figures = ("low", "high", "wrong", "grouping", "p")
    return [
        HeadlineScore(
            measure=measure,
            judge=judge,
            value=score.value,
            scored=score.provenance.scored,
            **{name: getattr(score, name) for name in figures},
        )
        for measure, judged in scores.items()
        for judge, score in judged.items()
        if score.value is not None
    ]


def headline(scores: Mapping[Any, Mapping[str, ScoreRecord]]) -> HeadlineScore | None:
    """Of a description's scores, by measure and judge, the one to show first."""
    return first_score(valued(scores))


def first_score(scores: Iterable[HeadlineScore]) -> HeadlineScore | None:
    """The score to show first: of the most telling measure the newest."""
    ordered = sorted(scores, key=lambda score: score.judge)
    return max(ordered, key=lambda score: (_telling(score.measure), score.scored), default=None)


def best_of_each(scores: Iterable[HeadlineScore]) -> tuple[HeadlineScore, ...]:
    """The highest score of each measure by each judge, the most telling measure first."""
    best: dict[tuple[str, str], HeadlineScore] = {}
    for score in scores:
        known = best.get((score.measure, score.judge))
        if known is None or score.value > known.value:
            best[score.measure, score.judge] = score
    return tuple(sorted(best.values(), key=lambda score: (-_telling(score.measure), score.judge)))


def _telling(measure: str) -> int:
    order = ranked()
    return -order.index(measure) if measure in order else -len(order)
