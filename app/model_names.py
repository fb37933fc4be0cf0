"""Models and heads as the addresses of pages have them: ``NAME@HASH8``, the name and the start of the content hash."""

from __future__ import annotations

from urllib.parse import urlencode

from describe.readings import READING_NAMES
from describe.records import HeadId, ModelInfo

__all__ = ["head_link", "model_address", "model_link", "split_address"]


def model_address(model: ModelInfo) -> str:
    """How a model is written in the address of a page."""
    return f"{model.name}@{model.content_hash[:8]}"


def split_address(written: str) -> tuple[str, str | None]:
    """The model of an address, and the reading that it names, if it does: ``demo@0123abcd:paper``."""
    model, _, reading = written.rpartition(":")
    return (model, reading) if reading in READING_NAMES else (written, None)


def model_link(address: str, **view: str) -> str:
    """The way to the map of a model, from any page: ``view`` as the page's address has it."""
    return "./?" + urlencode({"model": address, **view})


def head_link(address: str, head: HeadId) -> str:
    """The permanent address of a head, from any page."""
    return "head?" + urlencode({"model": address, "head": str(head)})
