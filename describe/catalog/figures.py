"""The figures of a catalogue's heads: how much of their mappings relates or copies words, beside random heads."""

from __future__ import annotations

from dataclasses import astuple

from sqlalchemy import JSON, Column, DateTime, Engine, ForeignKey, Integer, String, Table, UniqueConstraint

from describe.catalog import schema
from describe.catalog.findings import FindingStore
from describe.figures import PARTS, FigurePart, HeadFigure
from describe.head_record import Json

__all__ = ["FigureStore", "head_figure", "pack_figure", "unpack_figure"]

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


class FigureStore(FindingStore[HeadFigure]):
    """Part of `describe.catalog.Catalogue`: the figures of heads, those of a model found together."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, head_figure, pack_figure, unpack_figure)
