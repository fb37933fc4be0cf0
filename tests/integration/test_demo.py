"""The demo model: its heads equal the literal equations, and do what a person can see they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from describe import pipeline
from describe.catalog import Catalogue
from describe.records import HeadId
from tests import oracle
from tests.demo_oracle import HEADS, LAYERS, DemoOracle


@pytest.fixture(scope="module")
def catalogue(demo: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A catalogue with all heads of demo."""
    with Catalogue(str(tmp_path_factory.mktemp("demo") / "c.db"), create=True) as opened:
        result = pipeline.extract(opened, demo, device="cpu")
        assert (result.new, len(result.heads)) == (LAYERS * HEADS, LAYERS * HEADS)
        assert pipeline.extract(opened, demo).new == 0
        yield opened


def salient(catalogue: Catalogue, head: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pipeline.head_record(catalogue, "demo", HeadId.parse(head))["salient"]
    return rows


def test_heads_equal_the_literal_equations(catalogue: Catalogue) -> None:
    literal_model = DemoOracle()
    x = literal_model.source_vectors()
    for head in ("0.0", "0.8", "7.4", "16.8", "20.8", "25.0", "29.5"):
        layer, number = HeadId.parse(head)
        literal = oracle.salient(x, literal_model.w_vo(layer, number), literal_model.embed, 40)
        rows = salient(catalogue, head)
        assert (len(rows), {len(row["targets"]) for row in rows}) == (30, {5})
        found = torch.tensor([row["token_id"] for row in rows])
        oracle.assert_same_order(found, literal.saliency)
        logits = dict(zip(literal.sources.tolist(), literal.logits, strict=True))
        for row in rows:
            values = logits[row["token_id"]]
            oracle.assert_same_order(torch.tensor([target["token_id"] for target in row["targets"]]), values)
            for target in row["targets"]:
                assert target["logit"] == pytest.approx(float(values[target["token_id"]]), rel=1e-4)


def test_25_0_maps_plural_nouns_to_them_and_these(catalogue: Catalogue) -> None:
    rows = salient(catalogue, "25.0")
    assert {" Characters", "Things", " families"} <= {row["token"] for row in rows}
    for row in rows:
        assert {"them", "these", "those"} & {target["token"].strip().lower() for target in row["targets"]}


def test_16_8_maps_past_forms_to_did_had_was(catalogue: Catalogue) -> None:
    rows = salient(catalogue, "16.8")
    assert {" arose", " spoke", " existed"} <= {row["token"] for row in rows}
    past = [row for row in rows if {" did", " had", " was"} & {target["token"] for target in row["targets"]}]
    assert len(past) >= 20


def test_20_8_has_ordinals(catalogue: Catalogue) -> None:
    rows = {row["token"]: {target["token"] for target in row["targets"]} for row in salient(catalogue, "20.8")}
    assert {" fourth", " first", " third", " fifth"} <= rows[" Eighth"]


def test_exports_hold_every_head(catalogue: Catalogue, tmp_path: Path) -> None:
    for form in ("jsonl", "csv", "parquet", "markdown", "html"):
        if form == "parquet":
            pytest.importorskip("pyarrow")
        assert pipeline.export(catalogue, "demo", form, tmp_path / form) == LAYERS * HEADS
    assert {path.name for path in tmp_path.iterdir()} == {"jsonl", "csv", "parquet", "markdown", "html"}
