"""Attention heads that published work has named, to see which of them the relation scores find."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

from describe.records import HeadId, ModelInfo

__all__ = ["KnownHead", "known_heads"]


@dataclass(frozen=True)
class KnownHead:
    """A head with the role a paper gave it, and the operation that should show it: promoted or suppressed."""

    head: HeadId
    role: str
    operation: str
    suppression: bool
    citation: str


def known_heads(model: ModelInfo) -> list[KnownHead]:
    """The named heads of a model, known by its family and shape; none for most models."""
    text = (resources.files("describe.operations") / "known_heads.json").read_text(encoding="utf-8")
    return [
        KnownHead(HeadId.parse(head), group["role"], group["operation"], group["suppression"], group["citation"])
        for entry in json.loads(text)
        if all(getattr(model, name) == value for name, value in entry["match"].items())
        for group in entry["groups"]
        for head in group["heads"]
    ]
