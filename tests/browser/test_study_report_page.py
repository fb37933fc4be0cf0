"""The report of a study as a page in a real browser, from a file and with the network off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from annotations.report import build, written
from annotations.report.charts import drawable
from tests.conftest import need
from tests.ratings import simulate


def test_the_report_opens_closed_and_complete(browser: Any, tmp_path: Path) -> None:
    need(drawable(), "vl-convert: pip install 'headscribe[plots]'")
    ratings, study = simulate(3, heads=40, controls=12, catches=8, careless=1)
    report = build(ratings, study | {"name": "<img src=x onerror=alert(1)> study"}, draws=100)
    (tmp_path / "report.html").write_text(written(report, "html"), encoding="utf-8")
    context = browser.new_context(viewport={"width": 390, "height": 800}, offline=True)
    page, troubles = context.new_page(), []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    page.goto((tmp_path / "report.html").as_uri())
    widths = page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
    assert len(widths) == 5
    assert all(width > 100 for width in widths)
    assert page.locator("h1").inner_text().endswith("<img src=x onerror=alert(1)> study")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.pdf(format="A4").startswith(b"%PDF")
    assert not troubles
    context.close()
