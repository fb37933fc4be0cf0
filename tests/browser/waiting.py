"""What pages draw in their own time: tests wait until it is there, for what is read at once may be older."""

from __future__ import annotations

from typing import Any

MOST = 30_000
"""Milliseconds to wait at most, on a machine that has much else to do."""


def expect(shown: Any) -> Any:
    """Playwright's assertions on a locator or a page, which wait until they hold."""
    from playwright.sync_api import expect  # what needs Playwright is skipped where it is missing

    expect.set_options(timeout=MOST)
    return expect(shown)


def expect_text(page: Any, text: str) -> None:
    """Wait until a page shows a text."""
    expect(page.locator("body")).to_contain_text(text, use_inner_text=True)


def expect_description(page: Any) -> None:
    """Wait until a rater sees a description, and none beside it: while a page is drawn again it may be there twice."""
    shown = page.locator(".hs-description")
    expect(shown).to_have_count(1)
    expect(shown).to_be_visible()


def search(page: Any, text: str) -> None:
    """Search an exported page for a text, and wait until what is listed is what was found for it."""
    page.fill("#search", "")
    expect(page.locator("#results")).to_be_hidden()
    page.fill("#search", text)
    expect(page.locator("#results")).to_be_visible()
