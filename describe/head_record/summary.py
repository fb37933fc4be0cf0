"""A head at a glance: what overviews show of it, from its record or, without reading mappings, from columns."""

from __future__ import annotations

from dataclasses import dataclass, replace

from describe.figures import HeadFigure
from describe.head_record.descriptions import State
from describe.head_record.headline import Card
from describe.head_record.scores import HeadlineScore
from describe.measures import Verdict
from describe.text import spaced

__all__ = ["HeadSummary"]


@dataclass(frozen=True, slots=True)
class HeadSummary:
    """A head in one line, by the description that is shown first.

    Attributes:
        saliency: the largest of a token; None where it has no rows.
        state, llm, role, inputs, pattern, failure, headline: of that description; None where nobody was asked.
        verdict: on that description.
        evidence: pieces found; None where it was not tested.
        effect: Cohen's h of the strongest evidence; None where there is none.
        figure: what of its mappings relates or copies words; None where it was not looked for.
        card: its headline, and what contradicts it; None where it was not made.
        scores: the highest of each measure by each judge, over all its descriptions.
        describers: who described it, the one whose description is shown first before the others.
        kinds: of head, by where it looks; ``looks``: the figures of that on text. None where it was not looked at.
    """

    layer: int
    head: int
    saliency: float | None
    state: State
    llm: str | None
    role: int | None
    inputs: str | None
    pattern: str | None
    failure: str | None
    headline: HeadlineScore | None
    evidence: int | None
    effect: float | None
    figure: HeadFigure | None = None
    kinds: tuple[str, ...] | None = None
    looks: dict[str, float | None] | None = None
    verdict: Verdict = "not judged"
    card: Card | None = None
    scores: tuple[HeadlineScore, ...] = ()
    describers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The head as people write it: ``25.0``."""
        return f"{self.layer}.{self.head}"

    @property
    def score(self) -> float | None:
        """The value of the score that is shown first."""
        return None if self.headline is None else self.headline.value

    @property
    def wrong(self) -> float | None:
        """The value of a wrong description of the head."""
        return None if self.headline is None else self.headline.wrong

    @property
    def said(self) -> str:
        """The head's function in the describer's words, with the role that these are of; or why there are none."""
        if self.failure is not None:
            return f"failed: {spaced(self.failure)}"
        return (f"role {self.role}: " if self.role else "") + (self.pattern or "")

    def cut(self, most: int) -> HeadSummary:
        """The summary with words of at most so many characters."""
        if max(len(self.inputs or ""), len(self.pattern or "")) <= most:
            return self
        return replace(self, inputs=_cut(self.inputs, most), pattern=_cut(self.pattern, most))


def _cut(text: str | None, most: int) -> str | None:
    return text if text is None or len(text) <= most else text[:most] + "…"
