"""The pages of operations, checks and runs in a real browser: a run is started and watched, hostile names are text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from describe import pipeline
from describe.catalog import Catalogue
from tests.attacks import HTML, MODEL, attacked_catalogue
from tests.browser.test_rating import as_owner, serving, settled
from tests.browser.waiting import expect, expect_text
from tests.check_samples import NAMES, add_checks, add_model


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """A model whose every name is an attack, and a plain one, both with operations and checks."""
    with attacked_catalogue(tmp_path_factory.mktemp("app") / "c.db", huge=False) as opened:
        add_checks(opened, 1, HTML[:3], (2, 3))
        add_checks(opened, add_model(opened, "m", "ab" * 32), NAMES[:2])
        yield opened


@pytest.fixture(scope="module")
def address(catalogue: Catalogue, program: Path) -> Iterator[str]:
    with serving(program, catalogue) as found:
        yield found


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A tab in which nothing may go wrong."""
    context, troubles = browser.new_context(viewport={"width": 1280, "height": 900}), []
    tab = as_owner(context, address)
    tab.on("dialog", lambda dialog: troubles.append(dialog.message))
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    yield tab
    assert tab.evaluate("window.attacked") is None
    context.close()
    assert not troubles


def test_a_run_is_started_watched_and_its_operations_are_seen(
    page: Any, catalogue: Catalogue, address: str, tiny_llama: Path
) -> None:
    page.goto(f"{address}/runs?do=extract&model={quote(str(tiny_llama))}")
    settled(page).get_by_role("textbox", name="Heads").fill("0-1")
    page.get_by_role("textbox", name="Heads").press("Enter")
    settled(page).get_by_role("button", name="Start", exact=True).click()
    page.get_by_text(f"headscribe extract {tiny_llama} --heads=0-1").wait_for()
    page.get_by_text("Done. Begun").wait_for(timeout=120_000)
    expect_text(page, "read 2 of 2")
    (run,) = catalogue.runs.newest(9)
    assert (run.exit_code, run.message) == (0, None)
    assert run.pid != os.getpid()
    assert len(catalogue.saved_heads(pipeline.find(catalogue, str(tiny_llama))[1])) == 8
    page.get_by_role("link", name="Operations").click()
    page.get_by_text("No operation was scored for this model yet").wait_for()
    page.goto(f"{address}/operations?model=m")
    map_ = settled(page).locator("[data-testid=stVegaLiteChart]").first
    with page.expect_download() as download:
        page.get_by_role("button", name="SVG").first.click()
    assert ElementTree.parse(download.value.path()).getroot().tag.endswith("svg")
    map_.locator("path[aria-label*='head: 3; layer: 3']").click()
    page.wait_for_url("**/head?*head=3.3*")
    page.go_back()
    page.get_by_role("link", name="Checks").click()
    page.get_by_text("Is an ability lost with its heads?").wait_for()
    expect(settled(page).locator("[data-testid=stVegaLiteChart]")).to_have_count(3)


def test_hostile_names_are_text_in_charts_too(page: Any, address: str) -> None:
    model = f"model={quote(f'{MODEL.name}@{MODEL.content_hash[:8]}')}"
    for path in ("operations", "checks"):
        page.goto(f"{address}/{path}?{model}")
        settled(page).locator("[data-testid=stVegaLiteChart] svg").nth(2).wait_for()
        page.locator("[data-testid=stVegaLiteChart] svg").first.hover()
        expect_text(settled(page), "<img src=x onerror")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
