"""A model as its head weights: find it, read only the tensors MAPS needs, one table for all families."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from describe.weights.families import FAMILIES
from describe.weights.family import Family
from describe.weights.file_check import check_files, check_loadable
from describe.weights.locate import Location, content_hash, locate, model_name

if TYPE_CHECKING:
    from describe.weights.first_mlp import FirstMLP
    from describe.weights.model import HeadWeights, LayerWeights
    from describe.weights.opening import open_model

__all__ = [
    "FAMILIES",
    "Family",
    "FirstMLP",
    "HeadWeights",
    "LayerWeights",
    "Location",
    "check_files",
    "check_loadable",
    "content_hash",
    "locate",
    "model_name",
    "open_model",
]


_NEEDS_TORCH = {"FirstMLP": "first_mlp", "HeadWeights": "model", "LayerWeights": "model", "open_model": "opening"}


def __getattr__(name: str) -> Any:
    """Load the part that needs torch only when it is used."""
    if name in _NEEDS_TORCH:
        return getattr(importlib.import_module(f"describe.weights.{_NEEDS_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
