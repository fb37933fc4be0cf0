"""``headscribe show``, ``export`` and ``describe --report``: what the catalogue holds of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from describe.catalog import Catalogue
from describe.errors import CatalogueError
from describe.pipeline.common import find, find_model
from describe.records import HeadId, parse_heads

__all__ = ["export", "head_record", "report"]


def head_record(catalogue: Catalogue, model: str, head: HeadId) -> dict[str, Any]:
    """Everything known of one head, in the JSON form of one head. Raises `InputError` when it is not there."""
    info, extraction_id = find(catalogue, model)
    parse_heads(str(head), info.n_layers, info.n_heads)
    record = next(catalogue.head_records(info, extraction_id, only=head), None)
    if record is None:
        raise CatalogueError(f"head {head} of {info.name} is not in the catalogue yet: run headscribe extract {model}")
    return record


def export(catalogue: Catalogue, model: str, form: str, path: Path) -> int:
    """Write a model's heads to a file in one of the formats of `describe.catalog.export`. Returns how many."""
    from describe.catalog.export import export as write

    info, extraction_id = find(catalogue, model)
    return write(info, catalogue.head_records(info, extraction_id), form, path)


def report(catalogue: Catalogue, model: str) -> dict[str, list[dict[str, Any]]]:
    """The calls about a model's heads: ``summary`` by LLM and outcome, and all ``calls`` in order.

    Tokens are counted, money is in US dollars, times in seconds. Raises `CatalogueError` when the model is not there.
    """
    model_id, _ = find_model(catalogue, model)
    return {"summary": catalogue.ledger.summary(model_id), "calls": catalogue.ledger.calls(model_id)}
