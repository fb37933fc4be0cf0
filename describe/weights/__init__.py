"""A model as its head weights: find it, read only the tensors MAPS needs, one table for all families."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from describe.weights.families import FAMILIES, Family
from describe.weights.locate import Location, content_hash, locate, model_name

if TYPE_CHECKING:
    from describe.weights.model import FirstMLP, HeadWeights, LayerWeights, open_model

__all__ = [
    "FAMILIES",
    "Family",
    "FirstMLP",
    "HeadWeights",
    "LayerWeights",
    "Location",
    "content_hash",
    "locate",
    "model_name",
    "open_model",
]


def __getattr__(name: str) -> Any:
    """Load the part that needs torch only when it is used."""
    if name in {"FirstMLP", "HeadWeights", "LayerWeights", "open_model"}:
        return getattr(importlib.import_module("describe.weights.model"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
