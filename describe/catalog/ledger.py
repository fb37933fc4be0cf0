"""The ledger of a catalogue: every call to an LLM, to be paid once and to be summed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, case, func, select

from describe.catalog import schema
from describe.catalog.database import begin_write
from describe.catalog.rows import iso, now, storable
from describe.records import Call, HeadId

__all__ = ["Caller", "LedgerStore", "insert_call"]

_CALLS_OF_HEADS = (
    schema.call.join(schema.head, schema.call.c.head_id == schema.head.c.id)
    .join(schema.extraction, schema.head.c.extraction_id == schema.extraction.c.id)
    .outerjoin(schema.batch_request, schema.batch_request.c.call_id == schema.call.c.id)
    .outerjoin(schema.batch, schema.batch_request.c.batch_id == schema.batch.c.id)
)


@dataclass(frozen=True)
class Caller:
    """In whose name calls are made: a labeller at work on an extraction, by an LLM at an endpoint."""

    labeller_id: int
    extraction_id: int
    llm: str
    endpoint: str
    template_hash: str


def insert_call(connection: Connection, caller: Caller, head: HeadId | None, call: Call) -> int:
    """Enter one call as part of a transaction; returns its id."""
    fields = {name: storable(value) for name, value in asdict(call).items()} | asdict(caller)
    extraction_id = fields.pop("extraction_id")
    table = schema.head
    head_id = None
    if head is not None:
        is_head = (table.c.extraction_id == extraction_id, table.c.layer == head.layer, table.c.head == head.head)
        head_id = select(table.c.id).where(*is_head).scalar_subquery()
    row = schema.call.insert().values(head_id=head_id, created=now(), **fields)
    return int(connection.execute(row).inserted_primary_key[0])  # type: ignore[index]


class LedgerStore:
    """Part of `describe.catalog.Catalogue`: what every call to an LLM took, and what it brought."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, caller: Caller, head: HeadId | None, call: Call) -> None:
        """Commit one call."""
        with begin_write(self._engine) as connection:
            insert_call(connection, caller, head, call)

    def find(self, request_hash: str, outcomes: set[str], since: datetime | None = None) -> Call | None:
        """The newest call with this request and one of these outcomes, no older than ``since``."""
        table = schema.call
        query = select(table).where(table.c.request_hash == request_hash, table.c.outcome.in_(outcomes))
        if since is not None:
            query = query.where(table.c.created >= since)
        with self._engine.connect() as connection:
            row = connection.execute(query.order_by(table.c.id.desc()).limit(1)).first()
        return None if row is None else Call(**{name: getattr(row, name) for name in Call.__dataclass_fields__})

    def failed_since(self, extraction_id: int, labeller_id: int) -> dict[HeadId, datetime]:
        """When each head that a labeller failed on did so."""
        head, description = schema.head, schema.description
        query = (
            select(head.c.layer, head.c.head, description.c.created)
            .join(description, description.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, description.c.labeller_id == labeller_id)
            .where(description.c.failure.is_not(None))
        )
        with self._engine.connect() as connection:
            return {HeadId(row.layer, row.head): row.created for row in connection.execute(query)}

    def summary(self, model_id: int) -> list[dict[str, Any]]:
        """The calls about a model's heads, summed by LLM and outcome, those in batches apart.

        Each: llm, endpoint, outcome, batch, calls, tokens_in, tokens_out, tokens_reasoning, money (US dollars),
        calls_without_price (that used tokens of unknown price), mean_seconds.
        """
        table = schema.call
        sums = [
            func.coalesce(func.sum(table.c[name]), 0).label(name)
            for name in ("tokens_in", "tokens_out", "tokens_reasoning", "money")
        ]
        unpriced = case((table.c.money.is_(None) & table.c.tokens_in.is_not(None), 1), else_=0)
        in_batch = schema.batch.c.id.is_not(None).label("batch")
        group = (table.c.llm, table.c.endpoint, table.c.outcome, in_batch)
        query = (
            select(
                *group,
                func.count().label("calls"),
                *sums,
                func.sum(unpriced).label("calls_without_price"),
                func.avg(table.c.seconds).label("mean_seconds"),
            )
            .select_from(_CALLS_OF_HEADS)
            .where(schema.extraction.c.model_id == model_id)
            .group_by(*group)
            .order_by(*group)
        )
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def calls(self, model_id: int) -> list[dict[str, Any]]:
        """Every call about a model's heads, in the order in which they came in, with its batch at the server."""
        columns = [column for column in schema.call.c if column.name not in ("id", "labeller_id", "head_id")]
        query = (
            select(
                schema.head.c.layer,
                schema.head.c.head,
                schema.call.c.labeller_id,
                schema.batch.c.server_id.label("batch"),
                *columns,
            )
            .select_from(_CALLS_OF_HEADS)
            .where(schema.extraction.c.model_id == model_id)
            .order_by(schema.call.c.id)
        )
        with self._engine.connect() as connection:
            return [dict(row._mapping) | {"created": iso(row.created)} for row in connection.execute(query)]
