"""``headscribe models --self-test``: heads that were planted are found, and no others."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.head_record import HeadRecord
from describe.pipeline.extraction.extract import extract
from describe.pipeline.operations.relations import relations
from describe.readings import PAPER
from describe.records import THRESHOLD, HeadId, OperationScores

if TYPE_CHECKING:
    from describe.inference.planted import Planted, PlantedHead

__all__ = ["Finding", "find_planted", "self_test"]


@dataclass(frozen=True)
class Finding:
    """The result for one planted operation.

    Attributes:
        planted: the head it was planted in, None where it was planted nowhere.
        suppresses: it was planted, and is looked for, in what heads push down.
        scores: relation score of every head, its suppression score where the operation ``suppresses``.
        rows: of every head's salient mappings, how many start from a source of the operation and go to its target.
        n_rows: how many salient mappings each head has.
    """

    operation: str
    kind: str
    planted: HeadId | None
    suppresses: bool
    scores: dict[HeadId, float]
    rows: dict[HeadId, int]
    n_rows: int

    @property
    def found(self) -> list[HeadId]:
        """The heads that implement the operation by their score, or that show it in half of their mappings."""
        return [head for head in self.scores if self.scores[head] >= THRESHOLD or self.rows[head] >= self.n_rows / 2]

    @property
    def strongest_other(self) -> HeadId:
        """The head that comes nearest to it besides the planted one."""
        return max((head for head in self.scores if head != self.planted), key=lambda head: self.scores[head])

    @property
    def as_planted(self) -> bool:
        """The planted head is found, by its score as by its mappings, and no other is."""
        if self.planted is None:
            return self.found == []
        by_rows = self.rows[self.planted] >= self.n_rows / 2
        return self.found == [self.planted] and self.scores[self.planted] >= THRESHOLD and by_rows


def self_test(device: str = "auto", *, reading: str = PAPER.name, **options: Any) -> list[Finding]:
    """Plant, extract, score: what was found of each operation.

    Args:
        device: as `describe.pipeline.extract` reads it.
        reading: by which heads are planted, and read.
        options: of `describe.inference.planted.planted_model`.
    """
    from describe.inference.planted import planted_model

    with tempfile.TemporaryDirectory(prefix="headscribe-self-test-") as folder:
        planted = planted_model(Path(folder) / "planted", reading=reading, **options)
        return find_planted(planted, Path(folder), device, reading)


def find_planted(model: Planted, folder: Path, device: str = "auto", reading: str = PAPER.name) -> list[Finding]:
    """Look for the planted operations in a model, with a catalogue of its own in the folder."""
    operations = folder / "operations"
    operations.mkdir()
    for head in model.operations.values():
        (operations / f"{head.name}.json").write_text(json.dumps(head.pairs, ensure_ascii=False))
    with Catalogue(str(folder / "self-test.db"), create=True) as catalogue:
        scored = relations(catalogue, str(model.path), operations=operations, reading=reading, device=device)
        extracted = extract(catalogue, str(model.path), reading=reading, device=device)
        records = list(catalogue.head_records(extracted.model, extracted.extraction_id))
    by_name = {operation.name: operation for operation in scored.operations}
    return [_finding(model, place, by_name[head.name], records) for place, head in model.operations.items()]


def _finding(model: Planted, place: HeadId, scored: OperationScores, records: list[HeadRecord]) -> Finding:
    head = model.operations[place]
    scores = scored.suppression if head.suppresses else scored.scores
    return Finding(
        operation=head.name,
        kind=head.kind,
        planted=place if place in model.heads else None,
        suppresses=head.suppresses,
        scores={HeadId(i, j): score for i, row in enumerate(scores) for j, score in enumerate(row)},
        rows={record.id: _following(record, head) for record in records},
        n_rows=len(records[0].salient),
    )


def _following(record: HeadRecord, head: PlantedHead) -> int:
    """How many of a head's salient mappings start from a source and have its target first (or lowest)."""
    targets = {f" {source}": f" {target}" for source, target in head.pairs}
    return sum(
        targets.get(row.token) == (row.suppressed if head.suppresses else row.targets)[0].token
        for row in record.salient
    )
