"""Several ``--llm`` of one command: each is run, or its plan made, one after the other; the exit code is the worst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.llm_options import exit_code
from app.saying import say
from describe.errors import InputError

if TYPE_CHECKING:
    from describe.llm import LLM
    from describe.pipeline import Batching, Limits
    from describe.pipeline.llm_stage.estimate import Expected
    from describe.pipeline.llm_stage.run import StageResult

__all__ = ["plan_each", "run_each"]

Result = TypeVar("Result", bound="StageResult")
Estimate = TypeVar("Estimate", bound="Expected")


def run_each(
    llms: Sequence[LLM],
    terms: dict[str, Any],
    run: Callable[[LLM, Limits, Batching | None], Result],
    show: Callable[[LLM, Result], None],
) -> int:
    """Run for each LLM from one budget, and show what it came to; returns the exit code.

    ``terms``: those of `LLMOptions.terms`, and ``prompt``. Raises `InputError` before anybody is asked, where one of
    them cannot be; what ends the run of one of several later is a line, and the others go on.
    """
    from describe import pipeline

    limits, batch = terms["limits"], terms["batch"]
    if len(llms) > 1:
        pipeline.check_describers(llms, terms["request"], limits, prompt=terms["prompt"], batch=batch)
    worst = 0
    for llm, ended in pipeline.by_each(llms, limits, batch, run):
        if not isinstance(ended, InputError):
            show(llm, ended)
            worst = max(worst, exit_code(ended, "heads" if len(llms) == 1 else f"heads by {llm}"))
        elif len(llms) == 1:
            raise ended
        else:
            say(f"headscribe: {llm}: {' '.join(str(ended).split())}", err=True)
            worst = max(worst, 2)
    return worst


def plan_each(
    llms: Sequence[LLM],
    plan: Callable[[LLM], Estimate],
    said: Callable[[Estimate], str],
    as_json: Callable[[Estimate], dict[str, Any]],
    json_path: Path | None,
) -> int:
    """Show the plan of each LLM, and the sums of several; returns the exit code."""
    from app.plans import NOTHING_DONE, amounts, sums
    from app.terminal import write_json

    plans = {llm: plan(llm) for llm in llms if len(llms) == 1 or llm.kind.asks}
    total = sums(list(plans.values()))
    if json_path:
        each = [{"llm": str(llm)} | as_json(found) for llm, found in plans.items()]
        write_json(as_json(plans[llms[0]]) if len(llms) == 1 else {"llms": each} | total, json_path)
        return 0
    for llm, found in plans.items():
        if len(llms) > 1:
            say(f"{llm}")
        say(f"{said(found)}\n{amounts(found)}")
    for llm in llms:
        if llm not in plans:
            say(f"{llm}\nasks nobody and costs nothing")
    if len(llms) > 1:
        money = "not all known" if total["money"] is None else f"about ${total['money']:.4f}"
        counts = f"about {total['tokens_in']:,} tokens in and {total['tokens_out']:,} out"
        say(f"all      {total['calls']:,} calls, {counts}, {money}")
    say(NOTHING_DONE)
    return 0
