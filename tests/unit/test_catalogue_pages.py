"""The catalogue's pages as Streamlit runs them: every text is text, pages stay small, figures are the records'."""

from __future__ import annotations

import json
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from sqlalchemy import event
from streamlit.testing.v1 import AppTest

from annotations.design import new_study
from annotations.heads import judged
from annotations.rating import RatingDesk
from annotations.storage import invite
from app.front_door.ownership import ownership
from app.serving import SCRIPT
from app.web import head_drawing, shared
from app.web.head_map import FIGURES, head_map, of_operation, span
from app.web.shared import catalogue as opened_by_the_app
from describe.catalog import Catalogue
from describe.head_record import HeadSummary
from describe.mappings import MappingRow
from describe.records import HeadId, Score
from tests.attacks import HUGE, MODEL, TEXTS, attacked_catalogue
from tests.study_samples import described_catalogue, design, rate_all
from tests.whole_catalogue import MODEL as GPT2
from tests.whole_catalogue import whole_catalogue

NAME = f"{MODEL.name}@{MODEL.content_hash[:8]}"
OURS = {
    *("a", "b", "bdi", "br", "details", "dd", "div", "dl", "dt", "h1", "h4", "i", "mark", "p", "section", "small"),
    *("span", "style", "summary", "table", "caption", "thead", "tbody", "tr", "th", "td"),
}


class Elements(HTMLParser):
    """The elements that a browser would make of HTML, and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("attacked") / "c.db"
    attacked_catalogue(where).close()
    return where


def visit(monkeypatch: pytest.MonkeyPatch, where: Path, page: str = "", **parameters: str | list[str]) -> AppTest:
    """A page as the owner's new browser tab finds it."""
    monkeypatch.setenv("HEADSCRIBE_CATALOG", str(where))
    shared.close()
    st.cache_resource.clear()
    test = AppTest.from_file(str(SCRIPT), default_timeout=60)
    test.session_state["owner"] = ownership().token
    if page:
        test.run().switch_page(page)
    for name, value in parameters.items():
        test.query_params[name] = value
    return test.run()


def bodies(test: AppTest) -> list[str]:
    assert not test.exception
    return [element.proto.body for element in test.get("html") if "<style>" not in element.proto.body]


def words(test: AppTest) -> str:
    return unescape("\n".join(bodies(test)))


def marked_up(test: AppTest) -> str:
    """What Streamlit would take for Markdown."""
    kinds = ("title", "subheader", "header", "markdown", "caption")
    shown = [element.value for kind in kinds for element in test.get(kind)]
    shown += [link.proto.label for link in test.get("page_link")] + [one.label for one in test.expander]
    return "\n".join(shown + [button.label for button in test.button])


@pytest.mark.parametrize(
    ("page", "parameters"),
    [
        ("", {}),
        ("", {"text": "<script", "outcome": ["described", "failed"]}),
        ("head_page.py", {"model": NAME, "head": "0.0"}),
        ("head_page.py", {"model": NAME, "head": "1.2"}),
        ("search_page.py", {"q": "window script"}),
        ("search_page.py", {"q": "huge"}),
        ("search_page.py", {"q": '"'}),
    ],
)
def test_every_text_is_text_and_pages_stay_small(
    attacked: Path, monkeypatch: pytest.MonkeyPatch, page: str, parameters: dict[str, Any]
) -> None:
    test = visit(monkeypatch, attacked, page, **parameters)
    html = "\n".join(bodies(test))
    found = Elements(html)
    assert found.names <= OURS
    assert not {name for name in found.attributes if name.startswith("on")} | ({"href", "src"} & found.attributes)
    assert not any(char in html for char in "\u202e\u200b\x1b\ud800\u2028\x00")
    assert "window.attacked" not in marked_up(test)
    assert not any(text in marked_up(test) for text in TEXTS if len(text) > 3)
    assert len(html) < 400_000
    if page:
        assert "window.attacked" in html, "the attacks are there"


def test_what_is_cut_says_so_and_is_whole_in_the_download(attacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = visit(monkeypatch, attacked, "head_page.py", model=NAME, head="1.2")
    assert f"{len(HUGE):,} characters" in words(test)
    with Catalogue(str(attacked)) as catalogue:
        record = next(catalogue.head_records(MODEL, 1, only=HeadId(1, 2)))
    assert record.salient[0].token == json.loads(json.dumps(record.to_json()))["salient"][0]["token"] == HUGE


def test_the_head_page_has_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with described_catalogue(tmp_path / "c.db") as catalogue:
        none: dict[str, Any] = dict.fromkeys(("swap_easy", "swap_hard", "shuffled", "catch", "repeats"), 0.0)
        study = new_study(catalogue, design(heads="0.1,0.2", sources=("statistics",), distance=0, **none))
        rate_all(RatingDesk(catalogue), invite(catalogue, study)[0].rater.id)
        (said,) = judged(catalogue, "m", HeadId(0, 1))
        assert (said["source"], said["fit"]["fits"], sum(said["fit"].values())) == ("statistics", 1, 1)
        judge = catalogue.register_labeller("openai:judge", "j", "t", {})
        with catalogue.engine.connect() as connection:
            told = (
                connection.exec_driver_sql("SELECT id FROM description WHERE head_id = 2 ORDER BY id").scalars().all()
            )
        score = Score("detection", 0.75, 0.6, 0.9, None, 60)
        catalogue.scores.save(told[0], judge, score, {}, {})
    test = visit(monkeypatch, tmp_path / "c.db", "head_page.py", model="m@abababab", head="0.1")
    shown = words(test)
    for part in (
        "openai:judge",
        "0.75",
        "0.60 to 0.90",
        "not run",
        "Not scored yet.",
        "Raters: 1 fits.",
        " s1-0".strip(),
    ):
        assert part in shown, part
    assert [button.label for button in test.button][:2] == ["Previous head, 0.0", "Next head, 0.2"]
    assert "R01" not in shown


def test_roles_are_named_where_they_are_described_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = tmp_path / "c.db"
    whole_catalogue(where, (GPT2,)).close()
    test = visit(monkeypatch, where, "head_page.py", model=f"{GPT2.name}@{GPT2.content_hash[:8]}", head="1.1")
    (cards, table, *_) = bodies(test)[1:]
    assert cards.count("hs-role") == 1
    assert '<b class="hs-role">role 2</b>' in cards
    assert [line.split("</b>")[0] for line in table.split("<td ><b>")[1:]] == ["1", "2"]
    assert "suppresses" in table
    (link,) = test.get("link_button")
    assert link.proto.url == "https://www.neuronpedia.org/gpt2-small/head/1/1"
    found = bodies(visit(monkeypatch, where, "search_page.py", q="odd halves"))
    assert len(found) == 2
    assert all('<b class="hs-role">role 2</b>' in body for body in found)
    whole = bodies(visit(monkeypatch, where, "search_page.py", q="number after"))
    assert len(whole) == 4
    assert not any("hs-role" in body for body in whole)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({}, "Which head?"),
        ({"model": "nope", "head": "0.0"}, "holds no model 'nope'"),
        ({"model": "m", "head": "x"}, "'x' is not a head"),
        ({"model": "m", "head": "99999999999999999999.0"}, "is not a head"),
        ({"model": "m", "head": "٣.0"}, "'٣.0' is not a head"),
        ({"model": "m", "head": "-1.0"}, "'-1.0' is not a head"),
        ({"model": "m", "head": "99.0"}, "Head 99.0 of this model is not in the catalogue."),
        ({"model": "m@ffff", "head": "0.0"}, "holds no model"),
    ],
)
def test_a_wrong_address_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameters: dict[str, str], told: str
) -> None:
    described_catalogue(tmp_path / "c.db", 1, 2).close()
    assert told in words(visit(monkeypatch, tmp_path / "c.db", "head_page.py", **parameters))


@pytest.mark.parametrize("page", ["", "search_page.py"])
def test_an_empty_catalogue_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    Catalogue(str(tmp_path / "c.db"), create=True).close()
    assert "headscribe extract demo" in words(visit(monkeypatch, tmp_path / "c.db", page))


def test_the_map_reads_no_mappings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described_catalogue(tmp_path / "c.db").close()
    test = visit(monkeypatch, tmp_path / "c.db")
    statements: list[str] = []
    event.listen(opened_by_the_app().engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    assert not test.run().exception
    assert statements
    assert not [statement for statement in statements if "salient" in statement or "suppressed" in statement]


def test_overviews_are_those_of_the_records(tmp_path: Path) -> None:
    with described_catalogue(tmp_path / "c.db", 3, 4) as catalogue:
        judge = catalogue.register_labeller("judge", "j", "t", {})
        for told in range(1, 20, 2):
            for measure, value in (("likelihood", told / 10), ("detection", told / 20), ("detection", None)):
                score = Score(measure, value, wrong=0.5, failure=None if value else "timeout")  # type: ignore[arg-type]
                catalogue.scores.save(told, judge, score, {"failed": value is None}, {})
        records = list(catalogue.head_records(catalogue.models()[0], 1))
        for llm in (None, "openai:x", "statistics"):
            for row, record in zip(catalogue.browse.heads(1, llm=llm), records, strict=True):
                told_by = [one for one in record.descriptions if llm in (None, one.llm)]
                usable = [one for one in told_by if one.failure is None]
                best_state = [one for one in usable if not one.unclear] or usable or told_by
                best = max(reversed(best_state), key=lambda one: one.headline.rank if one.headline else (-9.0,))
                state = "failed" if best.failure else "unclear" if best.unclear else "described"
                assert (row.state, row.pattern, row.llm) == (state, best.pattern, best.llm)
                assert row.score == (best.headline.value if best.headline else None)
        (overview,) = catalogue.browse.models()
        assert (overview["heads"], overview["described"], overview["describers"]) == (12, 12, 2)
        counts = {one["llm"]: one for one in catalogue.browse.describers(1)}
        assert counts["openai:x"] == {"llm": "openai:x", "described": 8, "unclear": 3, "failed": 1}


def test_maps_side_by_side_have_one_scale() -> None:
    nothing = dict.fromkeys(
        ("saliency", "llm", "role", "inputs", "pattern", "failure", "headline", "evidence", "effect")
    )
    rows = [HeadSummary(0, n, state="none", **nothing) for n in range(3)]
    figure = of_operation("copying", "score", {HeadId(0, 1): {"score": 0.5, "suppression": 0.0}})
    assert [figure.value(row) for row in rows] == [None, 0.5, None]
    assert span(figure, [rows]) == (0.0, 0.5)
    assert span(FIGURES[0], [rows]) == (0.0, 1.0)
    drawn = head_map(rows, figure, (0.0, 2.0), (1, 3)).to_dict()
    assert drawn["params"][0]["name"] == "head"
    assert drawn["encoding"]["color"]["scale"]["domain"] == [0.0, 2.0]
    outcome = head_map(rows, FIGURES[1], (0.0, 1.0), (1, 3)).to_dict()
    assert "failed" in outcome["encoding"]["color"]["scale"]["domain"]


def test_a_long_table_is_cut_with_a_note() -> None:
    drawn = head_drawing.mapping([MappingRow(1, "x" * 100, 1.0, (), ())] * 150, "Rows")
    assert drawn.count("<tr>") == 101
    assert "150 rows in all" in drawn
    assert "… 100 characters" in drawn
