"""The words of human studies, and the small frozen records that travel between their parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from describe.errors import InputError

__all__ = [
    "COVERAGE",
    "EXPECTED",
    "FIT",
    "KINDS",
    "LONGEST_TEXT",
    "PRESENCE",
    "SCOPE",
    "Answers",
    "Invitation",
    "Outcome",
    "PracticeItem",
    "Progress",
    "Rater",
    "Row",
    "ScreeningItem",
    "StageA",
    "StageB",
    "Study",
    "Task",
    "Turn",
]

KINDS = ("real", "swap_easy", "swap_hard", "shuffled", "catch")
"""Kinds of items: a head as it is; a head's table with a random or a similar head's description; a head's own
description with its targets shuffled over the rows; or something obvious. Raters cannot tell them apart."""

PRESENCE = ("clear", "weak", "none")
"""Stage A, seeing the table alone: is there a pattern?"""

FIT = ("fits", "partly", "does not fit", "can't tell")
"""Stage B, with the description: does it fit?"""

EXPECTED = ("fits", "does not fit")
"""The right answers of catch items; any other is a failed catch item."""

COVERAGE = ("none", "few", "most", "all")
"""Stage B: how many of the rows does the description cover?"""

SCOPE = ("too broad", "too narrow", "right")
"""Stage B, optional: does the description say too little or too much?"""

LONGEST_TEXT = 2000
"""Characters that a rater's own words or comment may have."""


@dataclass(frozen=True, slots=True)
class Study:
    """A study with all it was made with.

    Attributes:
        models: the names of the models whose heads are judged.
        raters_per_item: N, how many raters each item is answered by; may be raised later.
        exclusion: the rules fixed at creation: ``max_failed_catch`` (share of catch items), ``min_seconds_per_item``
            (median, both stages), ``max_repeat_disagreement`` (share of repeats with another ``fit``); None: no rule.
        n_items: items by kind.
        settings: everything else it was made with, `annotations.design.Design` and what followed from it.
        version: 1, and one more with every extension.
        versions: of headscribe and Python when it was made.
        stopped, archived: when it was stopped, and put away (UTC), or None.
    """

    id: int
    name: str
    models: tuple[str, ...]
    created: datetime
    seed: int
    raters_per_item: int
    guideline: str
    consent: str
    exclusion: dict[str, float | None]
    n_items: dict[str, int]
    settings: dict[str, Any]
    settings_hash: str
    version: int
    versions: dict[str, str]
    stopped: datetime | None = None
    archived: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rater:
    """A rater by pseudonym; who that is, headscribe does not know."""

    id: int
    study_id: int
    pseudonym: str


@dataclass(frozen=True, slots=True)
class Invitation:
    """A new rater and the code that lets them in; the code is shown once and stored nowhere."""

    rater: Rater
    code: str


@dataclass(frozen=True, slots=True)
class Row:
    """A mapping row as shown: a source token and its targets, strongest first. Untrusted text."""

    source: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StageA:
    """A rater's answers on the table alone: ``presence`` of `PRESENCE`, optionally ``own_words``."""

    presence: str
    own_words: str | None = None

    def __post_init__(self) -> None:
        _one_of(PRESENCE, presence=self.presence)
        _short(own_words=self.own_words)


@dataclass(frozen=True, slots=True)
class StageB:
    """A rater's answers on the description: ``fit`` of `FIT`, ``coverage`` of `COVERAGE`, optionally more.

    ``coverage`` may be None where it cannot be said: for an abstention, or when one can't tell.
    """

    fit: str
    coverage: str | None = None
    scope: str | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        _one_of(FIT, fit=self.fit)
        _one_of((*COVERAGE, None), coverage=self.coverage)
        _one_of((*SCOPE, None), scope=self.scope)
        _short(comment=self.comment)


Answers = StageA | StageB


@dataclass(frozen=True, slots=True)
class Task:
    """The view of a rater's page now: one presentation of one item. Says nothing of kind, head, or other raters.

    Attributes:
        presentation: its id; goes into widget keys and back with every answer. Only its own rater can use it.
        stage: ``"a"``, the table alone; or ``"b"``, with the description, stage A being locked.
        position: how many-th item of this rater, from 1.
        rows: the table.
        inputs, pattern: the description; None in stage A.
        unclear: stage B: the description is an abstention; ``coverage`` need not be asked.
        said: stage B: what the rater said in stage A.
        before: the answer that is being revised after an undo, else None.
        reopened: when the rater went back to it (UTC), else None.
    """

    presentation: int
    stage: str
    position: int
    rows: tuple[Row, ...]
    inputs: str | None = None
    pattern: str | None = None
    unclear: bool = False
    said: StageA | None = None
    before: StageB | None = None
    reopened: datetime | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """The next step of a rater.

    ``state`` is one of

    - ``"consent"``, ``"about"``: not yet consented; not yet asked about themselves,
    - ``"practice"``, ``"screening"``: practice item number ``practice`` (from 0), or that of the check, is next,
    - ``"screened out"``: the check was failed twice,
    - ``"item"``: ``task`` is to be shown,
    - ``"waiting"``: what is left is with other raters just now and may come back,
    - ``"done"``: nothing is left for this rater,
    - ``"stopped"``, ``"revoked"``: the study was stopped, or the rater may not go on.
    """

    state: str
    task: Task | None = None
    practice: int = 0
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a submission. "Saved" may be shown if and only if ``saved``: it is committed then.

    ``status`` is ``"saved"``, or why it was not taken, which the log keeps with what was sent: ``"already"`` (another
    submission answered this before and stands), ``"handed on"`` (the rater was away, and others completed the
    item), ``"too early"`` (stage B before stage A), ``"nothing"`` (nothing to undo) or ``"revoked"``.
    """

    status: str
    message: str

    @property
    def saved(self) -> bool:
        """It is in the database."""
        return self.status == "saved"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rater is: items answered, repeats included, and about how many there will be in all."""

    answered: int
    total: int
    can_undo: bool


@dataclass(frozen=True, slots=True)
class PracticeItem:
    """A made-up item to practise on, its right answers, and what to say about them afterwards."""

    rows: tuple[Row, ...]
    inputs: str
    pattern: str
    presence: tuple[str, ...]
    fit: tuple[str, ...]
    feedback_a: str
    feedback_b: str


@dataclass(frozen=True, slots=True)
class ScreeningItem:
    """An obvious item of the check before the items, with the right answers on fit."""

    rows: tuple[Row, ...]
    inputs: str
    pattern: str
    fit: tuple[str, ...]


def _one_of(allowed: tuple[str | None, ...], **named: str | None) -> None:
    for name, value in named.items():
        if value not in allowed:
            choices = ", ".join(choice for choice in allowed if choice)
            raise InputError(f"'{value}' is no answer for {name}: it is one of {choices}")


def _short(**named: str | None) -> None:
    for name, value in named.items():
        if value is not None and len(value) > LONGEST_TEXT:
            raise InputError(f"{name.replace('_', ' ')}: {len(value):,} characters; {LONGEST_TEXT:,} are the most")
