"""Settings of the paper's experiments on a model, and the tables that they come to, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.check_records import Ablation
from describe.pipeline.common import Progress, silent
from describe.records import OperationScores

if TYPE_CHECKING:
    from describe.llm import LLM, Request
    from describe.pipeline.operations.comparison import Comparison

__all__ = ["Cell", "Findings", "Subject", "Table"]

Cell = str | int | float | None


@dataclass(frozen=True)
class Subject:
    """A model to run the experiments on, and how.

    Attributes:
        operations: a directory of operations; by default the 20 that headscribe brings.
        tasks: a file of tasks for ablation; by default ours.
        reading: by which static scores are computed.
        dtype: the precision the model runs in.
        llm, request: who describes heads, and how it is asked.
        placebos: placebo heads of each kind that are described too.
    """

    catalogue: Catalogue
    model: str
    llm: LLM
    request: Request
    operations: Path | None = None
    tasks: Path | None = None
    reading: str = "paper"
    device: str = "auto"
    dtype: str = "float32"
    placebos: int = 30
    progress: Progress = silent


@dataclass(frozen=True)
class Table:
    """A table of results: each of ``rows`` has a cell for each of ``columns``; None is nothing.

    Attributes:
        name: of its files; ``title``: for readers.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def as_dicts(self) -> list[dict[str, Cell]]:
        """A row each, by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Findings:
    """Results of one experiment.

    Attributes:
        figures: by the name that a published figure has, ours.
        missing: what cannot be had of this model, and why.
        scores, ablations, comparison: what pictures are drawn of.
    """

    experiment: str
    title: str
    tables: tuple[Table, ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    scores: tuple[OperationScores, ...] = ()
    ablations: Mapping[str, Ablation] = field(default_factory=dict)
    comparison: Comparison | None = None
