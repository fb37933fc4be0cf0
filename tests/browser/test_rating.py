"""The web app in a real browser, served by the real command: raters at work, hostile tokens, closed doors."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import select, update

from annotations import schema as study_schema
from annotations.access import set_password
from annotations.design import new_study
from annotations.frame import ratings
from annotations.rating import RatingDesk
from annotations.records import Invitation, Study
from annotations.storage import invite
from describe.catalog import Catalogue, schema
from describe.catalog.database import begin_write
from tests.browser.waiting import expect, expect_description, expect_text
from tests.study_samples import described_catalogue, design, let_in
from tests.warm import Process

PASSWORD = "correct horse battery"
TOKEN = "a token that is long enough"
POLICY_HELD = (
    "document.addEventListener('securitypolicyviolation', (found) =>"
    " setTimeout(() => { throw new Error(`forbidden: ${found.violatedDirective} ${found.blockedURI}`) }))"
)
"""Makes an error of the page of what its policy forbids."""

READY = "[data-testid=stApp][data-test-script-state=notRunning]"
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "**bold** _it_ `code`",
    "$\\frac{1}{2}$ :red[x] :smile:",
    " שלום עולם",
    "\u202egnp.exe",
    "[x](http://example.org)",
    " \n\t",
]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """Four heads, all of whose tokens and descriptions try to be something else than text; an owner's password."""
    with described_catalogue(tmp_path_factory.mktemp("app") / "catalogue.db", 2, 2) as opened:
        table = [[0, token, 1.0, [[1, token, 1.0], [2, " plain", 1.0]]] for token in HOSTILE]
        told = {"inputs": HOSTILE[0], "pattern": " ".join(HOSTILE[1:]), "unclear": False, "failure": None}
        with begin_write(opened.engine) as connection:
            connection.execute(update(schema.head).values(salient=table))
            connection.execute(update(schema.description).values(**told))
        set_password(opened, PASSWORD)
        yield opened


@pytest.fixture(scope="module")
def address(catalogue: Catalogue, program: Path) -> Iterator[str]:
    """Where the app runs: open to all addresses, which the password allows."""
    with serving(program, catalogue, "--host", "0.0.0.0") as found:
        yield found


@contextmanager
def serving(program: Path, catalogue: Catalogue, *options: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    where = str(catalogue.engine.url.database)
    arguments = ("app", "--catalog", where, "--port", str(port), "--no-browser", *options)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
    environment["HEADSCRIBE_APP_TOKEN"] = TOKEN
    server = Process(program, *arguments, env=environment, stderr=subprocess.PIPE, cwd=Path(where).parent)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, server.stderr and server.stderr.read()
                assert time.monotonic() < until
                time.sleep(0.1)
        yield f"http://localhost:{port}"
    finally:
        server.send_signal(2)
        told = server.communicate(timeout=30)[1]
    assert server.returncode == 0, told
    assert "Traceback" not in told


@pytest.fixture
def study(catalogue: Catalogue, request: pytest.FixtureRequest) -> Study:
    """Four items for two raters each, and no controls."""
    none: dict[str, Any] = dict.fromkeys(("swap_easy", "swap_hard", "shuffled", "catch", "repeats"), 0.0)
    return new_study(
        catalogue, design(name=request.node.name, heads="all", sources=("statistics",), distance=0, **none)
    )


@pytest.fixture
def invited(catalogue: Catalogue, study: Study) -> list[Invitation]:
    """Two raters; the first has yet to consent, the second has practised."""
    made = invite(catalogue, study, 2)
    let_in(RatingDesk(catalogue), made[1].rater.id)
    return made


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """A tab of a browser profile of its own; no page may show a dialog or log an error."""
    contexts, troubles = [], []

    def open_(path: str, width: int = 1280, height: int = 720) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        context.add_init_script(POLICY_HELD)
        page = context.new_page()
        page.on("dialog", lambda dialog: troubles.append(dialog.message))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(address + path)
        return settled(page)

    yield open_
    for context in contexts:
        context.close()
    assert not troubles


def as_owner(context: Any, address: str) -> Any:
    """A tab, still empty, of a browser that came by the owner's link."""
    context.add_init_script(POLICY_HELD)
    assert context.request.get(f"{address}/?token={quote(TOKEN)}").ok  # leaves its cookie, and draws nothing
    return context.new_page()


def settled(page: Any) -> Any:
    """The page once the server has nothing more to say to it."""
    page.wait_for_selector(READY)
    page.wait_for_timeout(120)  # a key that was pressed just now may not have been sent yet
    page.wait_for_selector(READY)
    page.wait_for_selector("h1, .hs-mapping")
    for pending in ("[data-testid=stSkeleton]", "[data-stale=true]"):  # not drawn yet, and hears no key; still faded
        expect(page.locator(pending)).to_have_count(0)
    return page


def keys(page: Any, *pressed: str) -> Any:
    """Press keys as a patient rater does."""
    for key in pressed:
        page.keyboard.press(key)
        settled(page)
    return page


def choose(page: Any, key: str, answer: str) -> None:
    """Choose an answer by its key once the answer is there, and see it chosen."""
    page.locator("button", has_text=answer).first.wait_for()
    page.keyboard.press(key)
    page.locator("button", has_text=f"✓ {answer}").wait_for()
    settled(page)


def click(page: Any, label: str) -> None:
    page.locator("button", has_text=label).first.click()
    settled(page)


def click_twice(page: Any, answer: str) -> None:
    """Choose an answer, and double-click to save it."""
    click(page, answer)
    page.locator("button", has_text=f"✓ {answer}").wait_for()
    settled(page).get_by_role("button", name="Save and go on").dblclick()


def until(holds: Callable[[], bool], again: Callable[[], object] = lambda: None) -> None:
    """Wait for what the server does in its own time; keys that it was too busy for are pressed ``again``."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
        if not holds():
            again()


def open_item(catalogue: Catalogue, rater: int) -> Any:
    """The presentation before this rater, as the database has it."""
    table = study_schema.study_presentation
    query = select(table).where(table.c.rater_id == rater).order_by(table.c.position.desc()).limit(1)
    with catalogue.engine.connect() as connection:
        return connection.execute(query).one()


def answers(catalogue: Catalogue, rater: int) -> list[str]:
    event = study_schema.study_event
    kinds = ("answered_a", "answered_b", "revised")
    query = select(event.c.type).where(event.c.rater_id == rater, event.c.type.in_(kinds)).order_by(event.c.id)
    with catalogue.engine.connect() as connection:
        return list(connection.execute(query).scalars())


def test_two_raters_finish_a_study_side_by_side(
    catalogue: Catalogue, study: Study, invited: list[Invitation], tab: Callable[..., Any]
) -> None:
    hasty, on_phone = (one.rater.id for one in invited)
    first, second = tab(f"/?code={invited[0].code}"), tab(f"/?code={invited[1].code}", 390, 844)
    until(lambda: "Before you begin" not in first.inner_text("body"), lambda: keys(first, "s"))
    while "Practice" in first.inner_text("body"):
        keys(first, "1", "s", "1", "7", "s", "s")
    expect_text(first, "0 of 4 done")
    for number in range(1, 5):
        for key in "1s" * 4:  # nothing waits for the server
            first.keyboard.press(key)
        until(lambda: open_item(catalogue, hasty).stage_a is not None, lambda: keys(first, "1", "s"))
        expect_description(first)
        settled(first)
        shown = open_item(catalogue, hasty)
        assert shown.position == number
        assert shown.answered is None  # stage B wants two answers, of which "1" is only one
        choose(first, "1", "fits")
        choose(first, "8", "all")
        for key in "ssss":
            first.keyboard.press(key)
        until(lambda all_=2 * number: len(answers(catalogue, hasty)) == all_, lambda: keys(first, "s"))
        settled(first)
        assert answers(catalogue, hasty) == ["answered_a", "answered_b"] * number

        click_twice(second, "weak")
        expect_description(second)
        expect_description(settled(second.reload() and second))
        click(second, "partly")
        click_twice(second, "most")
        until(lambda all_=2 * number: len(answers(catalogue, on_phone)) == all_)
        settled(second)
        assert answers(catalogue, on_phone) == ["answered_a", "answered_b"] * number
    for page in (first, second):
        page.get_by_text("judged all your items").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]

    other_device = tab(f"/?code={invited[0].code}")
    keys(other_device, "u").get_by_text("you went back to the last").wait_for()
    choose(other_device, "3", "does not fit")
    choose(other_device, "5", "none")
    keys(other_device, "s")
    until(lambda: answers(catalogue, hasty)[-1] == "revised")
    frame = ratings(catalogue, study)
    assert len(frame) == 8
    assert list(frame[frame.rater == "R01"].fit) == ["fits", "fits", "fits", "does not fit"]
    assert set(frame[frame.rater == "R02"].fit) == {"partly"}


def test_tokens_and_descriptions_are_text(invited: list[Invitation], tab: Callable[..., Any]) -> None:
    page = tab(f"/?code={invited[1].code}")
    page.locator(".hs-mapping tbody th").nth(len(HOSTILE) - 1).wait_for()
    found = page.locator(".hs-mapping tbody th").all_inner_texts()
    shown = [token.replace(" ", "␣").replace("\u202e", "\\u202e") for token in HOSTILE[:-1]]
    assert sorted(found) == sorted([*shown, "␣↵⇥"])
    assert page.locator(".hs-mapping caption").count() == 1
    assert page.locator(".hs-mapping thead th[scope=col]").count() == 3
    assert page.locator(".hs-mapping tbody th[scope=row]").count() == len(HOSTILE)
    choose(page, "1", "clear")
    expect_description(keys(page, "s"))
    settled(page)
    told = page.locator(".hs-description").inner_text()
    assert all(token.strip().replace("\u202e", "\\u202e") in told for token in HOSTILE[:-1])
    inside = page.locator(".hs-mapping, .hs-description")
    assert inside.locator("script, img, a, strong, em, code, .katex").count() == 0
    for file in (page.locator(".hs-token").first, page.locator(".hs-description bdi").first):
        assert file.evaluate("element => getComputedStyle(element).unicodeBidi") == "isolate"


def test_everything_needed_is_seen_without_scrolling(invited: list[Invitation], tab: Callable[..., Any]) -> None:
    page = tab(f"/?code={invited[1].code}")
    choose(page, "1", "clear")
    expect_description(keys(page, "s"))
    settled(page)
    for label in ("fits", "all", "too broad", "Save and go on"):
        box = page.locator("button", has_text=label).last.bounding_box()
        assert box["y"] + box["height"] <= 720
    page.locator(".hs-keys kbd").nth(13).wait_for()


def test_owner_pages_are_not_there_for_others(
    study: Study, invited: list[Invitation], tab: Callable[..., Any], address: str
) -> None:
    code = f"code={invited[1].code}"
    page = tab("/studies")
    for path in ("/studies", "/?owner=1", f"/studies?{code}", f"/new?{code}", f"/report_page?{code}&owner=True"):
        page.context.clear_cookies()  # as in a browser that was never here
        page.evaluate("localStorage.clear(), sessionStorage.clear()")
        settled(page.goto(address + path) and page)
        page.get_by_text("Is there a pattern" if code in path else "Your personal code").first.wait_for()
        text = page.inner_text("body")
        assert study.name not in text
        assert "Raters per item" not in text
        assert ("Is there a pattern" in text) == (code in path)
        assert ("Your personal code" in text) == (code not in path)


def test_the_owner_signs_in_and_sees_how_it_stands(
    study: Study, invited: list[Invitation], tab: Callable[..., Any]
) -> None:
    page = tab("/report")
    page.get_by_text("For the owner of the studies").click()
    for password in ("wrong", PASSWORD):
        page.get_by_label("Password", exact=True).fill(password)
        click(page, "Sign in with the password")
        page.get_by_text("not the password" if password == "wrong" else "In short").wait_for()
    page.get_by_role("link", name="Studies").click()
    settled(page).wait_for_selector("text=R02")
    page.get_by_text("0 of 8").first.wait_for()  # drawn after the names, on a busy machine a moment later
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename.endswith(".zip")
    click(page, "Sign out")
    page.get_by_text("Your personal code").wait_for()


def test_without_a_password_the_link_makes_the_owner_and_a_reload_changes_nothing(
    program: Path, tmp_path: Path, browser: Any
) -> None:
    with described_catalogue(tmp_path / "c.db", 2, 2) as catalogue, serving(program, catalogue) as address:
        page = browser.new_page()
        page.goto(f"{address}/studies")
        page.get_by_text("Your personal code").wait_for()
        page.goto(f"{address}/studies?token={quote(TOKEN)}")
        expect_text(settled(page), "There is no study yet.")
        page.wait_for_url(f"{address}/studies")
        page.reload()
        expect_text(settled(page), "There is no study yet.")
        page.goto(address)
        expect_text(page, "Layers run down")
        page.close()
