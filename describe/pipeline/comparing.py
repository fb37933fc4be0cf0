"""``headscribe compare``: operations between models, and between heads that share a value matrix."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.pipeline.common import Progress, silent
from describe.pipeline.relating import relations
from describe.records import THRESHOLD, ModelInfo

if TYPE_CHECKING:
    import pandas as pd

    from describe.operations.analysis import GqaBias

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """What `compare` finds; the tables are described in `describe.operations.analysis`."""

    models: list[ModelInfo]
    universality: pd.DataFrame
    depth: pd.DataFrame
    correlations: pd.DataFrame
    gqa: dict[str, GqaBias | None]

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "models": [model.name for model in self.models],
            "universality": _plain(self.universality),
            "depth": _plain(self.depth),
            "correlations": _plain(self.correlations),
            "gqa_bias": {name: None if bias is None else asdict(bias) for name, bias in self.gqa.items()},
        }


def compare(
    catalogue: Catalogue,
    models: list[str],
    *,
    operations: Path | None = None,
    threshold: float = THRESHOLD,
    device: str = "auto",
    progress: Progress = silent,
) -> Comparison:
    """Compare models by the operations their heads implement; scores them first where they are not in the catalogue.

    Raises `InputError` when fewer than two are named, one cannot be read, or one has no valid operation.
    """
    from describe.operations import analysis

    if len(models) < 2:
        raise InputError("compare needs two models or more")
    infos, tables = [], {}
    for model in models:
        result = relations(catalogue, model, operations=operations, device=device, progress=progress)
        name = result.model.name
        if name in tables:
            name = f"{name}@{result.model.content_hash[:8]}"
        if name in tables:
            raise InputError(f"the model '{model}' is named twice")
        table = analysis.scores_table(result.operations)
        if table.empty:
            raise InputError(f"no operation is valid for '{model}': its vocabulary holds too few of their words")
        infos.append(result.model)
        tables[name] = table
    return Comparison(
        models=infos,
        universality=analysis.universality(tables, threshold),
        depth=analysis.depth_profile(tables, threshold),
        correlations=analysis.profile_correlations(tables, threshold),
        gqa={name: analysis.gqa_bias(info, tables[name]) for info, name in zip(infos, tables, strict=True)},
    )


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of plain values; what is missing is None."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in rows
    ]
