"""Every family of the table is what ``transformers`` computes: head by head, E, U and the first MLP, and it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from describe.weights import FAMILIES, HeadWeights, open_model
from tests import families, oracle
from tests.unit.test_weights import assert_equals_modules

IDS = [f"{model_type}{i or ''}" for i, (model_type, _) in enumerate(families.CASES)]


@pytest.mark.parametrize(("model_type", "changes"), families.CASES, ids=IDS)
def test_weights_equal_the_modules(model_type: str, changes: dict[str, Any], tmp_path: Path) -> None:
    model = families.family_model(model_type, **changes)
    weights = open_model(str(families.saved(model, tmp_path / "tiny", model_type)))
    assert_equals_modules(weights, model, tolerance=3e-4)
