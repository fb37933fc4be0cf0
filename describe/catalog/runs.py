"""The runs of a catalogue, from the web app or a terminal: what was asked for, how far each is, how it ended."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Engine,
    Float,
    Integer,
    Row,
    String,
    Table,
    Text,
    func,
    select,
)

from describe.catalog import schema
from describe.catalog.claims import claimed
from describe.catalog.database import begin_write
from describe.catalog.rows import aware, now, storable
from describe.catalog.transactions import LOCK_WAIT
from describe.errors import CatalogueError

__all__ = ["ACTIVE", "Run", "RunStore", "claim_of", "run_table"]

run_table = Table(
    "run",
    schema.metadata,
    Column("id", Integer, primary_key=True),
    Column("arguments", JSON, nullable=False, comment="the command line after ``headscribe``, without the catalogue"),
    Column("state", String(16), nullable=False, comment="starting, running, then done, failed, stopped or died"),
    Column("stop", Boolean, nullable=False, comment="somebody asked it to stop"),
    Column("host", String(256)),
    Column("pid", Integer),
    Column("stage", String(32), comment="what it is at, with ``done`` of ``total``"),
    Column("done", Integer),
    Column("total", Integer),
    Column("stage_began", DateTime(timezone=True)),
    Column("first_call", Integer, nullable=False, comment="calls of this run have greater ids"),
    Column("calls", Integer, nullable=False),
    Column("money", Float, nullable=False, comment="US dollars, as far as prices are known"),
    Column("exit_code", Integer),
    Column("message", Text, comment="the last lines on standard error"),
    Column("created", DateTime(timezone=True), nullable=False),
    Column("heard", DateTime(timezone=True), nullable=False, comment="when its process was last heard of"),
    Column("ended", DateTime(timezone=True)),
)

ACTIVE = ("starting", "running")
"""States of runs that have not ended; all others can be gone on with."""

LATE = timedelta(minutes=1)
"""A run whose process has not come to life after so long never will."""

LONGEST_WAIT = 600.0
"""Seconds that a run waits for the lock to say that it began, or how it ended: nobody else says it."""

_ENDS = {0: "done", 130: "stopped"}


@dataclass(frozen=True, slots=True)
class Run:
    """A command at work on the catalogue, with how far it is. Times are in UTC.

    Attributes:
        arguments: the command line after ``headscribe``: command, MODEL, options; no secret, no catalogue.
        state: ``starting``, ``running``, then ``done``, ``failed`` (exit codes 1 and 2), ``stopped`` (interrupted, on
            request), or ``died`` (killed, or its machine went down).
        stop: somebody asked it to stop.
        stage, done, total: what it is at, as `describe.pipeline.Progress` is told; None before anything was.
        first_call: the newest call in the ledger when the run began.
        calls, money: its calls to LLMs and US dollars, of all the times that it was gone on with.
        message: the last lines that it wrote on standard error.
        heard: when its process was last heard of.
    """

    id: int
    arguments: tuple[str, ...]
    state: str
    stop: bool
    host: str | None
    pid: int | None
    stage: str | None
    done: int | None
    total: int | None
    stage_began: datetime | None
    first_call: int
    calls: int
    money: float
    exit_code: int | None
    message: str | None
    created: datetime
    heard: datetime
    ended: datetime | None

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.state in ACTIVE

    def option(self, name: str) -> str | None:
        """The value of an option ``--name=value`` of its command line."""
        start = f"--{name}="
        return next((a.removeprefix(start) for a in reversed(self.arguments) if a.startswith(start)), None)

    def seconds_left(self) -> float | None:
        """How long the stage goes on at the pace it had so far; None when that cannot be told."""
        if not (self.state == "running" and self.stage_began and self.done and self.total):
            return None
        return (self.heard - self.stage_began).total_seconds() / self.done * (self.total - self.done)


def claim_of(run_id: int) -> str:
    """A run's claims, held for as long as it lives."""
    return f"run-{run_id}"


class RunStore:
    """Part of `describe.catalog.Catalogue`: what the web app starts, and what the processes say of themselves."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, arguments: list[str], *, wait: float = LOCK_WAIT) -> int:
        """The id of a new run, whose process is yet to be started."""
        first = select(func.coalesce(func.max(schema.call.c.id), 0)).scalar_subquery()
        row = {"arguments": arguments, "created": now(), "heard": now(), "first_call": first}
        begun = run_table.insert().values(**row, state="starting", stop=False, calls=0, money=0.0)
        with begin_write(self._engine, wait=wait) as connection:
            return int(connection.execute(begun).inserted_primary_key[0])  # type: ignore[index]

    def begin_again(self, run_id: int) -> bool:
        """Go on with a run that has ended. False when somebody else does so already."""
        cleared: dict[str, Any] = dict.fromkeys(
            ("host", "pid", "exit_code", "message", "ended", "stage", "done", "total", "stage_began")
        )
        return self._update(run_id, ~run_table.c.state.in_(ACTIVE), state="starting", stop=False, **cleared)

    def began(self, run_id: int, host: str, pid: int) -> None:
        """The run's process is there."""
        self._update(run_id, state="running", host=host[:256], pid=pid, wait=LONGEST_WAIT)

    def tell(self, run_id: int, **found: Any) -> bool:
        """Commit how far a run is (fields of `Run`); returns whether it is to stop."""
        self._update(run_id, **found)
        return self.find(run_id).stop

    def end(self, run_id: int, exit_code: int, message: str, *, wait: float = LONGEST_WAIT, **found: Any) -> None:
        """Commit how a run ended."""
        state = _ENDS.get(exit_code, "failed")
        told: dict[str, Any] = {
            "state": state,
            "exit_code": exit_code,
            "message": storable(message) or None,
            "ended": now(),
        }
        self._update(run_id, wait=wait, **found, **told)

    def ask_to_stop(self, run_id: int) -> None:
        """Have a run interrupted by its own process, wherever that is."""
        with begin_write(self._engine) as connection:
            connection.execute(run_table.update().where(run_table.c.id == run_id).values(stop=True))

    def find(self, run_id: int) -> Run:
        """One run. Raises `CatalogueError` when there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(select(run_table).where(run_table.c.id == run_id)).first()
        if row is None:
            raise CatalogueError(f"there is no run {run_id}")
        return _run(row)

    def newest(self, number: int) -> list[Run]:
        """The newest runs first, those that have not ended before all others."""
        table = run_table
        order = (table.c.state.in_(ACTIVE).desc(), table.c.id.desc())
        with self._engine.connect() as connection:
            return [_run(row) for row in connection.execute(select(table).order_by(*order).limit(number))]

    def bury(self, runs: Collection[Run]) -> None:
        """Mark as died the runs among these that should be alive, and whose process is gone."""
        for run in runs:
            if run.state == "running" or (run.state == "starting" and now() - run.heard > LATE):
                try:
                    with claimed(self._engine, claim_of(run.id), "it lives"):
                        self._bury(run)
                except CatalogueError:
                    continue

    def _bury(self, run: Run) -> None:
        table = run_table
        ended = table.update().where(table.c.id == run.id, table.c.state == run.state, table.c.pid == run.pid)
        with begin_write(self._engine) as connection:
            connection.execute(ended.values(state="died", ended=table.c.heard))

    def _update(self, run_id: int, *where: Any, wait: float = LOCK_WAIT, **values: Any) -> bool:
        changed = run_table.update().where(run_table.c.id == run_id, *where)
        with begin_write(self._engine, wait=wait) as connection:
            return bool(connection.execute(changed.values(heard=now(), **values)).rowcount)


def _run(row: Row[Any]) -> Run:
    values = {name: getattr(row, name) for name in Run.__dataclass_fields__}
    moments = {name: aware(value) for name, value in values.items() if isinstance(value, datetime)}
    return Run(**values | moments | {"arguments": tuple(row.arguments)})
