"""What a rater meets around the items, in a real browser: dialogs, text fields, reloads, small screens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from annotations.design import new_study
from annotations.frame import ratings
from annotations.rating import RatingDesk
from annotations.records import Study
from annotations.storage import invite
from describe.catalog import Catalogue, schema
from describe.catalog.database import begin_write
from tests.browser.test_rating import POLICY_HELD, keys, serving, settled, until
from tests.browser.waiting import expect, expect_description, expect_text
from tests.study_samples import described_catalogue, design, let_in

WORDS = ("Firstly", "internationalisation", "Donaudampfschifffahrt", "well-known", "a b c")


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """Four heads with thirty rows of words that would break where a line does."""
    with described_catalogue(tmp_path_factory.mktemp("app") / "c.db", 2, 2) as opened:
        targets = [[1, f" {word}", 1.0] for word in WORDS]
        table = [[0, f" source{number}", 1.0, targets] for number in range(30)]
        with begin_write(opened.engine) as connection:
            connection.execute(update(schema.head).values(salient=table))
        yield opened


@pytest.fixture(scope="module")
def address(catalogue: Catalogue, program: Path) -> Iterator[str]:
    with serving(program, catalogue) as found:
        yield found


@pytest.fixture(scope="module")
def study(catalogue: Catalogue) -> Study:
    none: dict[str, Any] = dict.fromkeys(("swap_easy", "swap_hard", "shuffled", "catch", "repeats"), 0.0)
    return new_study(
        catalogue,
        design(
            heads="all",
            sources=("statistics",),
            raters_per_item=9,
            distance=0,
            contact="Ada <b>, ada@example.org",
            **none,
        ),
    )


@pytest.fixture
def rater(catalogue: Catalogue, study: Study, browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """The tab of a new rater, before the first item or, if asked, before consent."""
    contexts, troubles = [], []

    def open_(width: int = 1280, height: int = 720, *, new: bool = False) -> Any:
        (one,) = invite(catalogue, study)
        if not new:
            let_in(RatingDesk(catalogue), one.rater.id)
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        context.add_init_script(POLICY_HELD)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(f"{address}/?code={one.code}")
        return settled(page)

    yield open_
    for context in contexts:
        context.close()
    assert not troubles


def choose(page: Any, key: str, answer: str) -> None:
    """Choose an answer by its key, which a page that is still being drawn may not hear."""
    chosen = page.locator("button", has_text=f"✓ {answer}")
    until(lambda: chosen.count() == 1, lambda: keys(page, key))
    settled(page)


def test_consent_says_how_much_how_long_and_whom_to_ask_before_anything_else(rater: Callable[..., Any]) -> None:
    page = rater(new=True)
    told = page.inner_text("body")
    assert "4 tables" in told
    assert "about 8 minutes" in told
    assert "Ask Ada <b>, ada@example.org." in told
    for word in ("source", "targets", "pattern", "description"):
        assert told.index(word) < told.index("What you agree to")
    keys(page, "s").get_by_text("Practice 1 of 4").wait_for()
    choose(page, "2", "weak")
    keys(page, "s").get_by_text("We see it otherwise").wait_for()
    choose(page, "1", "fits")
    settled(page.reload() and page)
    expect_text(page, "We see it otherwise")
    expect(page.locator("button", has_text="✓ fits")).to_be_visible()


def test_keys_do_nothing_behind_the_guideline(rater: Callable[..., Any]) -> None:
    page = rater()
    page.keyboard.press("g")
    page.keyboard.press("3")  # before the browser has drawn it
    page.get_by_role("dialog").wait_for()
    keys(page, "3", "s", "u", "p", "1")
    expect(page.get_by_role("dialog")).to_be_visible()
    keys(page, "Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("button", has_text="✓")).to_have_count(0)
    expect_text(page, "0 of 4 done")
    choose(page, "3", "none")
    keys(page, "g").get_by_role("dialog").wait_for()
    keys(page, "Escape")
    expect(page.locator("button", has_text="✓ none")).to_be_enabled()


def test_text_is_left_by_enter_and_esc_and_outlives_a_reload(
    rater: Callable[..., Any], catalogue: Catalogue, study: Study
) -> None:
    page = rater()
    choose(page, "2", "weak")
    page.get_by_role("textbox").press_sequentially("nouns of plac")
    page.wait_for_timeout(1200)
    settled(page.reload() and page)
    expect(page.locator("button", has_text="✓ weak")).to_be_visible()
    expect(page.get_by_role("textbox")).to_have_value("nouns of plac")
    page.get_by_role("textbox").press("End")
    page.get_by_role("textbox").press_sequentially("es")
    page.get_by_role("textbox").press("Enter")
    settled(page)
    expect_description(keys(page, "s"))
    choose(page, "4", "can't tell")
    page.get_by_role("textbox").press_sequentially("hm")
    page.get_by_role("textbox").press("Escape")
    settled(page)
    keys(page, "s")
    expect_text(page, "1 of 4 done")
    frame = ratings(catalogue, study)
    assert list(frame.own_words) == ["nouns of places"]
    assert list(frame.comment) == ["hm"]


@pytest.mark.parametrize("width", [1280, 390])
def test_tokens_stay_whole_and_all_rows_are_reached_by_keys(rater: Callable[..., Any], width: int) -> None:
    page = rater(width, 844)
    lines = page.locator(".hs-mapping .hs-token").evaluate_all(
        "all => all.map(one => new Set([...one.getClientRects()].map(box => Math.round(box.top))).size)"
    )
    assert set(lines) == {1}
    assert len(lines) == 30 * 6
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    last = page.locator(".hs-mapping tbody tr").last
    page.keyboard.press("End")
    until(lambda: last.evaluate("row => row.getBoundingClientRect().bottom") <= 844)
    box = page.locator(".hs-scroll").bounding_box()
    row = last.bounding_box()
    assert row["y"] + row["height"] <= box["y"] + box["height"] + 1
