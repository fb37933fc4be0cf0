"""Pictures of the pages, for docs/ and to look at all of them: ``python -m benchmarks.pictures CATALOGUE``.

CATALOGUE: one of ``demo``, as ``make demo`` leaves it; nothing in it is changed, as a copy is served. Without more, the
pictures of docs/ are made anew; ``--every FOLDER`` puts there every page of the app and the page of a file, at 1,440
and 390 pixels, light and dark. Needs Chromium, and Playwright for Python.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from sqlalchemy import select

from annotations.access import LINK_PARAMETER
from annotations.design import new_study
from annotations.rating import RatingDesk
from annotations.records import StageA, StageB
from annotations.storage import invite
from app.model_names import model_address
from describe import pipeline
from describe.catalog import Catalogue, study_schema
from describe.records import ModelInfo
from tests.browser.test_rating import as_owner, choose, serving, settled
from tests.chromium import chromium
from tests.study_samples import design, let_in, new

DOCS = Path(__file__).parent.parent / "docs"
STUDY = "pilot"
WIDTHS = {1440: 900, 390: 844}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of docs/.

    Attributes:
        address: of the page, in the app; ``{model}`` stands for the model's.
        size: of the window, in pixels; ``whole``: all of the page is on it, however long.
        before: what is done on the page first.
    """

    name: str
    address: str
    size: tuple[int, int] = (1280, 900)
    whole: bool = False
    before: Callable[[Any], None] = lambda page: None


def _scroll(text: str) -> Callable[[Any], None]:
    """Scroll to where the page says this."""
    return lambda page: page.get_by_text(text).first.evaluate("one => one.scrollIntoView({ block: 'start' })")


PICTURES = (
    Picture("page", "head?model={model}&head=23.2"),
    Picture("browse", "./?model={model}&q=suppresses+names"),
    Picture("head", "head?model={model}&head=25.0"),
    Picture("operations-page", "operations?model={model}&operation=country_to_capital", (1180, 900), whole=True),
    Picture("study-status", "studies?study=" + STUDY, (1280, 720)),
    Picture("study-report", "report?study=" + STUDY, (1280, 720), before=_scroll("Strict: the share of answers")),
)

PAGES = {
    "models": "./",
    "map": "./?model={model}",
    "head": "head?model={model}&head=25.0",
    "search": "./?model={model}&q=capital",
    "operations": "operations?model={model}",
    "checks": "checks?model={model}",
    "runs": "runs",
    "studies": "studies?study=" + STUDY,
    "new-study": "new",
    "report": "report?study=" + STUDY,
}
"""Every page of the app, by what its pictures are called."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--every", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "catalogue.db"
        shutil.copy(arguments.catalogue, where)
        with Catalogue(str(where)) as catalogue, chromium() as browser:
            code = _study(catalogue)
            file = Path(folder) / "demo.html"
            pipeline.export(catalogue, ["demo"], "html", file)
            model = model_address(catalogue.find_model("demo")[1])
            with serving(catalogue) as address:
                if arguments.every:
                    arguments.every.mkdir(parents=True, exist_ok=True)
                    _every(browser, address, model, file.as_uri(), code, arguments.every, arguments.only)
                else:
                    _of_docs(browser, address, model, code, arguments.only)


def _of_docs(browser: Any, address: str, model: str, code: str, only: list[str] | None) -> None:
    for one in PICTURES:
        if only is None or one.name in only:
            width, height = one.size
            with _tab(browser, address, width, height, "light") as page:
                _go(page, f"{address}/{one.address.format(model=model)}", whole=one.whole)
                one.before(page)
                page.wait_for_timeout(300)
                page.screenshot(path=DOCS / f"{one.name}.png", full_page=one.whole)
    if only is None or "rating" in only:
        _rating(browser, address, code)


def _rating(browser: Any, address: str, code: str) -> None:
    """Both stages of an item, as a rater sees them."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(f"{address}/?{LINK_PARAMETER}={code}")
    settled(page)
    page.screenshot(path=DOCS / "rating.png")
    choose(page, "1", "clear")
    page.keyboard.press("s")
    page.locator(".hs-description").wait_for()
    settled(page)
    page.screenshot(path=DOCS / "rating-described.png")
    page.close()


def _every(browser: Any, address: str, model: str, file: str, code: str, folder: Path, only: list[str] | None) -> None:
    pages = {name: f"{address}/{path.format(model=model)}" for name, path in PAGES.items()}
    pages |= {"file": file, "file-head": f"{file}#25.0", "rate": f"{address}/?{LINK_PARAMETER}={code}"}
    wanted = {name: where for name, where in pages.items() if only is None or name in only}
    for scheme, (width, height), (name, where) in product(("light", "dark"), WIDTHS.items(), wanted.items()):
        with _tab(browser, address, width, height, scheme) as page:
            _go(page, where, whole=True)
            page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth")
            print(f"{name:<12} {width} {scheme:<5} {'' if wide <= width else f'{wide} pixels wide'}", flush=True)


@contextmanager
def _tab(browser: Any, address: str, width: int, height: int, scheme: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    yield as_owner(context, address)
    context.close()


def _go(page: Any, where: str, *, whole: bool) -> None:
    """Open an address, and wait for all that the page has to draw; ``whole``: in a window as high as it all."""
    page.goto(where)
    page.wait_for_selector("#head h2, .index, [data-testid=stApp]")
    if page.locator("[data-testid=stApp]").count():
        settled(page)
        page.wait_for_timeout(1500)  # charts are drawn after all else
    page.wait_for_timeout(300)
    inner = page.evaluate("document.querySelector('[data-testid=stMain]')?.scrollHeight ?? 0")
    size = page.viewport_size
    if whole and inner > size["height"]:  # what scrolls within the page would end with the window
        page.set_viewport_size({"width": size["width"], "height": min(inner, 6000)})
        page.wait_for_timeout(500)


def _study(catalogue: Catalogue) -> str:
    """A study by simulated raters, two who are done, one on the way, one about to begin; the code of the last."""
    info: ModelInfo = catalogue.find_model("demo")[1]
    made = new_study(
        catalogue, design(name=STUDY, models=(info.name,), heads="sample:40", raters_per_item=3, unclear=False)
    )
    *at_work, last = invite(catalogue, made, 4)
    for one, most in zip(at_work, (1000, 1000, 30), strict=True):
        _rate(catalogue, one.rater.id, most)
    let_in(RatingDesk(catalogue), last.rater.id)
    return last.code


def _rate(catalogue: Catalogue, rater: int, most: int) -> None:
    """Rate so many items in made-up times: obvious ones rightly, others by chances that differ by their kind."""
    pick, moments = random.Random(rater), [datetime.now(timezone.utc) - timedelta(hours=2)]
    desk = RatingDesk(catalogue, clock=lambda: moments[-1])
    turn = let_in(desk, rater)
    while turn.task is not None and turn.task.position <= most:
        kind, expected = _item(catalogue, turn.task.presentation)
        fits = pick.random() < {"real": 0.75, "shuffled": 0.4}.get(kind, 0.2)
        fit = expected or ("fits" if fits else pick.choice(("partly", "does not fit")))
        presence = StageA(pick.choice(("clear", "clear", "weak") if fits else ("clear", "weak", "none")))
        for say in (
            partial(desk.answer_a, answer=presence),
            partial(desk.answer_b, answer=StageB(fit, "most" if fit == "fits" else "few")),
        ):
            milliseconds = round(pick.lognormvariate(2.2, 0.4) * 1000)
            moments.append(moments[-1] + timedelta(milliseconds=milliseconds))
            say(rater, turn.task.presentation, new(), active_ms=milliseconds)
            desk.next_item(rater)
        turn = desk.next_item(rater)


def _item(catalogue: Catalogue, presentation: int) -> tuple[str, str | None]:
    """The kind of the item that a rater sees, and the right answer where it is an obvious one."""
    shown, item = study_schema.study_presentation, study_schema.study_item
    query = select(item.c.kind, item.c.expected).join(shown, shown.c.item_id == item.c.id)
    with catalogue.engine.connect() as connection:
        row = connection.execute(query.where(shown.c.id == presentation)).one()
    return str(row.kind), row.expected


if __name__ == "__main__":
    main()
