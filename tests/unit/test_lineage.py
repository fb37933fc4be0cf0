"""The same head in two models: how much of it stayed, beside other heads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.main import main
from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.records import Description, HeadId, LayerScores
from tests.headlined import INFO, NAMES, headlined
from tests.whole_catalogue import mapping

CHILD = replace(INFO, name="child", content_hash="cd" * 32)


def with_child(where: str) -> Catalogue:
    """`headlined` and a child, of which 0.0 and 0.1 changed places and 0.0 no longer suppresses."""
    catalogue = headlined(where)
    model = catalogue.register_model(CHILD)
    extraction = catalogue.begin_extraction(model, {}, {})
    swapped = {HeadId(0, 0): HeadId(0, 1), HeadId(0, 1): HeadId(0, 0)}
    for head in INFO.heads:
        catalogue.save_head(extraction, replace(mapping(swapped.get(head, head)), id=head))
    run = catalogue.relations.begin_run(model, {}, True, {})
    scored = catalogue.relations.begin_relation(run, NAMES, 10, 40, True)
    catalogue.relations.save_layer(0, {scored: LayerScores([0.0, 0.0], [0.05, 0.0], 0.1)})
    by = catalogue.register_labeller("openai:x", "p", "t", {})
    catalogue.save_description(extraction, HeadId(1, 0), by, Description("cities", "their mayor"), {})
    return catalogue


def test_each_head_has_its_counterpart(tmp_path: Path) -> None:
    with with_child(str(tmp_path / "c.db")) as catalogue:
        found = pipeline.lineage(catalogue, "m", "child")
    heads = {head.head: head for head in found.heads}
    assert [head.kept for head in found.heads] == [False, False, True, True]
    assert heads["1.1"].mapping == 1.0
    assert heads["0.0"].unrelated == 1.0, "it is its neighbour now"
    assert heads["0.0"].operations == {"name_copying": (pytest.approx(-0.8), pytest.approx(-0.05))}
    assert heads["0.0"].kinds[0] == "suppresses"
    assert heads["0.0"].kinds[1] != "suppresses"
    assert heads["1.0"].descriptions == ("their country", "their mayor")


def test_it_is_a_command_and_other_shapes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = str(tmp_path / "c.db")
    with with_child(where) as catalogue:
        other = catalogue.register_model(replace(CHILD, name="wide", n_heads=3))
        catalogue.save_head(catalogue.begin_extraction(other, {}, {}), mapping(HeadId(0, 0)))
        with pytest.raises(InputError, match="heads have no counterparts"):
            pipeline.lineage(catalogue, "m", "wide")
        with pytest.raises(InputError, match="both are the same"):
            pipeline.lineage(catalogue, "m", "m")
    assert main(["lineage", "m", "child", "--catalog", where]) == 0
    shown = capsys.readouterr().out
    assert "name_copying -0.80 to -0.05" in shown
    assert "4 heads of m in child" in shown
