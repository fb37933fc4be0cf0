"""The site of a whole catalogue, opened from disk with the network off: index, search, links, attacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from describe import pipeline
from tests import attacks
from tests.browser.waiting import expect, search
from tests.whole_catalogue import MODEL, OTHER, whole_catalogue


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sites ``whole``, of two models, and ``attacked``, of one whose texts are all attacks."""
    folder = tmp_path_factory.mktemp("sites")
    with whole_catalogue(folder / "whole.db") as catalogue:
        pipeline.export(catalogue, [], "html", folder / "whole")
    with attacks.attacked_catalogue(folder / "attacked.db") as catalogue:
        pipeline.export(catalogue, [], "html", folder / "attacked")
    return folder


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page without a network that fails its test on any dialog, error, violated policy or request but for files."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: None if request.is_navigation_request() else troubles.append(request.url))
    page.add_init_script(
        "document.addEventListener('securitypolicyviolation', (event) => console.error(event.violatedDirective))"
    )
    yield page
    context.close()
    assert troubles == []


def test_the_index_leads_to_models_and_heads(page: Any, sites: Path) -> None:
    page.goto((sites / "whole" / "index.html").as_uri())
    rows = page.locator("tbody tr")
    assert rows.count() == 2
    assert rows.first.locator("th").inner_text() == MODEL.name
    assert "statistics" in rows.first.inner_text()
    page.keyboard.press("/")
    page.keyboard.type("AFTER 1.0")
    expect(page.locator("#matches a")).to_have_count(4)  # 0.1 has all of its words too
    assert page.locator("#matches mark").first.inner_text() == "after"
    others = page.locator("#matches a").filter(has=page.get_by_text(OTHER.name, exact=True))
    others.filter(has=page.get_by_text("1.0", exact=True)).first.click()
    expect(page.locator("#head h2")).to_have_text("Head 1.0")
    expect(page.locator("h1")).to_contain_text(OTHER.name)
    words = "cells => cells.map((cell) => { const all = document.createRange(); all.selectNodeContents(cell);"
    lines = page.locator("#head .constant tbody th").evaluate_all(f"{words} return all.getClientRects().length }})")
    assert lines == [1, 1], "neither 'promotes' nor 'suppresses' breaks"
    page.get_by_role("link", name="All models").click()
    rows.first.locator("a").click()
    expect(page.locator("h1")).to_contain_text(MODEL.name)
    expect(page.get_by_role("link", name="At Neuronpedia")).to_have_count(1)
    page.goto((sites / "whole" / f"tiny-{OTHER.content_hash[:8]}.html").as_uri() + "#1.2")
    expect(page.locator("#head h2")).to_have_text("Head 1.2")


def test_attacks_stay_text_on_every_page(page: Any, sites: Path) -> None:
    for file in sorted((sites / "attacked").glob("*.html")):
        page.goto(file.as_uri())
        for text in ("<script>", "onerror", "=1+1", "(", "\u202e"):
            search(page, text)
        for details in page.locator("details").all():
            details.evaluate("element => { element.open = true }")
        assert page.evaluate("window.attacked") is None
        assert page.locator("img, svg[onload], iframe, main script, main style").count() == 0
        assert "\u202e" not in page.locator("body").inner_text()
        (policy,) = page.locator("meta[http-equiv=Content-Security-Policy]").all()
        assert policy.get_attribute("content").startswith("default-src 'none';")
    assert len(list((sites / "attacked").glob("*.html"))) == 2
