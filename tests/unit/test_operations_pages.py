"""The pages of operations, checks and runs as Streamlit runs them, without a browser; what they offer to download."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import charts
from app.front_door.ownership import ownership
from app.runs import go_on
from app.serving import SCRIPT
from app.web import plots, shared
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.operations import analysis
from describe.pipeline import known_checks, known_relations
from describe.providers import PROVIDERS
from tests.attacks import HTML, TEXTS, attacked_catalogue
from tests.check_samples import NAMES, add_checks, add_model, checked_catalogue
from tests.conftest import need
from tests.unit.test_catalogue import INFO
from tests.unit.test_web_app import press, words

PAGES = ("operations_page.py", "checks_page.py", "runs_page.py")


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HEADSCRIBE_CATALOG", str(tmp_path / "catalogue.db"))
    yield tmp_path / "catalogue.db"
    shared.close()
    st.cache_resource.clear()


@pytest.fixture
def catalogue(where: Path) -> Iterator[Catalogue]:
    with checked_catalogue(where) as opened:
        yield opened


def owner(file: str, **query: str) -> AppTest:
    test = AppTest.from_file(str(SCRIPT), default_timeout=30)
    test.session_state["owner"] = ownership().token
    test.run().switch_page(file)
    for name, value in query.items():
        test.query_params[name] = value
    return test.run()


def html(test: AppTest) -> str:
    return "\n".join(element.proto.body for element in test.get("html") if "<style>" not in element.proto.body)


def links(test: AppTest) -> list[str]:
    return [element.proto.query_string for element in test.get("page_link")]


# -- operations ------------------------------------------------------------------------------------------------------


def test_operations_are_listed_with_their_heads(catalogue: Catalogue) -> None:
    test = owner("operations_page.py")
    shown = words(test)
    assert "2.2 (0.80)" in shown
    assert "2.0 (0.60)" in shown
    assert "not valid for this model: under 30 pairs" in shown
    assert 'href="head?model=m%40abababab&amp;head=3.3"' in html(test)
    assert "To compare models, score the operations of another one" in shown
    assert "3 of 3 operations are implemented by a head: 3 of 24 heads do" in shown
    assert re.search(r"most strongly (1\.1|2\.2|3\.3), which implements [a-z ]+ \(0\.80\)", shown)
    assert 'href="./?model=m%40abababab" target="_self">m</a>' in html(test), "the page names its model"
    assert 'href="operations?model=m%40abababab&amp;operation=name_copying"' in html(test)
    threshold = next(field for field in test.number_input if field.label.startswith("A head implements"))
    threshold.set_value(0.9).run()
    assert {row.split("</td>")[3][-1] for row in html(test).split("<tr>")[2:5]} == {"0"}


def test_models_are_compared_by_what_the_catalogue_holds(catalogue: Catalogue) -> None:
    add_model(catalogue, "n", "cd" * 32, NAMES[1:])
    assert "Implemented by a head of every one of these models: copying, country to capital." in words(
        owner("operations_page.py")
    )
    compared = html(owner("operations_page.py"))
    assert '<td class="hs-number">1 (4.2 %)</td>' in compared
    assert "not valid" in compared
    assert "n@cdcdcdcd" in [box.value or box.proto.placeholder for box in owner("checks_page.py").selectbox]


def test_maps_send_the_browser_what_they_draw_and_no_more(catalogue: Catalogue) -> None:
    layers, heads = 71, 71  # more heads than the 5,000 rows that Altair draws by itself
    add_model(catalogue, "large", "ef" * 32, [f"{name}_of_many" for name in NAMES], (layers, heads))
    test = owner("operations_page.py", model="large@efefefef")
    assert not test.exception
    sent = sum(chart.proto.ByteSize() for chart in test.get("vega_lite_chart"))
    assert 0 < sent < 64 * layers * heads, "two maps of some ten bytes a head, however many operations there are"
    rows = analysis.scores_table(known_relations(catalogue, 2))
    assert len(rows) == len(NAMES) * layers * heads
    need(plots.drawable(), "vl-convert: pip install 'headscribe[plots]'")
    one = charts.heat_map(rows[rows["operation"] == rows["operation"].iloc[0]], "score", "many heads", 1.0)
    assert b"<svg" in charts.picture_of(one, "svg")


def test_an_operation_and_a_model_can_be_linked_to(catalogue: Catalogue) -> None:
    add_model(catalogue, "n", "cd" * 32, NAMES[1:])
    test = owner("operations_page.py", model="m@abababab", operation="copying")
    assert {box.label: box.value for box in test.selectbox} == {"Model": "m@abababab", "Operation": "copying"}
    assert "head=3.3" in html(test)
    other = owner("operations_page.py", model="gone@12345678")
    assert "There is no model 'gone@12345678' here." in words(other)


def test_charts_have_the_colours_of_the_page_and_files_those_of_paper(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    themes: list[charts.Theme] = []
    heat_map = charts.heat_map

    def drawn(*arguments: Any, **named: Any) -> Any:
        themes.append(arguments[4])
        return heat_map(*arguments, **named)

    monkeypatch.setattr(charts, "heat_map", drawn)
    monkeypatch.setattr(
        "streamlit.runtime.context.ContextProxy.theme", st.runtime.context.StreamlitTheme({"type": "dark"})
    )
    assert not owner("operations_page.py").exception
    assert themes
    assert all(theme is charts.DARK for theme in themes)


# -- checks ----------------------------------------------------------------------------------------------------------


def test_checks_are_those_of_the_catalogue(catalogue: Catalogue) -> None:
    found = known_checks(catalogue, 1, 6)
    row = next(r for r in found.correlations if (r.operation, r.side) == (NAMES[0], "relation"))
    test = owner("checks_page.py")
    shown = words(test)
    assert "Of 2 operations 2 go with what heads write in prompts" in shown
    assert "Of 2 abilities 2 are lost with their heads" in shown
    assert 'head=2.2" target="_self">2.2</a>' in html(test), "heads removed are links"
    assert f"{row.of_source.r:.2f}" in shown
    assert f"{row.in_context.r:.2f}" in shown
    assert "0.10 (-89%)" in shown
    assert "too hard 0.05" in shown
    assert "48 heads and templates" in shown


def test_the_points_are_what_r_is_over(catalogue: Catalogue) -> None:
    from scipy.stats import pearsonr

    from describe.inference import points

    found = known_checks(catalogue, 1, 6)
    rows = points(found.static[NAMES[0]], found.dynamic[NAMES[0], "single"], "relation")
    row = next(r for r in found.correlations if (r.operation, r.side) == (NAMES[0], "relation"))
    for by, pearson in (("without_context", row.of_source), ("with_context", row.in_context)):
        assert pearsonr([r["static"] for r in rows], [r[by] for r in rows]).statistic == pytest.approx(pearson.r)
    assert len(rows) == row.points


def test_operations_that_are_half_scored_are_not_correlated(catalogue: Catalogue) -> None:
    assert known_checks(catalogue, 1, 7).correlations == []
    assert len(known_checks(catalogue, 1, 7).ablations) == 2


# -- nothing there, nobody there -------------------------------------------------------------------------------------


def test_what_is_missing_is_offered(where: Path) -> None:
    with Catalogue(str(where), create=True) as catalogue:
        for file in PAGES[:2]:
            assert "There is no model in the catalogue yet" in words(owner(file))
        catalogue.register_model(INFO)
        operations, checks = owner(PAGES[0]), owner(PAGES[1])
        assert "headscribe relations MODEL" in words(operations)
        assert links(operations) == ["do=relations&model=m"]
        assert "headscribe correlate MODEL" in words(checks)
        assert links(checks) == ["do=correlate&model=m", "do=ablate&model=m"]
        runs = owner(PAGES[2], do="ablate", model="m")
        assert next(field for field in runs.text_input if field.label == "Model").value == "m"
        assert "Runs tasks with heads removed" in words(runs)


def test_only_the_owner_finds_these_pages(catalogue: Catalogue) -> None:
    for file in PAGES:
        with pytest.raises(ValueError, match="Could not find a navigation page"):
            AppTest.from_file(str(SCRIPT), default_timeout=30).run().switch_page(file)


# -- untrusted text, downloads ---------------------------------------------------------------------------------------


def test_hostile_names_are_text(where: Path) -> None:
    with attacked_catalogue(where, huge=False) as catalogue:
        add_checks(catalogue, 1, HTML[:3], (2, 3))
        for file in PAGES[:2]:
            test = owner(file)
            body = html(test)
            assert "<script" not in body
            assert "<img" not in body
            assert "&lt;" in body
            for element in (*test.caption, *test.markdown):
                assert not any(text in element.value for text in TEXTS if len(text) > 3)


def test_downloads_are_guarded_and_whole(where: Path) -> None:
    with attacked_catalogue(where, huge=False) as catalogue:
        table = analysis.scores_table(known_relations(catalogue, 1))
    rows = list(csv.DictReader(io.StringIO(plots._csv(table).decode())))
    assert {row["operation"][0] for row in rows if "=1+1" in row["operation"]} == {"'"}
    assert len(json.loads(plots._json(table))) == len(table) == len(rows)
    need(plots.drawable(), "vl-convert: pip install 'headscribe[plots]'")
    some = table[table["operation"] == table["operation"].iloc[0]]
    for operation in (HTML[1], HTML[3]):
        chart = charts.heat_map(some, "score", operation, 1.0, mark_from=0.15, pick=True)
        assert charts.picture_of(chart, "png").startswith(b"\x89PNG")
        drawn = ElementTree.fromstring(charts.picture_of(chart, "svg"))
        names = {element.tag.rpartition("}")[2] for element in drawn.iter()}
        assert names <= {
            "svg",
            "g",
            "path",
            "line",
            "rect",
            "text",
            "defs",
            "linearGradient",
            "stop",
            "clipPath",
            "title",
        }


def test_without_vl_convert_the_page_says_what_is_missing(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "drawable", lambda: False)
    test = owner("operations_page.py")
    assert "pip install 'headscribe[plots]'" in words(test)
    assert {button.proto.label for button in test.get("download_button")} == {"CSV", "JSON"}


# -- runs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The command lines that would have been started."""
    found: list[Any] = []
    monkeypatch.setattr("app.runs._launch", lambda where, run_id, arguments: found.append(list(arguments)))
    return found


def fill(test: AppTest, label: str, value: Any) -> AppTest:
    fields = (*test.text_input, *test.number_input)
    return next(field for field in fields if field.label == label).set_value(value).run()


@pytest.mark.parametrize(
    ("command", "options"), [("score", ["--heads=0-1", "--judge=statistics"]), ("roles", ["--heads=0-1"])]
)
def test_scores_and_roles_are_runs_too(
    catalogue: Catalogue, launched: list[Any], command: str, options: list[str]
) -> None:
    test = owner("runs_page.py", do=command)
    fill(fill(test, "Model", "m"), "Heads", "0-1")
    press(test, "Start")
    assert launched == [[command, "m", *options]]


def test_a_run_is_started_stopped_and_gone_on_with(catalogue: Catalogue, launched: list[Any]) -> None:
    test = owner("runs_page.py")
    press(test, "Start")
    assert "name a model" in words(test)
    fill(fill(test, "Model", "<b>m</b>"), "Heads", "0-1")
    press(test, "Start")
    assert launched == [["extract", "<b>m</b>", "--heads=0-1"]]
    catalogue.runs.began(1, "<i>host</i>", 1)
    catalogue.runs.tell(1, stage="extract", done=1, total=4, stage_began=catalogue.runs.find(1).created)
    with catalogue.claim("run-1", ""):
        test = owner("runs_page.py")
        assert "Running. Begun" in words(test)
        assert "extract 1 of 4, about 0:00" in words(test)
        assert "<i>" not in html(test)
        press(test, "Stop")
        assert catalogue.runs.find(1).stop
    catalogue.runs.end(1, 130, "<script>")
    test = owner("runs_page.py")
    assert "Stopped. Begun" in words(test)
    assert "<script>" not in html(test)
    press(test, "Go on")
    assert launched[1:] == launched[:1]
    assert catalogue.runs.find(1).state == "starting"
    catalogue.runs.began(1, "host", 1)
    assert "Died" in words(owner("runs_page.py"))  # nobody claims to be its process


@pytest.mark.parametrize("llm", [f"{row.name}:x" for row in PROVIDERS.values() if row.paid])
def test_money_is_spent_only_by_a_plan_a_budget_and_a_yes(
    llm: str, catalogue: Catalogue, launched: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = {"heads": ["0.0"], "prompts": {}, "tokens_in": 1, "tokens_out": 2, "seconds": 3.0, "in_batches": 0}
    price: dict[str, Any] = {"price": None, "money": None}
    monkeypatch.setattr("app.web.asking.plan", lambda where, arguments: planned | price)
    test = owner("runs_page.py", do="describe", model="m")
    fill(test, "By whom", llm)
    press(test, "Show the plan")
    assert "The price is not known" in words(test)
    price |= {"price": {"source": "as given"}, "money": 0.5}
    press(test, "Show the plan")
    assert "Give a budget" in words(test)
    assert not any(button.label == "Start" for button in test.button)
    fill(test, "Budget in US \\$", 2.0)
    assert next(button for button in test.button if button.label == "Start").disabled
    next(box for box in test.checkbox if box.label.startswith("This may spend")).check().run()
    fill(test, "Budget in US \\$", 5.0)
    assert next(button for button in test.button if button.label == "Start").disabled, "yes to another budget"
    next(box for box in test.checkbox if box.label.startswith("This may spend")).check().run()
    press(test, "Start")
    assert launched == [["describe", "m", f"--llm={llm}", "--prompt=salient-2", "--budget=5.0"]]


def test_what_is_left_of_a_budget_is_the_budget_of_a_run_gone_on_with(
    catalogue: Catalogue, launched: list[Any]
) -> None:
    for budget, money, left in (("5.0", 1.2345678, "3.765432"), ("5.0", 0.0, "5.0"), ("0.0", 0.0, "0.0")):
        run_id = catalogue.runs.begin(["describe", "m", f"--budget={budget}", "--llm=openai:x"])
        catalogue.runs.end(run_id, 1, "", money=money)
        go_on(catalogue, "where", catalogue.runs.find(run_id))
        assert launched.pop() == ["describe", "m", "--llm=openai:x", f"--budget={left}"]
        catalogue.runs.end(run_id, 1, "", money=5.0)
    run = catalogue.runs.find(1)
    with pytest.raises(InputError, match=r"the budget of \$5\.0 is used up"):
        go_on(catalogue, "where", run)
    assert not launched


def test_a_run_that_never_came_to_life_died(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = catalogue.runs.begin(["extract", "m"])
    catalogue.runs.bury(catalogue.runs.newest(9))
    assert catalogue.runs.find(run_id).state == "starting"
    monkeypatch.setattr("describe.catalog.runs.LATE", timedelta(0))
    catalogue.runs.bury(catalogue.runs.newest(9))
    assert catalogue.runs.find(run_id).state == "died"
    assert catalogue.runs.begin_again(run_id)
    assert not catalogue.runs.begin_again(run_id)
