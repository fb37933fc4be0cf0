"""Heads of a catalogue in the JSON form of one head, as a program that reads an export has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from describe import pipeline
from describe.catalog import Catalogue
from describe.head_record import HeadRecord
from describe.records import HeadId, ModelInfo

__all__ = ["as_json", "head_record", "head_records"]


def as_json(head: HeadRecord) -> dict[str, Any]:
    """A record as JSON gives it back."""
    read: dict[str, Any] = json.loads(json.dumps(head.to_json()))
    return read


def head_records(catalogue: Catalogue, model: ModelInfo, extraction_id: int, **only: Any) -> Iterator[dict[str, Any]]:
    """`Catalogue.head_records` in JSON."""
    return map(as_json, catalogue.head_records(model, extraction_id, **only))


def head_record(catalogue: Catalogue, model: str, head: HeadId) -> dict[str, Any]:
    """`describe.pipeline.head_record` in JSON."""
    return as_json(pipeline.head_record(catalogue, model, head))
