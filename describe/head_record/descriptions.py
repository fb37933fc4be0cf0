"""Descriptions of a head, and which is shown first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, TypeVar

from describe.head_record.findings import ClaimRecord
from describe.head_record.form import Object, Record
from describe.head_record.scores import HeadlineScore, MeasureName, ScoreRecord, headline, valued
from describe.head_record.verdicts import verdict
from describe.kinds import KINDS, LEAST_COVERED, Kind
from describe.measures import Verdict
from describe.text import spaced
from describe.values import Cause, Hash, Moment, Name, Prompt, Several, Share, Size, Text

__all__ = [
    "STATES",
    "STATE_WORDS",
    "DescriptionProvenance",
    "DescriptionRecord",
    "GroupRecord",
    "Said",
    "State",
    "best_first",
    "outcome",
]

State = Literal["described", "unclear", "failed", "none"]

STATES: tuple[State, ...] = ("described", "unclear", "failed", "none")
"""States of a head, best first: a description, an abstention, no usable answer, or nobody was asked."""

STATE_WORDS: dict[State, str] = {state: state for state in STATES} | {"none": "no description"}
"""States as people read them."""


class Said(Protocol):
    """A description's rank: the first is shown first."""

    @property
    def state(self) -> State:
        """Its state."""

    @property
    def role(self) -> int | None:
        """The role of the head that it is of; None or 0: of the whole head."""

    @property
    def headline(self) -> HeadlineScore | None:
        """Its score to show first."""

    @property
    def described(self) -> str:
        """When it was made, as in `DescriptionProvenance`."""


S = TypeVar("S", bound=Said)


def outcome(failure: str | None, unclear: bool) -> State:
    """The state of a description."""
    return "failed" if failure is not None else "unclear" if unclear else "described"


def best_first(descriptions: Iterable[S]) -> list[S]:
    """Descriptions, given in order of entry, as they are shown: answers before abstentions before failures, the whole
    head before its roles, then by score, the newest first of equals."""

    def worth(one: S) -> tuple[int, bool, tuple[float, ...], str]:
        rank = one.headline.rank if one.headline else (-float("inf"),)
        return -STATES.index(one.state), not one.role, rank, one.described

    newest_first = list(descriptions)[::-1]
    return sorted(newest_first, key=worth, reverse=True)


class DescriptionProvenance(Record):
    """How a description came to be."""

    template_hash: Hash
    """SHA-256 of the prompt template"""

    template: Text
    """the prompt template, whole"""

    prompt_hash: Hash | None
    """SHA-256 of the prompt as it was sent"""

    settings: Object
    """sampling parameters and the like"""

    reply: Text | None
    """the last reply, as it came"""

    usage: Object
    """tokens, calls and seconds, and the model that says it answered"""

    versions: Object
    """versions of the programs that took part"""

    described: Moment
    """when"""


class GroupRecord(Record):
    """Rows of a head that do one thing together, as a describer sees them."""

    inputs: Text
    """what their source tokens share"""

    promoted: Text
    """what the head promotes for them"""

    lines: Several[Size]
    """the numbers of the rows, from 1 in the order in which they were shown"""

    checked: bool
    """every number named is that of a row, and the tokens quoted stand in these rows"""

    @property
    def words(self) -> str:
        """The group in a line: ``lines 1 to 4, 9: plural nouns -> pronouns``."""
        doubt = "" if self.checked else " (not borne out by these lines)"
        return f"lines {_ranges(self.lines)}: {self.inputs} -> {self.promoted}{doubt}"


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers, those that follow on each other as ``1 to 4``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in runs)


class DescriptionRecord(Record):
    """One description of a head: an answer, an abstention, or a failure with its cause."""

    llm: Name
    """who described the head: an LLM, or `statistics`"""

    prompt: Prompt
    """name of the prompt template"""

    role: Size | None
    """the role that is described; null: the whole head"""

    inputs: Text | None
    """what the source tokens share, in the describer's words"""

    pattern: Text | None
    """what the head does with them"""

    unclear: bool
    """the describer abstained"""

    reasoning: Text | None
    """what the describer said before"""

    claims: Several[ClaimRecord] = ()
    """what a description by statistics claims; empty where nobody knows. Not in older exports"""

    kind: Kind | None = None
    """how the outputs depend on the input; null where the prompt does not ask. Not in older exports"""

    groups: Several[GroupRecord] = ()
    """rows that do one thing together; empty where the prompt does not ask. Not in older exports"""

    covered: Share | None = None
    """the share of the rows shown that is in a group which was checked; null where the prompt does not ask"""

    failure: Cause | None
    """why there is no usable answer, in a word"""

    detail: Text | None
    """the failure in a sentence"""

    scores: dict[MeasureName, dict[Name, ScoreRecord]]
    """by measure and judge, how far it was found true"""

    provenance: DescriptionProvenance
    """how it came to be: the prompt template, settings, the reply as it came, tokens and time"""

    @property
    def state(self) -> State:
        """Its state."""
        return outcome(self.failure, self.unclear)

    @property
    def thin(self) -> bool:
        """Its groups cover so few of the rows that it is no description of the head as a whole."""
        return self.state == "described" and self.covered is not None and self.covered < LEAST_COVERED

    @property
    def grouped(self) -> list[str]:
        """The kind of head and its groups in words, a line each; none where the prompt does not ask for them."""
        kind = [] if self.kind is None else [KINDS[self.kind]]
        covers = [f"groups cover {self.covered:.0%} of the lines".replace("%", " %")] if self.covered else []
        if not kind and not covers:
            return []
        few = ": too few for a description of the whole head" if self.thin else ""
        return [f"{', '.join(kind + covers)}{few}", *(group.words for group in self.groups)]

    @property
    def described(self) -> str:
        """When it was made."""
        return self.provenance.described

    @property
    def headline(self) -> HeadlineScore | None:
        """Its score to show first, if it has any with a value."""
        return headline(self.scores)

    @property
    def cause(self) -> str:
        """Why there is no usable answer, in words; empty where there is one."""
        return (
            ""
            if self.failure is None
            else ": ".join(filter(None, (spaced(self.failure), getattr(self, "detail", None))))
        )

    @property
    def unscored(self) -> list[str]:
        """The scores that have no value, each with its cause in words."""
        return [
            f"{measure} by {judge}: no score, {score.cause}"
            for measure, judged in self.scores.items()
            for judge, score in judged.items()
            if score.value is None
        ]

    @property
    def verdict(self) -> Verdict:
        """The findings of its scores, in words."""
        return verdict(valued(self.scores))
