"""A run's reports to the catalogue: that it lives, how far it is, what it spent, how it ended.

The run is the command as it is typed: nothing of it is done otherwise because somebody watches.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from typing import Any

from describe.catalog import Catalogue
from describe.catalog.rows import now
from describe.catalog.runs import Run, claim_of
from describe.errors import CatalogueError
from describe.secrets import redacted

__all__ = ["EVERY", "RUN", "SHARE", "reported"]

RUN = "HEADSCRIBE_RUN"
"""The variable by which a process is told which run of the catalogue it is."""

EVERY = 1.0
"""Seconds between two reports, at least."""

SHARE = 0.05
"""The most of its time that a run spends on reports."""

KEPT = 4000
"""Characters of what is written on standard error that are kept."""


def reported(run_id: int, command: Callable[[], int]) -> int:
    """Run a command, reporting to the catalogue of the environment; returns its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started us in the background had it ignored
    told = io.StringIO()
    with Catalogue(os.environ["HEADSCRIBE_CATALOG"]) as catalogue, _claimed(catalogue, run_id):
        catalogue.runs.began(run_id, socket.gethostname(), os.getpid())
        reporter = _Reporter(catalogue, catalogue.runs.find(run_id), told)
        with redirect_stderr(told), reporter.at_work():
            code = _guarded(command)
        catalogue.runs.end(run_id, code, _last_lines(told.getvalue()), **reporter.found(asked=code != 2))
    return code


def _guarded(command: Callable[[], int]) -> int:
    try:
        return command()
    except Exception:  # a mistake of ours: to be seen in the table of runs, since nobody watches a terminal
        traceback.print_exc()
        return 1


@contextmanager
def _claimed(catalogue: Catalogue, run_id: int) -> Iterator[None]:
    """Be the process of the run. Whoever looks whether it lives holds the claim for a moment."""
    until = time.monotonic() + 10
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(catalogue.claim(claim_of(run_id), f"run {run_id} has a process already"))
                break
            except CatalogueError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield


class _Reporter:
    """A thread that commits how far the run is, and interrupts the run when somebody asks for that."""

    def __init__(self, catalogue: Catalogue, run: Run, log: io.StringIO) -> None:
        self._catalogue = catalogue
        self._run = run
        self._log = log
        self._stage: dict[str, Any] = {}
        self._ended = threading.Event()
        self._stopped = False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Report until the block ends."""
        from app.terminal import watched_by

        thread = threading.Thread(target=self._report, daemon=True)
        thread.start()
        try:
            with watched_by(self._progress):
                yield
        finally:
            self._ended.set()
            thread.join()

    def found(self, *, asked: bool = True) -> dict[str, Any]:
        """How far it is, and what it spent in all; a command that was refused has asked nobody."""
        run = self._run
        llms = [llm for name in ("llm", "judge") if (llm := run.option(name)) is not None]
        if not (asked and llms):
            return {**self._stage, "calls": run.calls, "money": run.money}
        from describe.weights import model_name

        model = model_name(run.arguments[1])
        calls, money = self._catalogue.ledger.since(run.first_call, model, llms, run.option("prompt"))
        return {**self._stage, "calls": calls, "money": money}

    def _progress(self, stage: str, done: int, total: int) -> None:
        new = self._stage.get("stage") != stage
        began = now() if new else self._stage["stage_began"]
        self._stage = {"stage": stage, "done": done, "total": total, "stage_began": began}

    def _report(self) -> None:
        from sqlalchemy.exc import DBAPIError

        pause = EVERY
        while not self._ended.wait(pause):
            began = time.monotonic()
            try:
                log = _last_lines(self._log.getvalue()) or None
                stop = self._catalogue.runs.tell(self._run.id, message=log, **self.found())
            except (DBAPIError, CatalogueError):
                continue  # the database may be there again next time
            pause = max(EVERY, (time.monotonic() - began) / SHARE)
            if stop and not self._stopped:
                self._stopped = True
                _interrupt()


def _interrupt() -> None:
    """As Ctrl-C does: in the main thread, waking it where it waits."""
    if sys.platform == "win32":
        import _thread

        _thread.interrupt_main()
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _last_lines(text: str) -> str:
    """The end of what was written, without a secret, should a server have sent one back."""
    return redacted(text).strip()[-KEPT:]
