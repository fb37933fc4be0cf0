"""Rows of models, extractions and heads: how every part of the catalogue finds them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, bindparam, select

from describe.catalog import schema
from describe.readings import Reading, ReadingName, unnamed
from describe.records import HeadId, ModelInfo

__all__ = ["HEAD_ID", "IS_HEAD", "head_id", "heads_of", "is_called", "model_info", "newest_extractions", "place"]

# Built once, since a head is looked for with every call.
IS_HEAD = and_(
    schema.head.c.extraction_id == bindparam("of_extraction"),
    schema.head.c.layer == bindparam("of_layer"),
    schema.head.c.head == bindparam("of_head"),
)
"""The row of the head at a `place`."""

HEAD_ID = select(schema.head.c.id).where(IS_HEAD)


def place(extraction_id: int, head: HeadId) -> dict[str, int]:
    """Parameters of `IS_HEAD` and `HEAD_ID`."""
    return {"of_extraction": extraction_id, "of_layer": head.layer, "of_head": head.head}


def heads_of(extraction_id: int, layer: int | None = None, head: int | None = None) -> ColumnElement[bool]:
    """That a row of `schema.head` is one of an extraction: any, or of this layer, or this head of the layer."""
    known = {"extraction_id": extraction_id, "layer": layer, "head": head}
    return and_(*(schema.head.c[name] == value for name, value in known.items() if value is not None))


def head_id(engine: Engine, extraction_id: int, head: HeadId) -> int:
    """The id of a head that is in the catalogue."""
    with engine.connect() as connection:
        return int(connection.execute(HEAD_ID, place(extraction_id, head)).scalar_one())


def is_called(row: Row[Any], name: str) -> bool:
    """A model's row goes by this name: its own, or with ``@`` and the start of the content hash."""
    start = name.removeprefix(f"{row.name}@")
    return bool(row.name == name or (start != name and row.content_hash.startswith(start)))


def model_info(row: Row[Any]) -> ModelInfo:
    """A model from its row."""
    return ModelInfo(**{name: getattr(row, name) for name in ModelInfo.__dataclass_fields__})


def newest_extractions(
    connection: Connection, models: Collection[int] | None = None, reading: str | None = None
) -> dict[int, int]:
    """The newest extraction of each model, or of these, by a reading, placebos aside.

    No ``reading``: by the one that `unnamed` gives.
    """
    table = schema.extraction
    query = select(table.c.id, table.c.model_id, table.c.settings).where(table.c.placebo.is_(None))
    found: dict[int, dict[ReadingName, int]] = {}
    for row in connection.execute(query.order_by(table.c.id)):
        if models is None or row.model_id in models:
            of_model = found.setdefault(row.model_id, {})
            name = Reading.of(row.settings).name
            of_model.pop(name, None)  # so that the newest stands last
            of_model[name] = row.id
    wanted = {model_id: reading or unnamed(by_name) for model_id, by_name in found.items()}
    return {
        model_id: newest
        for model_id, by_name in found.items()
        for name, newest in by_name.items()
        if name == wanted[model_id]
    }
