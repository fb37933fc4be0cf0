"""A task of an LLM stage: what is to be found out about which heads and roles, by which questions, and kept where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from describe.records import HeadId

if TYPE_CHECKING:
    from describe.labelling import Inquiry

__all__ = ["Outcome", "Task"]


class Outcome(Protocol):
    """The outcome for a head: an answer, or a failure with its cause and a sentence on it."""

    @property
    def failure(self) -> str | None: ...

    @property
    def detail(self) -> str | None: ...


TOutcome = TypeVar("TOutcome", bound=Outcome)


@dataclass(frozen=True)
class Task(Generic[TOutcome]):
    """Questions to one labeller about heads or roles of one extraction.

    Describing, judging and comparing hand in tasks; asking, resuming, budgets, batches and dry runs are the stage's.

    Attributes:
        name: tells it from the labeller's other tasks on the extraction, from run to run: what waits in a batch is
            found again by it. At most 64 characters.
        shown: its name beside the progress.
        units: the heads or roles asked for, whether they have an outcome or not.
        inquire: what is asked about one, question by question, and what the answers come to. It depends on nothing but
            the answers, so that it can be run through again by those that are in the ledger.
        save: commits an outcome.
        outcomes: the cause of failure, or None, of each that has an outcome.
        failed: when those that failed did so: an answer from before is not used again.
    """

    name: str
    shown: str
    extraction_id: int
    units: list[HeadId]
    inquire: Callable[[HeadId], Inquiry[TOutcome]]
    save: Callable[[HeadId, TOutcome], None]
    outcomes: Mapping[HeadId, str | None]
    failed: Mapping[HeadId, datetime]
