"""How a run asks an LLM: its limits, its budget, and the options that describe, score and stability share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from describe.errors import InputError
from describe.pipeline.common import Progress, silent

if TYPE_CHECKING:
    from describe.labelling import Template
    from describe.llm import LLM, Pacer, Purse

__all__ = ["Batching", "Limits", "Terms"]


@dataclass(frozen=True)
class Limits:
    """Limits of a run.

    Attributes:
        rpm, tpm: requests and tokens per minute; None for what the server's headers say.
        budget: US dollars that this run may spend; None for no limit.
        price_in, price_out: US dollars per million tokens; None for what genai-prices lists.
        give_up_after: the run ends when so many heads in a row got no answer from the server after all tries.
    """

    rpm: float | None = None
    tpm: float | None = None
    budget: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    give_up_after: int = 5

    def purse(self, llm: LLM, *, batch: bool = False) -> Purse:
        """The money of a run with this LLM. Raises `InputError` when there is a budget and no price."""
        from describe.llm import Purse, endpoint, find_price

        if not llm.kind.asks:  # asks nobody, costs nothing
            return Purse(None, None)
        price = find_price(llm, endpoint(llm), self.price_in, self.price_out)
        return Purse(price.in_batch() if price and batch else price, self.budget)

    def pacer(self, concurrency: int, longest_wait: float) -> Pacer:
        """The pace of a run of so many calls at once, with pauses of so many seconds at most."""
        from describe.llm import Pacer

        return Pacer(concurrency, self.rpm, self.tpm, longest_wait=longest_wait)


@dataclass(frozen=True)
class Batching:
    """How a run through the Batch API waits.

    Attributes:
        poll: the longest pause between two looks at a batch, in seconds.
        wait: for batches to end; otherwise the run submits what there is, collects what has ended, and ends.
    """

    poll: float = 60.0
    wait: bool = True


@dataclass(frozen=True)
class Terms:
    """The options of a run that asks an LLM, whatever it asks.

    Attributes:
        concurrency: heads asked about at once, at most.
        batch: through the Batch API, and how; None for direct calls.
        retry_failed: ask again about what failed.
        fresh: use no reply that the ledger has.
    """

    concurrency: int = 8
    limits: Limits = field(default_factory=Limits)
    batch: Batching | None = None
    retry_failed: bool = False
    fresh: bool = False
    progress: Progress = silent

    def purse(self, llm: LLM, template: Template) -> Purse:
        """The money of a run on these terms.

        Raises `InputError` for a concurrency below 1, a batch of what has none, and a budget without a price.
        """
        if self.concurrency < 1:
            raise InputError("--concurrency must be at least 1")
        if llm.kind.asks and template.completion and not llm.kind.continues:
            raise InputError(
                f"{llm.provider}: is asked in chats, and the prompt '{template.name}' is a text to go on with"
            )
        if self.batch and template.completion:
            raise InputError(f"--batch asks chats only, and the prompt '{template.name}' is a text to go on with")
        if self.batch and not llm.kind.batches:
            raise InputError(f"--batch needs a server with OpenAI's Batch API, --llm openai:MODEL: {llm} has none")
        return self.limits.purse(llm, batch=self.batch is not None)
