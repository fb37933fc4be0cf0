"""Options of the commands that ask an LLM about heads: describe, score and stability have the same options for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from app import options as o
from app.saying import say
from describe.text import spaced

if TYPE_CHECKING:
    from describe.llm import LLM
    from describe.pipeline.llm_stage.run import StageResult

__all__ = ["DEFAULTS", "LLMOptions", "exit_code", "listed", "with_llm_options"]

MOST_LISTED = 20


@dataclass(frozen=True)
class LLMOptions:
    """How an LLM is asked; each field is an option of every command that asks one."""

    concurrency: o.Concurrency = None
    max_tokens: o.MaxTokens = 2048
    timeout: o.Timeout = 120.0
    attempts: o.Attempts = 6
    give_up_after: o.GiveUpAfter = 5
    rpm: o.Rpm = None
    tpm: o.Tpm = None
    budget: o.Budget = None
    price_in: o.PriceIn = None
    price_out: o.PriceOut = None
    batch: o.Batch = False
    poll: o.Poll = 60.0
    no_wait: o.NoWait = False
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Ask again about what failed.")] = False
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask even where the ledger has the reply already.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be asked and cost; ask nobody.")] = False

    def terms(self, llm: LLM | None, **sampling: Any) -> dict[str, Any]:
        """The arguments that `describe.pipeline.describe`, ``score``, ``stability`` and their plans share."""
        from describe.llm import Request
        from describe.pipeline import Batching, Limits

        request = Request(max_tokens=self.max_tokens, timeout=self.timeout, attempts=self.attempts, **sampling)
        prices = (self.budget, self.price_in, self.price_out)
        return {
            "request": request,
            "concurrency": self.concurrency or (llm.kind.concurrency if llm is not None else 1),
            "limits": Limits(self.rpm, self.tpm, *prices, self.give_up_after),
            "batch": Batching(self.poll, not self.no_wait) if self.batch else None,
            "retry_failed": self.retry_failed,
        }


DEFAULTS = LLMOptions()

Command = TypeVar("Command", bound=Callable[..., Any])


def with_llm_options(command: Command) -> Command:
    """Give a command the fields of its parameter ``llm_options`` as options, in that one's place.

    Typer reads options off the parameters of a function, so that without this each would be written three times.
    """
    signature = inspect.signature(command, eval_str=True)
    hints = get_type_hints(LLMOptions, include_extras=True)
    default = signature.parameters["llm_options"].default
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name != "llm_options":
            parameters.append(parameter)
            continue
        parameters += [
            parameter.replace(name=field.name, default=getattr(default, field.name), annotation=hints[field.name])
            for field in fields(LLMOptions)
        ]

    @wraps(command)
    def with_options(**given: Any) -> Any:
        llm_options = LLMOptions(**{field.name: given.pop(field.name) for field in fields(LLMOptions)})
        return command(llm_options=llm_options, **given)

    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options  # type: ignore[return-value]


def exit_code(result: StageResult, what: str) -> int:
    """The exit code of a run, and on standard error what of it, ``what`` in the plural, has no answer."""
    if result.failures:
        failed = listed([f"{one} ({spaced(cause)})" for one, cause in result.failures.items()])
        say(f"headscribe: {len(result.failures)} {what} failed: {failed}; --retry-failed asks again", err=True)
    if result.stopped or result.interrupted:
        missing = f"{len(result.missing)} {what} are missing"
        if result.stopped:
            said = f"stopped: {result.stopped}; {missing}: {listed(result.missing)}; the same command again goes on"
        else:
            going_on = f" and {', '.join(result.batches)} goes on at the server" if result.batches else ""
            said = f"interrupted; {missing}{going_on}, run the same command again to go on"
        say(f"headscribe: {said}", err=True)
    return 130 if result.interrupted else 1 if result.failures or result.stopped else 0


def listed(items: Sequence[Any]) -> str:
    """The first of many, and how many more there are."""
    more = f" and {len(items) - MOST_LISTED} more" if len(items) > MOST_LISTED else ""
    return ", ".join(map(str, items[:MOST_LISTED])) + more
