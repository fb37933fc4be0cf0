"""Coverage against score, in the terminal and as a picture, with the placebos in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from annotations.report.charts import drawable
from app.score_chart import save_scores
from app.score_tables import best_share, draw_curves, draw_heads_to_look_at
from describe.pipeline.score_report import _curve

OWN, WRONG = [0.6, 1.0, 0.8, 0.9], [0.4, 0.7, 0.5, 0.4]


@pytest.fixture
def row() -> dict[str, Any]:
    """Ten heads, four of them scored; five placebo heads of one kind, two of them described; none of the other."""
    placebo = {"heads": 5, "described": 2, "auroc": {"value": 0.55}, "described_heads": ["0.1", "3.2"]}
    return {
        "llm": "openai:gpt/5 <b>",
        "prompt": "salient-1",
        "measure": "detection",
        "judge": "openai:judge",
        "curve": _curve(OWN, 10, "auroc"),
        "wrong_curve": _curve(WRONG, 10, "auroc"),
        "placebos": {"shuffled": placebo, "random": None},
        "unclear_with_evidence": ["5.5"],
    }


def test_the_best_scored_share_and_none_where_fewer_have_a_score(row: dict[str, Any]) -> None:
    means = [best_share(row["curve"], share) for share in (0.1, 0.2, 0.3, 0.4, 0.5)]
    assert means == [1.0, 0.95, pytest.approx(0.9), pytest.approx(0.825), None]
    assert best_share([], 0.1) is None


def test_the_table_shows_wrong_ones_sorted_alike_and_the_heads_to_look_at(
    row: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    not_judged = row | {"judge": None, "curve": [], "wrong_curve": []}
    draw_curves([not_judged])
    assert capsys.readouterr().out == "", "nothing was judged"
    draw_curves([row])
    draw_heads_to_look_at([row])
    said = " ".join(capsys.readouterr().out.split())
    assert "10 % 20 % 30 % 40 %" in said
    assert "50 %" not in said
    assert "1.000 0.950 0.900 0.825 wrong ones 0.700 0.600 0.533 0.500" in said
    draw_curves([row | {"curve": _curve(OWN, 15, "auroc"), "wrong_curve": []}])
    assert "0.950 0.900 0.825 at 27 %" in " ".join(capsys.readouterr().out.split())
    assert "Unclear although there is evidence, openai:gpt/5 <b> (salient-1): 5.5" in said
    assert "Described though a placebo (shuffled), openai:gpt/5 <b> (salient-1): 0.1, 3.2" in said
    draw_heads_to_look_at([row | {"of": "roles"}])
    assert "placebo" not in capsys.readouterr().out, "placebos are whole heads"


@pytest.mark.skipif(not drawable(), reason="needs headscribe[plots]")
def test_the_picture_holds_both_curves_and_the_placebo_heads(row: dict[str, Any], tmp_path: Path) -> None:
    picture, table = save_scores([row, row | {"curve": []}], tmp_path / "plots")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.parent == tmp_path / "plots", "no name of an LLM makes a directory"
    points = pd.read_csv(table).groupby("of")
    assert points.size().to_dict() == {"descriptions": 4, "wrong descriptions": 4, "placebo heads (shuffled)": 1}
    placebo = points.get_group("placebo heads (shuffled)").iloc[0]
    assert (placebo["coverage"], placebo["score"]) == (0.4, 0.55)
