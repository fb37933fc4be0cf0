"""Asking an LLM about many heads at once, each outcome handed over the moment it is there."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from describe.errors import CallError, RunEndedError
from describe.labelling.exchange import Exchange, Inquiry, Question
from describe.llm import Form, Message, Reply
from describe.records import HeadId

__all__ = ["Asks", "ask", "inquire", "work_through"]

T = TypeVar("T")
U = TypeVar("U")

GRACE = 1.0
"""Seconds that calls in flight are given to come in after an interrupt, so that what was paid for is kept."""


class Asks(Protocol):
    """The interface of an LLM: `describe.llm.ChatClient`, or a stand-in."""

    async def ask(self, messages: list[Message], form: Form, head: HeadId | None = None) -> Reply:
        """One reply to a chat about a head; without a schema, what the text of its one message goes on with.

        Raises `CallError`, `LLMError`, `RunEndedError`.
        """
        ...


async def ask(llm: Asks, question: Question[T], head: HeadId) -> T:
    """The LLM's answer to a question about one head, or the failure with its cause.

    A reply that does not have the form asked for goes back once, with the reason, unless the LLM was to go on with a
    text. Raises `LLMError` and `RunEndedError` only.
    """
    step: Exchange[T] | T = Exchange.begin(question)
    while isinstance(step, Exchange):
        try:
            reply = await llm.ask(step.messages, step.question.form, head)
        except CallError as error:
            return step.failed(error)
        step = step.answered(reply)
    return step


async def inquire(llm: Asks, inquiry: Inquiry[T], head: HeadId) -> T:
    """The outcome of an inquiry about one head, each question asked as `ask` does."""
    answer: Any = None
    while True:
        try:
            question = inquiry.send(answer)
        except StopIteration as done:
            outcome: T = done.value
            return outcome
        answer = await ask(llm, question, head)


async def work_through(
    heads: Sequence[U],
    find_out: Callable[[U], Awaitable[T]],
    commit: Callable[[U, T], None],
    concurrency: int,
) -> bool:
    """Find out about the heads, ``concurrency`` at a time; ``commit`` is called for each as soon as its outcome is
    there.

    Returns whether all were done: False after an interrupt (SIGINT, SIGTERM), when calls in flight got `GRACE`
    seconds to come in. Raises `LLMError` at the first answer that says no call will ever succeed, and `RunEndedError`
    when a call or ``commit`` did; calls in flight get `GRACE` seconds then too.
    """
    waiting = iter(heads)
    stop = asyncio.Event()
    ended: list[RunEndedError] = []

    async def work() -> None:
        while not stop.is_set() and (head := next(waiting, None)) is not None:
            try:
                commit(head, await find_out(head))
            except RunEndedError as error:
                ended.append(error)
                stop.set()

    with _interrupts_set(stop):
        workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(heads)))]
        interrupted = asyncio.create_task(stop.wait())
        try:
            running: set[asyncio.Task[Any]] = set(workers)
            while running and not stop.is_set():
                done, _ = await asyncio.wait({*running, interrupted}, return_when=asyncio.FIRST_COMPLETED)
                running -= done
                for task in done - {interrupted}:
                    task.result()  # raises what the worker raised
            if running:
                await asyncio.wait(running, timeout=GRACE)
        finally:
            for task in (*workers, interrupted):
                task.cancel()
            await asyncio.gather(*workers, interrupted, return_exceptions=True)
    if ended:
        raise ended[0]
    return not stop.is_set()


@contextmanager
def _interrupts_set(stop: asyncio.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set the event; a second one acts as it always does."""
    loop = asyncio.get_running_loop()
    caught: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, interrupt, number)
            caught.append(number)
        except (NotImplementedError, RuntimeError, ValueError):
            continue  # Windows, or not the main thread: KeyboardInterrupt ends the run instead
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
