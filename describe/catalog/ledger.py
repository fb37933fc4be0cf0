"""The ledger of a catalogue: every call to an LLM, to be paid once and to be summed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Case, Column, Connection, Engine, bindparam, case, func, select

from describe.catalog import schema
from describe.catalog.heads import HEAD_ID, place
from describe.catalog.rows import bare, iso, now, storable
from describe.catalog.writes import Writes
from describe.records import LOST, SENT, Call, HeadId

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


# Statements are built once: building them anew for every call costs more than running them.
_FIELDS = [*(name for name in Call.__dataclass_fields__), "labeller_id", "llm", "endpoint", "template_hash"]
_VALUES: dict[str, Any] = {name: bindparam(f"call_{name}") for name in _FIELDS}
_INSERT = schema.call.insert().values(head_id=HEAD_ID.scalar_subquery(), created=bindparam("call_created"), **_VALUES)
_INSERT_HEADLESS = schema.call.insert().values(created=bindparam("call_created"), **_VALUES)
_COMPLETE = schema.call.update().where(schema.call.c.client_id == bindparam("sent_as")).values(**_VALUES)
_FIND = (
    select(*(schema.call.c[name] for name in Call.__dataclass_fields__))
    .where(
        schema.call.c.request_hash == bindparam("hash"),
        schema.call.c.outcome.in_(bindparam("outcomes", expanding=True)),
    )
    .order_by(schema.call.c.id.desc())
    .limit(1)
)
_FIND_SINCE = _FIND.where(schema.call.c.created >= bindparam("since", type_=schema.call.c.created.type))


def insert_call(connection: Connection, caller: Caller, head: HeadId | None, call: Call) -> int:
    """Enter one call as part of a transaction; returns its id."""
    row = {**_bound(caller, call), "call_created": now()}
    if head is None:
        done = connection.execute(_INSERT_HEADLESS, row)
    else:
        done = connection.execute(_INSERT, row | place(caller.extraction_id, head))
    return int(done.inserted_primary_key[0])  # type: ignore[index]


def _bound(caller: Caller, call: Call) -> dict[str, Any]:
    """The fields of a call as the statements take them."""
    values = {f"call_{name}": storable(getattr(call, name)) for name in Call.__dataclass_fields__}
    names = ("labeller_id", "llm", "endpoint", "template_hash")
    return values | {f"call_{name}": getattr(caller, name) for name in names}


def _counted(amount: Column[Any]) -> Case[Any]:
    """An amount that can be; null for one below zero."""
    return case((amount >= 0, amount))


class LedgerStore:
    """Part of `describe.catalog.Catalogue`: what every call to an LLM took, and what it brought."""

    def __init__(self, engine: Engine, writes: Writes) -> None:
        self._engine = engine
        self._writes = writes

    def save(self, caller: Caller, head: HeadId | None, call: Call) -> None:
        """Commit one call: when it is sent, and in the same row when there is an outcome."""

        def write(connection: Connection) -> None:
            was_sent = call.client_id is not None and call.outcome != SENT
            told = _bound(caller, call) | {"sent_as": call.client_id}
            if not (was_sent and connection.execute(_COMPLETE, told).rowcount):
                insert_call(connection, caller, head, call)

        self._writes.now(write)

    def give_up_sent(self, caller: Caller) -> None:
        """Mark as lost what earlier processes sent in the same name and did not live to see answered."""
        calls = schema.call
        heads = select(schema.head.c.id).where(schema.head.c.extraction_id == caller.extraction_id)
        sent = calls.update().where(
            calls.c.outcome == SENT, calls.c.labeller_id == caller.labeller_id, calls.c.head_id.in_(heads)
        )
        lost = sent.values(outcome=LOST, detail="the process ended while the call was under way")
        self._writes.now(lambda connection: connection.execute(lost))

    def find(self, request_hash: str, outcomes: set[str], since: datetime | None = None) -> Call | None:
        """The newest call with this request and one of these outcomes, no older than ``since``."""
        asked = {"hash": request_hash, "outcomes": list(outcomes)}
        with self._engine.connect() as connection:
            if since is None:
                row = connection.execute(_FIND, asked).first()
            else:
                row = connection.execute(_FIND_SINCE, asked | {"since": since}).first()
        return None if row is None else Call(**row._mapping)

    def hashes(self, llm: str, outcomes: set[str]) -> set[str]:
        """The requests to an LLM that came to one of these outcomes."""
        table = schema.call
        query = select(table.c.request_hash).where(table.c.llm == llm, table.c.outcome.in_(outcomes)).distinct()
        with self._engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def failed_since(self, extraction_id: int, labeller_id: int) -> dict[HeadId, datetime]:
        """When each head or role that a labeller failed on did so."""
        head, description = schema.head, schema.description
        query = (
            select(head.c.layer, head.c.head, description.c.role, description.c.created)
            .join(description, description.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, description.c.labeller_id == labeller_id)
            .where(description.c.failure.is_not(None))
        )
        with self._engine.connect() as connection:
            return {HeadId(row.layer, row.head, row.role): row.created for row in connection.execute(query)}

    def summary(self, model_id: int, template_hash: str | None = None) -> list[dict[str, Any]]:
        """The calls about a model's heads, summed by LLM and outcome, those in batches apart; all, or by one template.

        Each: llm, endpoint, outcome, batch, calls, tokens_in, tokens_out, tokens_reasoning, money (US dollars),
        calls_without_price (that used tokens of unknown price or number, or that nobody knows the outcome of),
        mean_seconds. Amounts below zero, which older catalogues took from servers as they came, are not known.
        """
        table = schema.call
        sums = [
            func.coalesce(func.sum(_counted(table.c[name])), 0).label(name)
            for name in ("tokens_in", "tokens_out", "tokens_reasoning", "money")
        ]
        used = table.c.tokens_in.is_not(None) | table.c.outcome.in_([SENT, LOST, "ok"])
        unpriced = case((_counted(table.c.money).is_(None) & used, 1), else_=0)
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
        if template_hash is not None:
            query = query.where(table.c.template_hash == template_hash)
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def since(self, call_id: int, model: str, llms: Collection[str], prompt: str | None = None) -> tuple[int, float]:
        """How many calls to these LLMs about a model's heads were entered after a call, and their US dollars.

        With ``prompt``: those that were asked with the template of this name.
        """
        table = schema.call
        query = (
            select(func.count(), func.coalesce(func.sum(_counted(table.c.money)), 0.0))
            .select_from(_CALLS_OF_HEADS.join(schema.model, schema.extraction.c.model_id == schema.model.c.id))
            .where(table.c.id > call_id, table.c.llm.in_(llms), schema.model.c.name == model)
        )
        if prompt is not None:
            asked = select(schema.labeller.c.id).where(schema.labeller.c.prompt == prompt)
            query = query.where(table.c.labeller_id.in_(asked))
        with self._engine.connect() as connection:
            calls, money = connection.execute(query).one()
        return int(calls), float(money)

    def templates(self) -> dict[str, str]:
        """The name of every prompt that a labeller asked by, by the hash of its text."""
        table = schema.labeller
        with self._engine.connect() as connection:
            rows = connection.execute(select(table.c.template_hash, table.c.prompt).distinct())
            return {row.template_hash: row.prompt for row in rows}

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
            rows = [
                bare(dict(row._mapping), ("detail", "reply", "model", "request_id"))
                for row in connection.execute(query)
            ]
        return [row | {"created": iso(row["created"])} for row in rows]
