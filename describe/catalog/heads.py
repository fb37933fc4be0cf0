"""One head's row: how every part of the catalogue finds it. Built once, since it is looked for with every call."""

from __future__ import annotations

from sqlalchemy import Engine, and_, bindparam, select

from describe.catalog import schema
from describe.records import HeadId

__all__ = ["HEAD_ID", "IS_HEAD", "head_id", "place"]

IS_HEAD = and_(
    schema.head.c.extraction_id == bindparam("of_extraction"),
    schema.head.c.layer == bindparam("of_layer"),
    schema.head.c.head == bindparam("of_head"),
)
"""The row of the head at a `place`."""

HEAD_ID = select(schema.head.c.id).where(IS_HEAD)


def place(extraction_id: int, head: HeadId) -> dict[str, int]:
    """What `IS_HEAD` and `HEAD_ID` are to be filled in with."""
    return {"of_extraction": extraction_id, "of_layer": head.layer, "of_head": head.head}


def head_id(engine: Engine, extraction_id: int, head: HeadId) -> int:
    """The id of a head that is in the catalogue."""
    with engine.connect() as connection:
        return int(connection.execute(HEAD_ID, place(extraction_id, head)).scalar_one())
