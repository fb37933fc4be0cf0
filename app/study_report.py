"""The command ``study report``: the figures of a human study in one of several forms."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from app import options as o

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["report_from_frame", "study_report"]


class ReportForm(str, Enum):
    """The forms of a report; a test holds these equal to `annotations.report.FORMS`."""

    markdown = "markdown"
    html = "html"
    csv = "csv"
    json = "json"
    datasheet = "datasheet"


def study_report(
    name: o.StudyName = None,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    form: Annotated[
        ReportForm, typer.Option("--format", "-f", help="Report, its figures as a table, or the study's data sheet.")
    ] = ReportForm.markdown,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", metavar="PATH", callback=o.output_file, help="The file; else standard output."),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=100, max=100_000, help="Draws of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Report a study: plausibility, controls, patterns, agreement, raters, time, each figure with its interval."""
    from annotations.frame import ratings
    from annotations.storage import find_study
    from describe.catalog import Catalogue

    with Catalogue(catalog) as opened:
        found = find_study(opened, name)
        frame = ratings(opened, found)
    text = report_from_frame(frame, found, form.value, draws=draws, seed=seed)
    if output is None:
        typer.echo(text, nl=False)
    else:
        from describe.files import write_atomically

        write_atomically(output, text)
        typer.echo(f"{output}", err=True)


def report_from_frame(ratings: pd.DataFrame, study: Any, form: str, *, draws: int = 2000, seed: int = 0) -> str:
    """The report on ``ratings`` in one of `annotations.report.FORMS`; reads and writes nothing."""
    from annotations.report import build, written

    return written(build(ratings, study, seed=seed, draws=draws), form)
