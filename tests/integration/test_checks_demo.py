"""On the demo model: scores from the weights go with what heads do, and heads that copy names are needed to."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from describe import pipeline
from describe.catalog import Catalogue
from describe.records import HeadId

ONLY = ("name_copying",)


@pytest.fixture(scope="module")
def catalogue(demo_catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A catalogue that holds the relation scores."""
    with Catalogue(str(shutil.copy(demo_catalogue, tmp_path_factory.mktemp("demo") / "c.db"))) as opened:
        yield opened


def test_static_scores_go_with_dynamic_ones(catalogue: Catalogue) -> None:
    result = pipeline.correlate(catalogue, "demo", only=ONLY, pairs=30, device="cpu")
    found = {(row.operation, row.side): row for row in result.correlations}
    assert {operation for operation, _ in found} == set(ONLY)
    for row in found.values():
        assert row.points == 270 * 4
        assert row.largest > 0.4
        assert row.of_source.r is not None
        assert row.in_context.r is not None
        assert row.of_source.r > 0.7
        assert 0.2 < row.in_context.r < row.of_source.r
        assert row.in_context.p is not None
        assert row.in_context.p < 1e-10
    assert pipeline.correlate(catalogue, "demo", only=ONLY, pairs=30, device="cpu").new == 0


def test_names_are_not_copied_without_the_heads_that_copy_names(catalogue: Catalogue) -> None:
    result = pipeline.ablate(catalogue, "demo", only=ONLY, prompts=40, seeds=1, controls=0, device="cpu")
    assert result.not_testable == {}
    (row,) = pipeline.ablation_rows(result.ablations)
    found = result.ablations["name_copying"]
    assert HeadId.parse(found.heads[0]) == HeadId(23, 2)
    assert row["base"] > 0.4
    assert row["targeted"] < 0.5 * row["base"]
    assert row["random"] > row["targeted"] + 0.2
