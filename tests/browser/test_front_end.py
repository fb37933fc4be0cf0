"""Browsing is the same in the app and in a file: one run of the same steps against both; axe-core on all pages."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from app.model_names import model_address
from describe import pipeline
from describe.catalog import Catalogue
from tests.browser.test_rating import as_owner, serving, settled
from tests.browser.waiting import expect, search
from tests.check_samples import NAMES, add_checks
from tests.whole_catalogue import MODEL, connect, whole_catalogue

QUERIES = ("number after", "t11", "numb", "previous token", "halves", "(", "nothing at all", "ſ", "T1")


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    with whole_catalogue(tmp_path_factory.mktemp("front") / "c.db") as opened:
        add_checks(opened, 1, NAMES[:2])
        connect(opened, 1, MODEL)
        yield opened


@pytest.fixture(scope="module")
def site(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    pipeline.export(catalogue, [], "html", folder)
    return folder


@pytest.fixture(scope="module")
def app(catalogue: Catalogue, program: Path) -> Iterator[str]:
    with serving(program, catalogue) as address:
        yield address


@pytest.fixture(params=["app", "file"])
def face(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def tab(face: str, browser: Any, request: pytest.FixtureRequest) -> Iterator[tuple[Any, str, str]]:
    """A tab in which nothing may go wrong, the address of the index and that of the first model's map."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    if face == "app":
        address = request.getfixturevalue("app")
        page = as_owner(context, address)
        index, model = f"{address}/", f"{address}/?{urlencode({'model': model_address(MODEL)})}"
    else:
        folder = request.getfixturevalue("site")
        page = context.new_page()
        index = (folder / "index.html").as_uri()
        model = next(one for one in folder.glob("*gpt2*.html")).as_uri()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text))
    yield page, index, model
    context.close()
    assert not troubles


def head_of(page: Any) -> Any:
    return page.locator("#head h2")


def test_the_same_steps_in_the_app_and_in_a_file(tab: tuple[Any, str, str]) -> None:
    page, index, model = tab
    page.goto(index)
    expect(page.locator("tbody tr")).to_have_count(2)
    page.goto(model)
    expect(page).to_have_title(f"{MODEL.name} · headscribe")
    first = head_of(page).inner_text()
    page.keyboard.press("/")
    page.keyboard.type("1.1")
    page.keyboard.press("Enter")
    expect(head_of(page)).to_have_text("Head 1.1")
    expect(page).to_have_title(f"Head 1.1 · {MODEL.name} · headscribe")
    expect(page.locator("#head .descriptions .role")).to_have_text("role 2")
    second = page.locator("#head table.roles tbody tr").nth(1).locator("td")
    expect(second.nth(2)).to_have_text("t25 t26")
    expect(second.nth(5)).to_have_text("names outputs only")
    page.locator("#head .weights summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#head .weights tbody tr")).to_have_count(3)
    expect(page.locator("#head .weights")).to_contain_text("Agreement with attention on text: r 0.375")
    search(page, "halves")
    expect(page.locator("#matches a")).to_have_count(2)
    expect(page.locator("#matches mark").first).to_have_text("halves")
    listed, address = page.locator("#matches a > b").all_inner_texts(), page.url
    page.locator("#matches a").first.click()
    expect(head_of(page)).to_have_text(f"Head {listed[0]}")
    page.go_back()
    expect(page).to_have_url(address)
    assert page.input_value("#search") == "halves"
    page.keyboard.press("Escape")
    expect(page.locator("#results")).to_be_hidden()
    page.locator("#operations tbody th a").first.click()
    expect(page.locator("#figure option:checked")).to_contain_text("Operation: copying")
    page.reload()
    expect(page.locator("#figure option:checked")).to_contain_text("Operation: copying")
    page.locator("#grid td[tabindex='0']").focus()
    before = head_of(page).inner_text()
    page.keyboard.press("ArrowUp" if before.startswith("Head 1") else "ArrowDown")
    expect(head_of(page)).to_have_text(before)
    page.keyboard.press("Enter")
    expect(head_of(page)).not_to_have_text(before)
    assert first.startswith("Head ")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_all_faces_find_the_same_heads(tab: tuple[Any, str, str], catalogue: Catalogue, face: str) -> None:
    page, index, model = tab
    page.goto(model)
    for query in QUERIES:
        told = pipeline.search(catalogue, query, model=MODEL.name, limit=100)["heads"]
        wanted = [f"{head['layer']}.{head['head']}" for head in told]
        found = page.evaluate(
            "async (text) => (await parts.search(text)).places.map((place) => nameOf(indexOf(heads[place])))", query
        )
        assert found == wanted, query
    page.goto(index)
    for query in QUERIES:
        total = pipeline.search(catalogue, query)["total"]
        search_call = "servedSearch" if face == "app" else "embeddedSearch"
        assert page.evaluate(f"async (text) => (await {search_call}(text)).total", query) == total, query


def serious(page: Any, scheme: str) -> list[str]:
    """What axe-core finds on a page that keeps people from using it."""
    page.emulate_media(color_scheme=scheme)
    page.evaluate((importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")
    return [
        f"{one['id']}: {node['html'][:120]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_keeps_anyone_out_of_the_page(tab: tuple[Any, str, str], scheme: str) -> None:
    page, index, model = tab
    for address in (index, model):
        page.goto(address)
        assert serious(page, scheme) == [], address
    search(page, "halves")
    for details in page.locator("#head details").all():
        details.evaluate("element => { element.open = true }")
    assert serious(page, scheme) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_keeps_anyone_out_of_the_apps_other_pages(browser: Any, app: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = as_owner(context, app)
    found = {}
    for path in ("operations", "checks", "runs", "studies", "new"):
        page.goto(f"{app}/{path}?model={model_address(MODEL)}")
        settled(page)
        found[path] = serious(page, scheme)
    context.close()
    assert not any(found.values()), found
