"""Runs typed in a terminal, listed among those of the web app: from the first progress on, in passing.

What is refused, or done at once, is no run; and no command waits for a database for the sake of the list.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from describe.catalog import Catalogue

__all__ = ["RECORDED", "recorded"]

RECORDED = ("extract", "describe", "score", "roles", "relations", "attend", "correlate", "ablate", "stability")
"""Commands whose runs are listed."""

NO_RUN = ("--help", "--dry-run")
"""Options with which none of them works."""

WAIT = 0.5
"""Seconds that the list waits for a lock of others, at most."""


def recorded(arguments: Sequence[str], command: Callable[[], int]) -> int:
    """Run a command typed in a terminal, and have the catalogue list it among the runs; returns its exit code."""
    if not arguments or arguments[0] not in RECORDED or any(option in arguments for option in NO_RUN):
        return command()
    from app.terminal import watched_by

    record = _TerminalRun(arguments)
    with watched_by(record.progress):
        code = command()
    record.end(code)
    return code


@dataclass(frozen=True, slots=True)
class _Stage:
    """How far a stage is, and when it began (UTC)."""

    name: str = ""
    began: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    done: int = 0
    total: int = 0


class _TerminalRun:
    """One such run. Where it cannot be listed, the list does without it."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._where, self._arguments = _without_catalogue(arguments)
        self._catalogue: Catalogue | None = None
        self._id: int | None = None
        self._claim = ExitStack()
        self._next = 0.0
        self._stage = _Stage()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Told by the command how far it is; tells the catalogue once in a second or less often."""
        if self._stage.name != stage:
            self._stage = _Stage(stage)
        self._stage = replace(self._stage, done=done, total=total)
        if time.monotonic() >= self._next:
            self._pass_on(self._tell)

    def end(self, code: int) -> None:
        """The command is done."""
        if self._id is not None:
            self._pass_on(self._end, code)
        self._claim.close()
        if self._catalogue is not None:
            self._catalogue.close()

    def _pass_on(self, call: Callable[..., None], *args: int) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        from app.reporting import EVERY, SHARE
        from describe.errors import CatalogueError

        began = time.monotonic()
        try:
            call(*args)
        except (SQLAlchemyError, CatalogueError):
            self._next = sys.float_info.max
            return
        self._next = time.monotonic() + max(EVERY, (time.monotonic() - began) / SHARE)

    def _tell(self) -> None:
        from describe.catalog import Catalogue
        from describe.catalog.runs import claim_of

        if self._catalogue is None:
            self._catalogue = Catalogue(self._where)
        runs = self._catalogue.runs
        if self._id is None:
            self._id = runs.begin(self._arguments, wait=WAIT)
            self._claim.enter_context(self._catalogue.claim(claim_of(self._id), "it has a process already"))
            runs.tell(self._id, state="running", host=socket.gethostname()[:256], pid=os.getpid(), wait=WAIT)
        at = self._stage
        runs.tell(self._id, wait=WAIT, stage=at.name, stage_began=at.began, done=at.done, total=at.total)

    def _end(self, code: int) -> None:
        assert self._catalogue is not None
        assert self._id is not None
        at = self._stage
        self._catalogue.runs.end(
            self._id, code, "", wait=10 * WAIT, stage=at.name, stage_began=at.began, done=at.done, total=at.total
        )


def _without_catalogue(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Where the catalogue is that a command line names, and the words but for that: no password of a URL is kept."""
    from app.options import DEFAULT_CATALOGUE
    from describe.secrets import redacted

    where, kept, words = os.environ.get("HEADSCRIBE_CATALOG") or DEFAULT_CATALOGUE, [], iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name == "--catalog":
            where = value if equals else next(words, where)
        elif name != "--quiet":
            kept.append(redacted(word))
    return where, kept
