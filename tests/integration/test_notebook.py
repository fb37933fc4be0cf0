"""What notebooks use, on the demo model; and the notebook of the documentation runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import describe
from describe import pipeline
from describe.errors import InputError
from describe.records import HeadId
from tests import attacks
from tests.conftest import need
from tests.whole_catalogue import MODEL, OTHER, whole_catalogue

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def test_the_notebook_runs(demo: str, tmp_path: Path) -> None:
    """All cells but those tagged ``long``, which run with HEADSCRIBE_SOAK=1 only."""
    try:
        import nbformat
        from nbclient import NotebookClient
    except ImportError:
        need(False, "nbclient and ipykernel: pip install 'headscribe[test]'")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if os.environ.get("HEADSCRIBE_SOAK") != "1":
        notebook.cells = [cell for cell in notebook.cells if "long" not in cell.metadata.get("tags", ())]
    client: Any = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type in ("error", "stream")]
    html = "".join(output.data.get("text/html", "") for output in outputs)
    assert "noun_to_pronoun" not in html, "only the operation that was asked for is scored"
    assert "country_to_capital" in html
    assert html.count("<b>demo 25.0</b>") == 2


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with whole_catalogue(tmp_path_factory.mktemp("whole") / "whole.db") as opened:
        yield opened


def test_frames_have_a_row_for_each(catalogue: describe.Catalogue) -> None:
    heads = describe.heads_frame(catalogue)
    assert len(heads) == len(MODEL.heads) + len(OTHER.heads)
    first = heads.iloc[0]
    assert (first["model"], first["state"], first["pattern"]) == (MODEL.name, "described", "the number after 0.0")
    assert first["implements"] == "copying 0.50"
    told = describe.descriptions_frame(catalogue, MODEL.name)
    told = told[told["role"].isna()]
    assert len(told) == 2 * len(MODEL.heads)
    assert list(told["state"]) == [
        "described",
        "failed",
        "described",
        "described",
        "described",
        "failed",
        "described",
        "unclear",
    ]
    scored = told[told["score"].notna()].iloc[0]
    assert (scored["measure"], scored["judge"], scored["wrong"]) == ("detection", "a:judge", 0.5)
    mappings = describe.mappings_frame(catalogue, MODEL.name, "0.1")
    assert len(mappings) == 3 * 2 * 2
    assert set(mappings["way"]) == {"promotes", "suppresses"}
    relations = describe.relations_frame(catalogue, MODEL.name)
    assert list(relations["operation"]) == ["copying"] * len(MODEL.heads)
    assert relations["with_context"].iloc[0] == 6 / 80
    empty = describe.descriptions_frame(catalogue, MODEL.name).query("llm == 'nobody'")
    assert list(empty.columns) == list(told.columns)


def test_a_head_draws_itself(catalogue: describe.Catalogue) -> None:
    head = describe.head(catalogue, MODEL.name, "0.0")
    assert isinstance(head, describe.Head)
    assert head.id == HeadId(0, 0)
    page = head._repr_html_()
    assert "detection by a:judge: <b>0.50</b> (0.40 to 0.60); a wrong description: 0.50" in page
    assert "https://www.neuronpedia.org/gpt2-small/head/0/0" in page
    assert "failed, refusal" in page
    assert len(head.frame()) == 12
    assert repr(head) == f'<Head 0.0 of {MODEL.name}: " t0", " t1", " t2", ...>'
    with pytest.raises(InputError, match="not in the model"):
        describe.head(catalogue, MODEL.name, "9.0")


def test_hostile_heads_stay_text(tmp_path: Path) -> None:
    from html.parser import HTMLParser

    allowed = {"div", "b", "p", "i", "br", "table", "thead", "tbody", "tr", "th", "td", "code", "ul", "li", "small"}

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag in allowed
            assert {name for name, _ in attrs} <= {"class", "style"}

        def handle_comment(self, data: str) -> None:
            raise AssertionError(data)

    with attacks.attacked_catalogue(tmp_path / "a.db") as catalogue:
        for record in catalogue.head_records(attacks.MODEL, 1):
            page = describe.Head(record)._repr_html_()
            Tags().feed(page)
            assert len(page) < 300_000, "long texts are cut"
            assert page.isprintable()
            assert repr(describe.Head(record)).isprintable()
        assert len(describe.heads_frame(catalogue)) == len(attacks.MODEL.heads)


def test_a_model_reads_a_layer_once(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = describe.load_model(str(tiny_llama))
    found = describe.salient_mappings(model, 1, 2)
    assert (found.id, found.record.descriptions) == (HeadId(1, 2), ())
    monkeypatch.setattr("describe.weights.open_model", None)
    again = describe.salient_mappings(model, 1, 3)
    assert again.record.salient
    with pytest.raises(InputError, match="not in the model"):
        describe.salient_mappings(model, 3, 0)
    record = pipeline.head_record(model.catalogue, model.info.name, HeadId(1, 2))
    assert found.record == record


def test_relation_scores_name_operations(tiny_llama: Path) -> None:
    model = describe.load_model(str(tiny_llama))
    with pytest.raises(InputError, match=r"no operation 'flying': there are .*copying"):
        describe.relation_scores(model, ["flying"])


def test_the_names_are_there_and_no_others() -> None:
    assert describe.__all__ == sorted(describe.__all__)
    assert set(describe.__all__) <= set(dir(describe))
    for name in describe.__all__:
        assert getattr(describe, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = describe.nothing
