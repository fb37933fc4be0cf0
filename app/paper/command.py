"""``headscribe paper``: the paper's experiments on a model, as printed, into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from app.options import (
    DEFAULT_CATALOGUE,
    CataloguePlace,
    Device,
    Model,
    Operations,
    Quiet,
    RunDtype,
    ScoredReading,
)
from app.saying import say
from describe.text import file_name

__all__ = ["paper"]


def paper(
    model: Model,
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    operations: Operations = Path("all"),
    tasks: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--tasks", metavar="FILE", help='JSON: operation to text with <X>, or {"text", "shots"}.'),
    ] = None,
    experiments: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--experiments",
            metavar="NAMES",
            help="Of static, correlation, causal, multi-token, known, universality, descriptions (default: all).",
        ),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", metavar="DIR", help="The folder to write (default: paper-MODEL)."),
    ] = None,
    reading: ScoredReading = "paper",
    llm: Annotated[
        str, typer.Option("--llm", metavar="LLM", help="Who describes heads; statistics asks nobody and costs nothing.")
    ] = "statistics",
    placebos: Annotated[
        int, typer.Option("--placebos", min=0, metavar="N", help="Placebo heads of each kind, described as heads are.")
    ] = 30,
    device: Device = "auto",
    dtype: RunDtype = "float32",
    quiet: Quiet = False,
) -> int:
    """Run the experiments of the paper (MAPS) with its settings; tables, pictures and a report go into a folder."""
    from app.paper.folder import write_folder
    from app.terminal import progress_bars
    from describe.catalog import Catalogue
    from describe.files import check_replaceable
    from describe.llm import Request, parse_llm
    from describe.pipeline.paper.experiments import chosen_experiments
    from describe.pipeline.paper.experiments import paper as run
    from describe.pipeline.paper.records import Subject
    from describe.weights import model_name

    chosen, named = chosen_experiments(experiments), parse_llm(llm)
    place = output or Path(f"paper-{file_name(model_name(model)) or 'model'}")
    check_replaceable(place)
    with Catalogue(catalog, create=True) as opened, progress_bars(quiet) as progress:
        subject = Subject(
            catalogue=opened,
            model=model,
            llm=named,
            request=Request(),
            operations=operations,
            tasks=tasks,
            reading=reading,
            device=device,
            dtype=dtype,
            placebos=placebos,
            progress=progress,
        )
        found = list(run(subject, chosen))
        _, info = opened.find_model(model_name(model))
    write_folder(place, info, found, subject)
    if not quiet:
        for findings in found:
            tables = ", ".join(f"{table.name} ({len(table.rows)} rows)" for table in findings.tables) or "no table"
            say(
                f"{findings.experiment:13} {tables}"
                + (f"; not had: {len(findings.missing)}" if findings.missing else "")
            )
        say(f"The report: {place / 'report.html'}")
    return 0
