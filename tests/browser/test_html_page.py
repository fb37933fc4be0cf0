"""The HTML page of a catalogue in a real browser, from a file and with the network off."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.waiting import expect, search
from tests.html_samples import ATTACKS, WORDS, attack_heads, attack_model, heads, model, render

SMALL_HEADS = heads(30, 9, missing=frozenset({(3, 4), (29, 8)}))
SCORED_HEADS = heads(30, 9, llms=("scored",))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the addresses of the written pages."""
    folder = tmp_path_factory.mktemp("pages")
    catalogs = {
        "small": (model(30, 9, 3), SMALL_HEADS),
        "bare": (model(30, 9, 3), heads(30, 9, llms=())),
        "scored": (model(30, 9, 3), SCORED_HEADS),
        "empty": (model(2, 2, 1), []),
        "attack": (attack_model(), attack_heads()),
    }
    return {name: write(folder / f"{name}.html", *catalog) for name, catalog in catalogs.items()}


def write(path: Path, model: dict[str, Any], heads: list[dict[str, Any]]) -> str:
    page = render(model, heads)
    path.write_text(page, encoding="utf-8", newline="\n")
    return path.as_uri()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails its test on any dialog, error, violated policy or request."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))

    def refuse(dialog: Any) -> None:
        troubles.append(dialog.message)
        dialog.dismiss()

    def expect_navigation(request: Any) -> None:
        if not request.is_navigation_request():
            troubles.append(request.url)

    page.on("dialog", refuse)
    page.on("request", expect_navigation)
    page.add_init_script(
        "document.addEventListener('securitypolicyviolation', (event) => console.error(event.violatedDirective))"
    )
    yield page
    context.close()
    assert troubles == []


def cell(page: Any, layer: int, head: int) -> Any:
    return page.locator(f"#grid tbody tr:nth-child({layer + 1}) td:nth-of-type({head + 1})")


def expect_head(page: Any, name: str) -> None:
    """Wait until the page shows this head, which follows a change of the page's address."""
    expect(page.locator("#head h2")).to_have_text(f"Head {name}")


def test_grid_has_a_cell_for_every_head(page: Any, files: dict[str, str]) -> None:
    page.goto(files["small"])
    assert page.locator("#grid tbody tr").count() == 30
    assert page.locator("#grid tbody td").count() == 270
    assert page.locator("#grid td.missing").count() == 2
    assert cell(page, 3, 4).get_attribute("aria-label") == "Head 3.4, not extracted"
    described = int(page.locator("#legend [data-state=described] b").inner_text())
    assert page.locator("#grid td[data-state=described]").count() == described


def test_clicks_keys_buttons_and_history(page: Any, files: dict[str, str]) -> None:
    page.goto(files["small"])
    cell(page, 25, 0).click()
    expect_head(page, "25.0")
    page.wait_for_url("**#25.0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    expect_head(page, "25.0")  # what is passed is not opened
    page.keyboard.press("Enter")
    expect_head(page, "24.1")
    page.wait_for_url("**#24.1")
    assert cell(page, 24, 1).evaluate("cell => cell === document.activeElement")
    assert page.locator("#grid [aria-selected=true]").count() == 1
    page.get_by_role("button", name="Next head, 24.2").click()
    expect_head(page, "24.2")
    page.get_by_role("button", name="Previous head, 24.1").click()
    expect_head(page, "24.1")
    page.go_back()
    expect_head(page, "24.2")
    page.go_forward()
    expect_head(page, "24.1")
    expect(page).to_have_title("Head 24.1 · SmolLM2-135M · headscribe")


def test_fragment_selects_the_head_on_load(page: Any, files: dict[str, str]) -> None:
    page.goto(files["small"] + "#25.0")
    expect_head(page, "25.0")
    assert cell(page, 25, 0).get_attribute("aria-selected") == "true"
    page.goto(files["small"] + "#3.4")
    expect_head(page, "3.4")
    assert "not been extracted" in page.locator("#head").inner_text()
    first = page.evaluate("nameOf(indexOf(heads[overview.first]))")
    for wrong in ("#99.0", "#0.9", "#x", "#"):
        page.goto(files["small"] + "#3.4")
        expect_head(page, "3.4")
        page.goto(files["small"] + wrong)
        expect_head(page, first)


def test_panel_shows_descriptions_rows_and_provenance(page: Any, files: dict[str, str]) -> None:
    page.goto(files["small"] + "#25.0")
    (wanted,) = (head for head in SMALL_HEADS if (head["layer"], head["head"]) == (25, 0))
    assert page.locator("#head .card").count() == 2
    assert page.locator("#head .card").nth(1).get_attribute("data-state") == "unclear"
    assert wanted["descriptions"][0]["pattern"] in page.locator("#head .card").nth(0).inner_text()
    rows = page.locator("#head table.rows tbody tr")
    assert rows.count() == 30
    assert rows.nth(2).locator("th").text_content() == wanted["salient"][2]["token"] == " President"
    assert rows.nth(2).locator("li").count() == 5
    assert "logit" in rows.nth(2).locator("li").first.get_attribute("data-tip")
    assert not page.locator("#head table.down").is_visible()
    page.get_by_text("Suppressed", exact=True).click()
    lowest = page.locator("#head table.down tbody tr").nth(2).locator("li").first
    assert lowest.text_content() == wanted["salient"][2]["suppressed"][0]["token"]
    assert "logit -" in lowest.get_attribute("data-tip")
    page.get_by_text("Provenance").click()
    assert "torch" in page.locator("#head > details").last.inner_text()
    page.get_by_text("All 3 operations").click()
    assert page.locator("#head > details table.operations").first.locator("tbody tr").count() == 3
    failed = page.locator("#grid td[data-state=failed]").first
    failed.click()
    expect(page.locator("#head .cause").first).to_contain_text("had no JSON object")


def test_grid_is_coloured_by_the_chosen_figure(page: Any, files: dict[str, str]) -> None:
    page.goto(files["bare"])
    assert page.locator("#figure option").all_inner_texts() == [
        "Highest saliency", "Evidence: strongest effect (h)", "Operation: copying",
        "Operation: country to capital", "Operation: inflection", "Suppressed: copying",
        "Suppressed: country to capital", "Suppressed: inflection", "Operations implemented",
        "Description state",
    ]  # fmt: skip
    colour = "cell => getComputedStyle(cell).backgroundColor"
    before = cell(page, 0, 0).evaluate(colour)
    page.select_option("#figure", label="Operation: copying")
    assert cell(page, 0, 0).evaluate(colour) != before
    assert page.locator("#legend .histogram i").count() == 32
    page.goto(files["small"])
    assert page.locator("#figure option").first.inner_text() == "Description state"


def test_tip_names_the_head(page: Any, files: dict[str, str]) -> None:
    page.goto(files["small"])
    cell(page, 7, 5).hover()
    expect(page.locator("#tip")).to_have_text(re.compile(r"^7\.5"), use_inner_text=True)
    page.mouse.move(900, 5)
    expect(page.locator("#tip")).to_be_hidden()


def test_search_marks_dims_and_clears(page: Any, files: dict[str, str]) -> None:
    page.goto(files["small"])
    page.keyboard.press("/")
    page.keyboard.type("CAPITAL that")
    page.wait_for_selector("#results:not([hidden])")
    wanted = {
        f"{head['layer']}.{head['head']}" for head in SMALL_HEADS
        if any("capital that" in (made["pattern"] or "") for made in head["descriptions"])
    }  # fmt: skip
    expect(page.locator("#matches a > b")).to_have_count(len(wanted))  # the last letter may be to come yet
    assert set(page.locator("#matches a > b").all_inner_texts()) == wanted
    assert page.locator("#grid td.match").count() == len(wanted)
    assert {text.lower() for text in page.locator("#matches mark").all_inner_texts()} == {"capital", "that"}
    chosen = page.locator("#matches a").nth(3)
    name = chosen.locator("b").first.inner_text()
    chosen.click()
    expect_head(page, name)
    assert name in wanted
    page.keyboard.press("Escape")
    assert page.locator("#results").is_hidden()
    assert page.locator("#search").input_value() == ""
    assert page.locator("#grid.searching").count() == 0


@pytest.mark.parametrize(("text", "pattern"), [(" London", r"\blondon"), ("CAPITAL that", r"\bcapital"), ("(", None)])
def test_search_is_by_words_and_nothing_is_syntax(
    page: Any, files: dict[str, str], text: str, pattern: str | None
) -> None:
    page.goto(files["small"])
    search(page, text)
    wanted = 0
    for head in SMALL_HEADS:
        tokens = [token["token"] for row in head["salient"] for token in (row, *row["targets"])]
        said = [made for made in head["descriptions"] if made["pattern"]]
        texts = [*tokens, *(made[key] for made in said for key in ("inputs", "pattern"))]
        if pattern is None:
            wanted += any(token.strip(" ") == text for token in tokens)
        else:
            wanted += any(re.search(pattern, one, re.IGNORECASE) for one in texts)
    assert page.locator("#grid td.match").count() == wanted


def test_enter_opens_the_first_hit_and_a_head_by_its_place(page: Any, files: dict[str, str]) -> None:
    page.goto(files["small"])
    for text, title in (("25.0", "Head 25.0"), ("country capital", None)):
        search(page, text)
        page.keyboard.press("Enter")
        if title:
            expect_head(page, "25.0")
        else:
            expect(page.locator("#figure")).to_have_value(
                page.locator("#figure option", has_text="Operation: country to capital").get_attribute("value")
            )


def test_everything_has_an_address_and_one_step_back_restores_it(page: Any, files: dict[str, str]) -> None:
    page.goto(files["scored"] + "#0.0")
    page.select_option("#figure", label="Score: detection by statistics")
    page.select_option("#order", "down")
    page.fill("#least", "0.5")
    expect(page.locator("#count")).to_contain_text("of 270 heads match")
    page.locator("#matches").evaluate("list => list.scrollTop = 200")
    chosen = page.locator("#matches a").nth(12)
    name, address, count = chosen.locator("b").inner_text(), page.url, page.locator("#count").inner_text()
    chosen.click()
    expect_head(page, name)
    page.go_back()
    expect_head(page, "0.0")
    assert page.url == address
    assert page.input_value("#least") == "0.5"
    assert page.locator("#matches").evaluate("list => list.scrollTop") == 200
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator("#count")).to_have_text(count)
    assert page.locator("#figure option:checked").inner_text() == "Score: detection by statistics"


def test_grey_says_why_and_figures_explain_themselves(page: Any, files: dict[str, str]) -> None:
    page.goto(files["small"])
    page.select_option("#figure", label="Evidence: strongest effect (h)")
    grey = page.locator("#legend li[data-state=none]")
    assert "nothing above chance, or not tested" in grey.inner_text()
    page.locator("#head .facts dt").first.focus()
    expect(page.locator("#tip")).to_contain_text("Saliency of the head's most salient token")
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()


def value(head: dict[str, Any]) -> float:
    """Its score as the page has it: four digits."""
    return float(f"{head['descriptions'][0]['scores']['detection']['statistics']['value']:.4g}")


def test_heads_are_listed_by_score_and_filtered(page: Any, files: dict[str, str]) -> None:
    page.goto(files["scored"] + "#0.0")
    line = page.locator("#head .scores li").first
    assert line.locator(".by").inner_text() == "detection by statistics"
    assert "wrong description: 0.50" in line.inner_text()
    assert line.locator(".interval .wrong").count() == 1
    assert page.locator("#order").is_disabled(), "a state has no order"
    page.select_option("#figure", label="Score: detection by statistics")
    assert "wrong descriptions get 0.500 on average" in page.locator("#legend").inner_text()
    page.select_option("#order", "down")
    best = sorted(SCORED_HEADS, key=value, reverse=True)
    names = [f"{head['layer']}.{head['head']}" for head in best]
    assert page.locator("#matches a > b").all_inner_texts() == names[:200]
    assert page.locator("#count").inner_text() == "270 heads, the first 200 are listed"
    page.select_option("#order", "up")
    assert page.locator("#matches a > b").first.inner_text() == names[-1]
    page.fill("#least", "0.9")
    high = [head for head in best if value(head) >= 0.9]
    assert page.locator("#matches a > b").count() == page.locator("#grid td.match").count() == len(high)
    page.select_option("#state", "unclear")
    unclear = [head for head in high if head["descriptions"][0]["unclear"]]
    assert page.locator("#grid td.match").count() == len(unclear)
    page.locator("#search").press("Escape")
    assert page.locator("#results").is_hidden()
    assert page.locator("#grid.searching").count() == 0


def test_a_head_links_to_its_page_at_neuronpedia(page: Any, tmp_path: Path) -> None:
    known = [head | {"model": "openai-community/gpt2"} for head in heads(12, 12, llms=())]
    page.goto(write(tmp_path / "gpt2.html", model(12, 12, 12), known) + "#5.1")
    link = page.get_by_role("link", name="At Neuronpedia")
    assert link.get_attribute("href") == "https://www.neuronpedia.org/gpt2-small/head/5/1"


def test_attacks_are_shown_as_text(page: Any, files: dict[str, str]) -> None:
    page.goto(files["attack"] + "#0.1")
    sources = page.locator("#head table.rows tbody th").all()
    shown = {ATTACKS[i]: source.text_content() for i, source in enumerate(sources)}
    for plain in (
        "<script>alert(1)</script>",
        "</script><img src=x onerror=alert(2)>",
        "$x^2$",
        "**bold**",
        "=1+1",
        "x" * 10_000,
        "&lt;b&gt;",
        "{{ 7 * 7 }}",
    ):
        assert shown[plain] == plain
    assert shown["\u202eevil"] == "\\u202eevil"
    assert shown["a\u200bb"] == "a\\u200bb"
    assert shown["\x00\x1b[31m"] == "\\u0000\\u001b[31m"
    assert shown["\ud800"] == "\\ud800"
    assert shown["\r\n"] == "\\r\\n"
    assert shown[""] == "empty"
    assert page.locator("img, #head script, #head b b").count() == 0
    for details in page.locator("#head details").all():
        details.evaluate("element => { element.open = true }")
    assert page.locator("#head .card").count() == 2 * len(ATTACKS)
    painted = page.locator("#figure").evaluate(  # each chosen by itself would take its browser ten seconds
        """select => [...select.options].map(({ index }) => {
            select.selectedIndex = index
            select.dispatchEvent(new Event("change", { bubbles: true }))
            return document.getElementById("legend").innerText
        }).length"""
    )
    assert painted > len(ATTACKS)
    for text in ("<img", "alert", "evil", "__proto__"):
        search(page, text)
        assert page.locator("#matches a").count() == 2
    assert "\u202e" not in page.locator("body").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_policy_blocks_injected_markup(browser: Any, files: dict[str, str]) -> None:
    page = browser.new_page()
    page.goto(files["small"])
    blocked = page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return false } catch { return true } }"
    )
    page.close()
    assert blocked


def test_catalog_without_heads_opens(page: Any, files: dict[str, str]) -> None:
    page.goto(files["empty"])
    assert "not been extracted" in page.locator("#head").inner_text()
    assert page.locator("#grid td.missing").count() == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_the_screen(page: Any, files: dict[str, str], width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 720})
    page.goto(files["small"])
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("scrollY") == 0
    page.goto("about:blank")
    page.goto(files["small"] + "#25.0")
    assert -1 < page.locator("#head").bounding_box()["y"] < 720, "the head of the address is in sight"
    ink, surface = (
        page.locator("#head").evaluate(f"element => getComputedStyle(element).{name}")
        for name in ("color", "backgroundColor")
    )
    assert (sum(map(int, ink[4:-1].split(","))) < sum(map(int, surface[4:-1].split(",")))) == (scheme == "light")


def spent(session: Any, step: Callable[[], object]) -> float:
    """Milliseconds for which a page's thread works on a step: what else the machine does is no page's."""

    def so_far() -> float:
        told = session.send("Performance.getMetrics")["metrics"]
        return 1000 * next(metric["value"] for metric in told if metric["name"] == "TaskDuration")

    before = so_far()
    step()
    return so_far() - before


def test_5120_heads_load_and_search_quickly(page: Any, tmp_path: Path) -> None:
    vocabulary = WORDS + [f" word{i}" for i in range(40_000)]
    large = heads(80, 64, vocabulary=vocabulary, llms=("Qwen2.5-7B-Instruct",))
    address = write(tmp_path / "large.html", model(80, 64, 8), large)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def draw() -> None:
        """Open the page, and wait until what its script made is laid out and painted."""
        page.goto(address)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")

    drawn = spent(session, draw)
    page.evaluate("document.getElementById('search').value = ' word77'")
    searched, coloured = (
        spent(session, lambda call=call: page.evaluate(f"async () => {{ await {call}; document.body.offsetHeight }}"))
        for call in ("search()", "paint(figures[1])")
    )
    assert (tmp_path / "large.html").stat().st_size <= 20_000_000
    print(f"drawn in {drawn:.0f} ms, searched in {searched:.0f} ms, coloured in {coloured:.0f} ms")
    assert page.locator("#grid tbody td").count() == 5120
    assert page.locator("#grid td.match").count() > 0
    assert 0 < drawn < 2000
    assert 0 < searched < 500
    assert 0 < coloured < 500


def test_the_operations_of_the_model_link_to_their_heads(page: Any, files: dict[str, str]) -> None:
    page.goto(files["small"])
    rows = page.locator("#operations tbody tr")
    assert rows.count() == 3
    scores = {(h["layer"], h["head"]): h["relations"]["copying"]["score"] for h in SMALL_HEADS}
    best = max(scores, key=scores.__getitem__)
    row = rows.filter(has_text="copying")
    assert row.locator("td").first.inner_text() == str(sum(score >= 0.15 for score in scores.values()))
    link = row.locator("td a").first  # the first of the row colours the map
    assert link.inner_text() == f"{best[0]}.{best[1]}"
    link.click()
    expect_head(page, f"{best[0]}.{best[1]}")
    assert page.locator("#operations .histogram").first.locator("i").count() == 30
    page.goto(files["bare"].replace("bare", "empty"))
    assert page.locator("#operations *").count() == 0
