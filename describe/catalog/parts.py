"""Parts of heads that the catalogue keeps by layers and models, put together of what records say of single heads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from describe.head_record import RelationRecord
from describe.head_record.relations import DynamicRecord

__all__ = ["Parts", "hits_of", "scores_of"]

Row = dict[str, Any]


class Parts:
    """Values stored by layers of heads, until every head has brought its part."""

    def __init__(self, name: str, n_heads: int, n_layers: int = 1) -> None:
        self.name = name
        self._parts: dict[tuple[int, int], Any] = {}
        self._n_heads, self._wanted = n_heads, n_heads * n_layers

    def put(self, place: tuple[int, int], part: Any) -> None:
        """A head's part, by layer and head."""
        self._parts[place] = part

    def heads(self) -> Iterator[tuple[int, Any]]:
        """Values by head, of a single layer."""
        return ((head, part) for (_, head), part in self._parts.items())

    @property
    def complete(self) -> bool:
        """Every head has brought its part."""
        return len(self._parts) == self._wanted

    def rows(self, n_layers: int) -> list[list[Any]]:
        """All parts, by layer and head."""
        return [[self._parts[layer, head] for head in range(self._n_heads)] for layer in range(n_layers)]


def scores_of(relation: RelationRecord) -> tuple[float, float]:
    return relation.score, relation.suppression


def hits_of(rows: list[list[DynamicRecord]], n_templates: int) -> Row:
    """The counts of all heads as `describe.check_records.DynamicHits` has them: by template, then by layer and head."""
    return {
        kind: [
            {
                side: [[getattr(getattr(head, kind), side)[t] for head in row] for row in rows]
                for side in ("promoted", "suppressed")
            }
            for t in range(n_templates)
        ]
        for kind in ("in_context", "of_source")
    }
