"""Several LLMs in one run of ``headscribe describe``: one after the other, each a describer, all from one budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from describe.errors import InputError, LLMError
from describe.pipeline.descriptions import llm_method
from describe.pipeline.evidence import statistics_method
from describe.pipeline.llm_stage.limits import Batching, Limits, Terms
from describe.pipeline.llm_stage.run import StageResult

if TYPE_CHECKING:
    from describe.llm import LLM, Request

__all__ = ["by_each", "check_describers"]

Result = TypeVar("Result", bound=StageResult)


def check_describers(
    llms: Sequence[LLM], request: Request, limits: Limits, *, prompt: str | None = None, batch: Batching | None = None
) -> None:
    """Raise `InputError` for an LLM that cannot be asked so, before another is asked and paid. Asks nobody."""
    for llm in llms:
        template = llm_method(llm, request, prompt)[0] if llm.kind.asks else statistics_method(prompt)
        Terms(limits=_of_one(llm, llms, limits), batch=batch).purse(llm, template)


def by_each(
    llms: Sequence[LLM],
    limits: Limits,
    batch: Batching | None,
    run: Callable[[LLM, Limits, Batching | None], Result],
) -> Iterator[tuple[LLM, Result | InputError]]:
    """Run for one LLM after the other: what it came to, or why it could not be asked. An interrupt ends all.

    Batches of all of them are submitted before any is waited for. ``run`` is given the limits with what the others have
    left of the budget.
    """
    spent = 0.0
    promised: defaultdict[LLM, float] = defaultdict(float)  # of batches that are at a server

    def once(llm: LLM, batch: Batching | None) -> Result | InputError:
        nonlocal spent
        taken = spent + sum(promised.values()) - promised[llm]
        left = None if limits.budget is None else max(0.0, limits.budget - taken)
        try:
            result = run(llm, replace(_of_one(llm, llms, limits), budget=left), batch)
        except InputError as error:
            if isinstance(error, LLMError):
                spent, promised[llm] = spent + error.spent, 0.0
            return error
        spent += result.spent
        promised[llm] = result.promised
        return result

    rounds = [batch]
    if batch is not None and batch.wait and len(llms) > 1:
        rounds.insert(0, replace(batch, wait=False))
    for number, how in enumerate(rounds, 1):
        for llm in llms:
            ended = once(llm, how)
            interrupted = isinstance(ended, StageResult) and ended.interrupted
            if number == len(rounds) or interrupted:
                yield llm, ended
            if interrupted:
                return


def _of_one(llm: LLM, llms: Sequence[LLM], limits: Limits) -> Limits:
    """The limits for one of several LLMs: prices that were given are those of all that are paid."""
    return limits if llm.kind.paid or len(llms) == 1 else replace(limits, price_in=None, price_out=None)
