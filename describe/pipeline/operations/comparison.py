"""``headscribe compare``: operations between models, and between heads that share a value matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.pipeline.common import Progress, silent
from describe.pipeline.operations.relations import relations
from describe.records import THRESHOLD, ModelInfo, OperationScores

if TYPE_CHECKING:
    import pandas as pd

    from describe.operations.analysis import GqaBias

__all__ = ["Comparison", "compare", "comparison"]


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`; the tables are described in `describe.operations.analysis`.

    Attributes:
        heads: how many heads of each model were scored, by the names that the tables have.
    """

    models: list[ModelInfo]
    heads: dict[str, int]
    universality: pd.DataFrame
    depth: pd.DataFrame
    correlations: pd.DataFrame
    gqa: dict[str, GqaBias | None]

    @property
    def counts(self) -> pd.DataFrame:
        """A row per operation and model: how many heads implement it, and their share of the model's."""
        from describe.operations import analysis

        return analysis.counts_by_model(self.universality, self.heads)

    @property
    def counted(self) -> list[tuple[str, ...]]:
        """The counts in words, a row per operation: ``12 (4.4 %)`` for each model; and whether every model has some."""
        counts = self.counts.set_index(["operation", "model"])
        return [
            (operation, *(_counted(*counts.loc[operation, name]) for name in self.heads), "yes" if every else "")
            for operation, every in self.universality[["operation", "in_every_model"]].itertuples(index=False)
        ]

    def as_json(self) -> dict[str, Any]:
        """The result as plain data."""
        from describe.operations.analysis import plain_rows

        return {
            "models": [model.name for model in self.models],
            "universality": plain_rows(self.universality),
            "depth": plain_rows(self.depth),
            "correlations": plain_rows(self.correlations),
            "gqa_bias": {name: None if bias is None else asdict(bias) for name, bias in self.gqa.items()},
        }


def _counted(heads: float, share: float) -> str:
    import pandas as pd

    return "not valid" if pd.isna(share) else f"{heads:.0f} ({share:.1%})".replace("%", " %")


def compare(
    catalogue: Catalogue,
    models: list[str],
    *,
    operations: Path | None = None,
    threshold: float = THRESHOLD,
    reading: str = "paper",
    device: str = "auto",
    progress: Progress = silent,
) -> Comparison:
    """Compare models by the operations their heads implement; scores them first where the catalogue does not.

    Raises `InputError` when fewer than two are named, one cannot be read, or one has no valid operation.
    """
    if len(models) < 2:
        raise InputError("compare needs two models or more")
    scored = []
    for model in models:
        result = relations(catalogue, model, operations=operations, reading=reading, device=device, progress=progress)
        scored.append((result.model, result.operations))
    return comparison(scored, threshold)


def comparison(
    scored: Sequence[tuple[ModelInfo, list[OperationScores]]], threshold: float = THRESHOLD, *, gqa: bool = True
) -> Comparison:
    """Compare models by scores that are there; without ``gqa``, not whether heads that share values are more alike.

    Raises `InputError` as `compare` does.
    """
    from describe.operations import analysis

    tables: dict[str, pd.DataFrame] = {}
    for info, operations in scored:
        name = f"{info.name}@{info.content_hash[:8]}" if info.name in tables else info.name
        if name in tables:
            raise InputError(f"the model '{info.name}' is named twice")
        table = analysis.scores_table(operations)
        if table.empty:
            raise InputError(f"no operation is valid for '{info.name}': its vocabulary holds too few of their words")
        tables[name] = table
    infos = [info for info, _ in scored]
    return Comparison(
        models=infos,
        heads={name: len(table) // table["operation"].nunique() for name, table in tables.items()},
        universality=analysis.universality(tables, threshold),
        depth=analysis.depth_profile(tables, threshold),
        correlations=analysis.profile_correlations(tables, threshold),
        gqa={n: analysis.gqa_bias(info, tables[n]) for info, n in zip(infos, tables, strict=True)} if gqa else {},
    )
