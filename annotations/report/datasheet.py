"""The data sheet of a study, under the headings of the Human Evaluation Datasheet 3.0 (Belz and Thomson 2024,
arXiv 2412.07940; versions 1.0 and 2.0 by Shimorina and Belz). What only the owner knows is left to them, visibly.
"""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from annotations.records import COVERAGE, FIT, PRESENCE, SCOPE
from annotations.report.frame import BASELINE, CONTROLS
from annotations.report.markdown import escaped
from annotations.report.page import TEMPLATES
from annotations.report.records import Report

__all__ = ["datasheet"]


def datasheet(report: Report) -> str:
    """Markdown, filled with what the study knows; the rest as ``[to be filled in by the owner: ...]``."""
    environment = Environment(  # noqa: S701  (Markdown: every value goes through `escaped`)
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["md"] = lambda value: escaped(str(value))
    environment.globals["owner"] = lambda what: f"**[to be filled in by the owner: {what}]**"
    scales = {"presence": PRESENCE, "fit": FIT, "coverage": COVERAGE, "scope": SCOPE}
    return environment.get_template("datasheet.md.jinja").render(
        report=report,
        study=report.study,
        sources=_sources(report),
        baseline=BASELINE,
        kinds={"real": "the head's own description", "catch": "catch item with a plain answer"} | CONTROLS,
        items={kind: row[:2] for kind, row in zip(report.items.rows, report.items.cells, strict=True)},
        scales={name: " / ".join(answers) for name, answers in scales.items()},
        time=report.figure("time", "median", "both stages"),
    )


def _sources(report: Report) -> list[str]:
    return list(dict.fromkeys(f.group for f in report.figures if f.part == "source" and f.unit == "share"))
