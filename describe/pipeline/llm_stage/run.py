"""How describing and judging ask an LLM: the heads of several extractions one after the other, from one purse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from describe.pipeline.llm_stage.limits import Limits
from describe.pipeline.llm_stage.record import Outcome, Work, run_async
from describe.records import HeadId

if TYPE_CHECKING:
    from describe.labelling import Inquiry
    from describe.llm import LLM, Pacer, Purse, Request

__all__ = ["Part", "ask_about"]

TOutcome = TypeVar("TOutcome", bound=Outcome)


@dataclass(frozen=True)
class Part(Generic[TOutcome]):
    """What is to be asked about the heads of one extraction.

    Attributes:
        inquire: what is asked about a head, question by question, and what the answers come to.
    """

    pending: list[HeadId]
    inquire: Callable[[HeadId], Inquiry[TOutcome]]
    work: Work[TOutcome]


def ask_about(
    parts: Sequence[Part[Any]],
    llm: LLM,
    request: Request,
    limits: Limits,
    purse: Purse,
    concurrency: int,
    *,
    taken: str,
) -> bool:
    """Ask about one part after the other. Returns whether all were done: False after an interrupt.

    ``taken``: what to say where another run asks the same. Raises `CatalogueError` there, `LLMError` when no call will
    ever succeed, and `RunEndedError` when the run must end.
    """

    async def ask_one(part: Part[Any], pacer: Pacer) -> bool:
        from describe.labelling import inquire, work_through
        from describe.llm import Oversight, connect

        with part.work.alone(taken):
            async with connect(llm, request, concurrency, Oversight(pacer, purse, part.work)) as client:
                asked = await work_through(
                    part.pending, lambda head: inquire(client, part.inquire(head), head), part.work.commit, concurrency
                )
            if asked:
                part.work.keep_unanswered()
        return asked

    async def run() -> bool:
        pacer = limits.pacer(concurrency, request.longest_wait)
        for part in parts:
            if part.pending and not await ask_one(part, pacer):
                return False
        return True

    return run_async(run)
