"""headscribe: what every attention head of a language model does, in words. What is named here is for notebooks.

Importing this package is quick: each name is loaded when it is first used, and torch only where weights are read.
The commands are functions of `describe.pipeline`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from describe.catalog import Catalogue
    from describe.notebook import (
        Head,
        Model,
        descriptions_frame,
        head,
        heads_frame,
        load_model,
        mappings_frame,
        relation_scores,
        relations_frame,
        salient_mappings,
    )

__all__ = [
    "Catalogue",
    "Head",
    "Model",
    "descriptions_frame",
    "head",
    "heads_frame",
    "load_model",
    "mappings_frame",
    "relation_scores",
    "relations_frame",
    "salient_mappings",
]


def __getattr__(name: str) -> Any:
    """Load a name from where it is defined, when it is first used."""
    if name in __all__:
        return getattr(
            importlib.import_module("describe.catalog" if name == "Catalogue" else "describe.notebook"), name
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
