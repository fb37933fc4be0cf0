"""The catalogue's pages in a real browser, on a catalogue all of whose texts are attacks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.attacks import HUGE, MODEL, attacked_catalogue
from tests.browser.test_rating import as_owner, serving
from tests.browser.waiting import expect

NAME = f"{MODEL.name}@{MODEL.content_hash[:8]}"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Iterator[str]:
    with attacked_catalogue(tmp_path_factory.mktemp("app") / "c.db") as catalogue, serving(program, catalogue) as found:
        yield found


def at(page: Any) -> str:
    """The head in the page's address, once it is drawn."""
    page.wait_for_url(re.compile(r"/head\?"))
    asked = parse_qs(urlsplit(page.url).query)
    assert asked["model"] == [NAME]
    expect(page.locator("#head h2")).to_have_text(f"Head {asked['head'][0]}")
    page.locator("#head .headline nav").wait_for()
    return asked["head"][0]


def unharmed(page: Any) -> None:
    """Nothing of what is shown was taken for anything but text."""
    assert page.evaluate("window.attacked") is None
    assert page.locator("main :is(script, iframe, svg[onload], img, a[href^=javascript])").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_from_the_map_to_a_head_that_is_alike_and_back_by_search(address: str, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = as_owner(context, address)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    page.goto(address)
    unharmed(page)
    page.locator("#grid td:not(.missing):not(.corner)").nth(2).click()
    first = at(page)
    page.get_by_text("Nearest heads").click()
    unharmed(page)
    near = page.locator("#head .near a", has_text=re.compile(r"^\d+\.\d+$")).first
    other = near.inner_text()
    near.click()
    page.wait_for_url(re.compile(rf"head={re.escape(other)}$"))
    assert at(page) == other != first
    page.go_back()
    page.wait_for_url(re.compile(rf"head={re.escape(first)}$"))
    assert at(page) == first
    page.keyboard.press("/")
    page.keyboard.type("window attacked")
    page.locator("#matches mark", has_text="attacked").first.wait_for()
    unharmed(page)
    page.locator("#matches a").first.click()
    found = at(page)
    page.keyboard.press("Escape")
    permanent = page.url
    context.close()
    elsewhere = as_owner(browser.new_context(viewport={"width": 390, "height": 844}), address)
    for link in (permanent, permanent.replace("/head?", "/?")):
        elsewhere.goto(link)
        expect(elsewhere.locator("#head h2")).to_have_text(f"Head {found}")
        unharmed(elsewhere)
    elsewhere.context.close()
    assert not troubles


def test_a_head_of_megabytes_is_readable_and_whole_in_its_download(address: str, browser: Any, tmp_path: Path) -> None:
    page = as_owner(browser.new_context(), address)
    page.goto(f"{address}/search?q=huge")
    page.locator("#matches a").first.wait_for()
    page.goto(f"{address}/head?{urlencode({'model': NAME, 'head': '1.2'})}")
    assert at(page) == "1.2"
    unharmed(page)
    assert len(page.inner_text("body")) < 100_000
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    download.value.save_as(tmp_path / "head.json")
    assert json.loads((tmp_path / "head.json").read_text())["salient"][0]["token"] == HUGE
    page.context.close()
