"""The owner's pages of studies, and raters who enter by one link, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from annotations.design import new_study
from annotations.rating import RatingDesk
from annotations.recruiting import Recruiting, recruit
from annotations.storage import find_study, studies
from describe.catalog import Catalogue
from tests.browser.test_raters_pages import choose
from tests.browser.test_rating import as_owner, keys, serving, settled, until
from tests.browser.waiting import expect, expect_description, expect_text
from tests.study_samples import described_catalogue, design, rate_all

PROLIFIC = "5f1a2b3c4d5e6f7a8b9c0d1e"


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    with described_catalogue(tmp_path_factory.mktemp("app") / "c.db", 4, 6) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(catalogue: Catalogue, program: Path) -> Iterator[str]:
    with serving(program, catalogue) as found:
        yield found


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Callable[[], Any]]:
    contexts = []

    def open_(**size: int) -> Any:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900} | size))
        return contexts[-1]

    yield open_
    for context in contexts:
        context.close()


def test_a_study_is_seen_before_it_is_made_and_is_right_once_raters_are_invited(
    catalogue: Catalogue, tab: Callable[[], Any], address: str
) -> None:
    page = as_owner(tab(), address)
    page.goto(f"{address}/new")
    settled(page).get_by_role("textbox", name="Name").fill("pilot & more")
    page.get_by_role("textbox", name="Heads").fill("sample:6")
    page.get_by_role("textbox", name="Heads").press("Enter")
    expect_text(settled(page), "minutes of a rater")
    expect_text(page, "finds, own against other heads' descriptions")
    assert studies(catalogue) == []
    page.get_by_role("button", name="Make the study").click()
    page.wait_for_url(lambda url: url.endswith("/studies?study=pilot+%26+more"))
    expect_text(page, "Nobody is invited yet.")
    expect(page.locator(".hs-name").first).to_have_text("Study: pilot & more")
    page.get_by_role("spinbutton", name="New raters").press("Enter")
    settled(page)
    expect_text(page, "Nobody is invited yet.")
    page.get_by_role("button", name="Invite").click()
    expect_text(page, "Give each rater one link")
    for name in ("R01", "R02", "R03"):
        expect(page.locator(".hs-plain", has_text=name)).to_be_visible()
    rate_all(RatingDesk(catalogue), 1)
    page.goto(f"{address}/studies?study={quote('pilot & more')}")
    expect_text(settled(page), "at risk")
    new_study(catalogue, design(name="other", heads="sample:4"))
    page.goto(f"{address}/report?study=other")
    expect_text(settled(page), "No answers on own descriptions yet")
    page.goto(f"{address}/report?study={quote('pilot & more')}")
    expect_text(settled(page), "The rules exclude all 1 raters")
    page.goto(f"{address}/studies?study=other")
    settled(page).get_by_role("button", name="Archive or delete").click()
    page.get_by_role("button", name="Delete for good").click()
    until(lambda: [one.name for one in studies(catalogue)] == ["pilot & more"])


def test_a_participant_enters_by_the_link_and_leaves_with_the_code(
    catalogue: Catalogue, tab: Callable[[], Any], address: str
) -> None:
    none = dict.fromkeys(("swap_easy", "swap_hard", "shuffled", "catch", "repeats"), 0.0)
    study = new_study(
        catalogue,
        design(name="recruited", heads="0.0", sources=("statistics",), screening=True, about_raters=True, **none),
    )
    how = Recruiting(1, "PROLIFIC_PID", "C0DE", "https://app.prolific.com/submissions/complete?cc=C0DE")
    code = recruit(catalogue, study, how)
    link = f"{address}/?join={code}"
    page = tab(width=390, height=844).new_page()
    page.goto(link)
    settled(page)
    page.get_by_role("button", name="agree to take part").click()
    expect_text(page, "The link lacks your id")
    page.goto(f"{link}&PROLIFIC_PID={PROLIFIC}")
    expect_text(settled(page), "You are asked to judge 1 tables")
    assert study.name not in page.inner_text("body")
    page.get_by_role("button", name="agree to take part").click()
    page.wait_for_url("**/?code=*")
    settled(page).get_by_text("fluently").click()
    page.get_by_role("button", name="Go on").click()
    for number in range(1, 5):
        expect_text(page, f"Practice {number} of 4")
        choose(page, "1", "clear")
        expect_description(keys(page, "s"))
        choose(page, "1", "fits")
        if page.locator("button", has_text="most").count():
            choose(page, "7", "most")
        keys(page, "s")
        until(
            lambda: (
                page.locator("button", has_text="Save").count() + page.locator("button", has_text="Compare").count()
                == 0
            )
        )
        keys(page, "s")
    for number, key in enumerate("1313", 1):
        expect_text(page, f"Check {number} of 4, try 1")
        choose(page, key, "fits" if key == "1" else "does not fit")
        keys(page, "s")
    choose(page, "1", "clear")
    assert "C0DE" not in page.content()
    expect_description(keys(page, "s"))
    choose(page, "1", "fits")
    choose(page, "8", "all")
    keys(page, "s")
    expect_text(page, "Your completion code: C0DE")
    back = page.get_by_role("link", name="Go back, and have it counted")
    assert back.get_attribute("href") == how.return_url
    page.goto(f"{link}&PROLIFIC_PID={PROLIFIC}")
    expect_text(settled(page), "Welcome back")
    page.goto(f"{link}&PROLIFIC_PID={PROLIFIC[::-1]}")
    expect_text(settled(page), "This study takes nobody else any more")
    assert find_study(catalogue, "recruited").stopped is None
