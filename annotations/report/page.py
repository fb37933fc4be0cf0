"""The report as one HTML page: nothing from outside, nothing that runs, fit to print."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from annotations.report.charts import charts, data_uri, drawable
from annotations.report.records import Report
from annotations.report.sections import sections
from describe.text import visible

__all__ = ["TEMPLATES", "page"]

TEMPLATES = Path(__file__).parent / "templates"


def page(report: Report) -> str:
    """The complete HTML text; with charts where vl-convert is installed, else with a line that says how to get them."""
    css = (TEMPLATES / "page.css").read_text("utf-8")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["visible"] = _shown
    drawn = {name: (words, data_uri(chart)) for name, (words, chart) in charts(report).items()} if drawable() else {}
    return environment.get_template("page.html.jinja").render(
        report=report,
        sections=list(sections(report)),
        charts=drawn,
        drawable=drawable(),
        policy=_policy(css),
        css=Markup(css),  # noqa: S704  (ours, not data)
    )


def _shown(text: str) -> str:
    return visible(text).replace("\\\\", "\\")


def _policy(css: str) -> str:
    """A Content-Security-Policy that allows this style and images in the page itself, and no script."""
    style = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'"
