"""``headscribe show``, ``export``, ``search`` and ``describe --report``: what the catalogue holds of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from describe.catalog import Catalogue
from describe.catalog.terms import query_terms
from describe.errors import CatalogueError, InputError
from describe.pipeline.common import find, find_model
from describe.records import HeadId, parse_heads

__all__ = ["export", "head_record", "report", "search"]


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


def search(
    catalogue: Catalogue, query: str, *, model: str | None = None, llm: str | None = None, limit: int = 20
) -> dict[str, Any]:
    """The heads that have all words of a query, as `SearchStore.find` finds them: ``query``, ``total``, ``heads``.

    Raises `InputError` for a query without a word, and `CatalogueError` for a model that is not there.
    """
    if not query_terms(query):
        raise InputError("there is no word to search for")
    models = None if model is None else [find_model(catalogue, model)[0]]
    return {"query": query} | catalogue.search.find(query, models=models, llm=llm, limit=limit)


def report(catalogue: Catalogue, model: str) -> dict[str, list[dict[str, Any]]]:
    """The calls about a model's heads: ``summary`` by LLM and outcome, and all ``calls`` in order.

    Tokens are counted, money is in US dollars, times in seconds. Raises `CatalogueError` when the model is not there.
    """
    model_id, _ = find_model(catalogue, model)
    return {"summary": catalogue.ledger.summary(model_id), "calls": catalogue.ledger.calls(model_id)}
