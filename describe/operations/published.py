"""Figures that the paper (MAPS) prints of its six models and its 20 operations, to be held against."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from describe.records import ModelInfo

__all__ = ["Published", "Removal", "published", "published_models", "published_pairs", "published_source"]


@dataclass(frozen=True)
class Removal:
    """Accuracy on the capitals before (where printed) and after so many heads are removed."""

    heads: int
    after: float
    before: float | None = None


@dataclass(frozen=True)
class Published:
    """Printed figures of a model; None where there is none.

    Attributes:
        name, hub: the model, and its id at the hub.
        match: the fields of `ModelInfo` that it is known by.
        relation, suppression, multi_token: median r over the operations, ``without`` and ``with`` context.
    """

    name: str
    hub: str
    match: dict[str, str | int]
    relation: dict[str, float] = field(default_factory=dict)
    suppression: dict[str, float] = field(default_factory=dict)
    multi_token: dict[str, float] = field(default_factory=dict)
    capitals: Removal | None = None


@dataclass(frozen=True)
class _File:
    source: str
    pairs: dict[str, int]
    models: tuple[Published, ...]


@cache
def _file() -> _File:
    content = json.loads((resources.files("describe.operations") / "published.json").read_text(encoding="utf-8"))
    models = [
        Published(**(entry | ({"capitals": Removal(**entry["capitals"])} if "capitals" in entry else {})))
        for entry in content["models"]
    ]
    return _File(content["source"], content["pairs"], tuple(models))


def published_source() -> str:
    """The citation."""
    return _file().source


def published_pairs() -> dict[str, int]:
    """How many pairs each operation has in the paper's data."""
    return dict(_file().pairs)


def published_models() -> tuple[Published, ...]:
    """The six models."""
    return _file().models


def published(model: ModelInfo) -> Published | None:
    """The printed figures of a model, known by its family and shape; None for most models."""
    return next(
        (found for found in _file().models if all(getattr(model, n) == value for n, value in found.match.items())), None
    )
