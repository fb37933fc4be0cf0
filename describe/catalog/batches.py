"""The batches of a catalogue: which requests wait at a server, so that any process can collect them, and none twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, and_, select
from sqlalchemy.exc import IntegrityError

from describe.catalog import schema
from describe.catalog.database import begin_write
from describe.catalog.ledger import Caller, insert_call
from describe.catalog.rows import now
from describe.records import Call, HeadId

__all__ = ["RELEASED", "BatchStore", "Queued", "SavedBatch", "Waiting"]

RELEASED = "released"
"""The state of a batch that never came to the server."""


class Queued(NamedTuple):
    """A request to go into a batch; ``most`` US dollars that it can cost."""

    head: HeadId
    custom_id: str
    request_hash: str
    most: float


class Waiting(NamedTuple):
    """A request in a batch that an answer may come to, by its id in the catalogue."""

    id: int
    head: HeadId
    custom_id: str
    request_hash: str
    most: float


@dataclass(frozen=True)
class SavedBatch:
    """A batch that has not been collected to its end.

    Attributes:
        key: ours, which the server keeps with the batch.
        file_id, server_id: the server's names for the uploaded requests and the batch, as far as we heard them.
        omitted: parameters that its requests leave out.
        waiting: by custom id.
    """

    id: int
    key: str
    file_id: str | None
    server_id: str | None
    omitted: tuple[str, ...]
    created: datetime
    waiting: dict[str, Waiting]


class BatchStore:
    """Part of `describe.catalog.Catalogue`: batches from before their upload until they are collected.

    A request is in flight from ``prepare`` on, and the database sees to it that no identical one is at the same time.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def prepare(
        self, caller: Caller, task: str, key: str, omitted: Sequence[str], queued: Sequence[Queued]
    ) -> SavedBatch | None:
        """Commit a batch that is about to be uploaded, with those of the requests that are not in flight already.

        ``task``: what it is asked for, among all that the caller asks. Returns None when all are in flight.
        """
        while True:
            try:
                with begin_write(self._engine) as connection:
                    return self._prepare(connection, caller, task, key, omitted, queued)
            except IntegrityError:
                continue  # another process was quicker with one of them: look again

    def _prepare(
        self,
        connection: Connection,
        caller: Caller,
        task: str,
        key: str,
        omitted: Sequence[str],
        queued: Sequence[Queued],
    ) -> SavedBatch | None:
        table, head = schema.batch_request, schema.head
        taken = set(connection.execute(select(table.c.in_flight).where(table.c.in_flight.is_not(None))).scalars())
        free = [request for request in queued if request.request_hash not in taken]
        if not free:
            return None
        moment = now()
        row = schema.batch.insert().values(
            labeller_id=caller.labeller_id,
            extraction_id=caller.extraction_id,
            task=task,
            key=key,
            omitted=list(omitted),
            state="prepared",
            created=moment,
        )
        batch_id = int(connection.execute(row).inserted_primary_key[0])  # type: ignore[index]
        ids = {
            HeadId(row.layer, row.head): row.id
            for row in connection.execute(
                select(head.c.id, head.c.layer, head.c.head).where(head.c.extraction_id == caller.extraction_id)
            )
        }
        rows = [
            {
                "batch_id": batch_id,
                "head_id": ids[request.head._replace(role=0)],
                "role": request.head.role,
                "custom_id": request.custom_id,
                "request_hash": request.request_hash,
                "in_flight": request.request_hash,
                "most": request.most,
            }
            for request in free
        ]
        connection.execute(table.insert(), rows)
        waiting = self._waiting(connection, batch_id)
        return SavedBatch(batch_id, key, None, None, tuple(omitted), moment, waiting)

    def uploaded(self, batch_id: int, file_id: str) -> bool:
        """Commit the name of the uploaded file. False when another process has released the batch meanwhile."""
        return self._change(batch_id, file_id=file_id)

    def submitted(self, batch_id: int, server_id: str, state: str) -> bool:
        """Commit the server's name for the batch. False when another process has released the batch meanwhile."""
        return self._change(batch_id, server_id=server_id, state=state[:32])

    def finish(self, batch_id: int, state: str) -> bool:
        """Commit that nothing more is to be had of a batch: what still waits in it may be asked again."""
        table = schema.batch_request
        with begin_write(self._engine) as connection:
            connection.execute(table.update().where(table.c.batch_id == batch_id).values(in_flight=None))
            query = schema.batch.update().where(schema.batch.c.id == batch_id, schema.batch.c.finished.is_(None))
            return connection.execute(query.values(state=state[:32], finished=now())).rowcount == 1

    def enter(self, waiting: Waiting, caller: Caller, call: Call) -> bool:
        """Commit in one transaction what came of a request, as a call. False when that was done already."""
        table = schema.batch_request
        mine = and_(table.c.id == waiting.id, table.c.in_flight.is_not(None))
        with begin_write(self._engine) as connection:
            if connection.execute(table.update().where(mine).values(in_flight=None)).rowcount == 0:
                return False
            call_id = insert_call(connection, caller, waiting.head, call)
            connection.execute(table.update().where(table.c.id == waiting.id).values(call_id=call_id))
            return True

    def unfinished(self, extraction_id: int, labeller_id: int, task: str | None = None) -> list[SavedBatch]:
        """The batches of a labeller at work on an extraction that were not collected to their end, oldest first.

        ``task``: those of this task alone.
        """
        table = schema.batch
        query = (
            select(table)
            .where(table.c.extraction_id == extraction_id, table.c.labeller_id == labeller_id)
            .where(table.c.finished.is_(None))
            .order_by(table.c.id)
        )
        if task is not None:
            query = query.where(table.c.task == task)
        with self._engine.connect() as connection:
            return [
                SavedBatch(
                    row.id,
                    row.key,
                    row.file_id,
                    row.server_id,
                    tuple(row.omitted),
                    row.created,
                    self._waiting(connection, row.id),
                )
                for row in connection.execute(query).all()
            ]

    def _waiting(self, connection: Connection, batch_id: int) -> dict[str, Waiting]:
        table, head = schema.batch_request, schema.head
        asked = (table.c.id, table.c.custom_id, table.c.request_hash, table.c.most)
        columns = (*asked, head.c.layer, head.c.head, table.c.role)
        query = (
            select(*columns)
            .join(head, table.c.head_id == head.c.id)
            .where(table.c.batch_id == batch_id, table.c.in_flight.is_not(None))
            .order_by(table.c.id)
        )
        return {
            row.custom_id: Waiting(
                row.id, HeadId(row.layer, row.head, row.role), row.custom_id, row.request_hash, row.most
            )
            for row in connection.execute(query)
        }

    def _change(self, batch_id: int, **values: Any) -> bool:
        table = schema.batch
        query = table.update().where(table.c.id == batch_id, table.c.finished.is_(None)).values(**values)
        with begin_write(self._engine) as connection:
            return connection.execute(query).rowcount == 1
