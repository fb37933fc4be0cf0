"""The figures of a catalogue's heads: how much of their mappings relates or copies words, beside random heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from typing import NamedTuple

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
    select,
)

from describe.catalog import schema
from describe.catalog.database import begin_write
from describe.catalog.rows import json_hash, now
from describe.figures import PARTS, FigurePart, HeadFigure
from describe.head_record import Json
from describe.records import HeadId

__all__ = ["FigureStore", "Found", "head_figure", "pack_figure", "unpack_figure"]

head_figure = Table(
    "head_figure",
    schema.metadata,
    Column("id", Integer, primary_key=True),
    Column("head_id", ForeignKey("head.id"), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("found", JSON, nullable=False, comment="{order, random, random_above, parts: values of `FigurePart` each}"),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("head_id", "settings_hash"),
)


def pack_figure(figure: HeadFigure) -> Json:
    """A figure as the column ``found`` has it."""
    parts = {name: list(astuple(getattr(figure, name))) for name in PARTS}
    return {"order": figure.order, "random": figure.random, "random_above": figure.random_above, "parts": parts}


def unpack_figure(found: Json) -> HeadFigure:
    """A figure again."""
    parts = {name: FigurePart(*values) for name, values in found["parts"].items()}
    return HeadFigure(found["order"], found["random"], found["random_above"], **parts)


class Found(NamedTuple):
    """A figure, and the settings that it was found with."""

    figure: HeadFigure
    settings: Json


class FigureStore:
    """Part of `describe.catalog.Catalogue`: the figures of heads, those of a model found together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, extraction_id: int, figures: Mapping[HeadId, HeadFigure], settings: Json) -> None:
        """Commit the figures of all heads of an extraction at once; those under the same settings stay as they are."""
        head, digest = schema.head, json_hash(settings)
        with begin_write(self._engine) as connection:
            of_extraction = head.c.extraction_id == extraction_id
            heads = connection.execute(select(head.c.id, head.c.layer, head.c.head).where(of_extraction))
            ids = {HeadId(row.layer, row.head): row.id for row in heads}
            same = select(head_figure.c.head_id).join(head, head_figure.c.head_id == head.c.id)
            same = same.where(of_extraction, head_figure.c.settings_hash == digest)
            there = set(connection.execute(same).scalars())
            rows = [
                {"head_id": ids[place], "settings": settings, "settings_hash": digest, "created": now()}
                | {"found": pack_figure(figure)}
                for place, figure in figures.items()
                if ids[place] not in there
            ]
            if rows:
                connection.execute(head_figure.insert(), rows)

    def of_extraction(self, extraction_id: int, settings: Json | None = None) -> dict[HeadId, HeadFigure]:
        """The newest figure of each head, or that under these settings; none of heads that have none."""
        head = schema.head
        query = (
            select(head.c.layer, head.c.head, head_figure.c.found)
            .join(head, head_figure.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id)
            .order_by(head_figure.c.id)
        )
        if settings is not None:
            query = query.where(head_figure.c.settings_hash == json_hash(settings))
        with self._engine.connect() as connection:
            return {HeadId(row.layer, row.head): unpack_figure(row.found) for row in connection.execute(query)}

    def of_layer(self, connection: Connection, extraction_id: int, layer: int) -> dict[int, Found]:
        """The newest figure of each head of a layer, by the head's id."""
        head = schema.head
        query = (
            select(head_figure.c.head_id, head_figure.c.found, head_figure.c.settings)
            .join(head, head_figure.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, head.c.layer == layer)
            .order_by(head_figure.c.id)
        )
        return {row.head_id: Found(unpack_figure(row.found), row.settings) for row in connection.execute(query)}
