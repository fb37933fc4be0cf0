"""The folder of ``headscribe paper``: a CSV and a LaTeX table of each result, pictures, and ``report.html``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from annotations.report.charts import drawable
from app.tables import cell, csv_table, latex_table
from describe.files import replacing_folder
from describe.operations import PAPER_PROFILE, analysis
from describe.operations.published import published_source
from describe.pipeline import ablation_curves
from describe.pipeline.paper.experiments import compared
from describe.pipeline.paper.records import Findings, Subject, Table
from describe.records import THRESHOLD, ModelInfo
from describe.text import visible

__all__ = ["write_folder"]

TEMPLATES = Path(__file__).parent


def write_folder(place: Path, model: ModelInfo, found: Sequence[Findings], subject: Subject) -> None:
    """Write the folder, complete or not at all; one that was written before and is as it was is replaced.

    Nothing in it says when or how long: a run that was killed and gone on with gives the same.
    """
    against = compared(model, found)
    tables = [table for findings in found for table in findings.tables] + ([against] if against else [])
    with replacing_folder(place, {"model": model.name, "content_hash": model.content_hash}) as folder:
        latex = {f"{table.name}.tex": _captioned(table) for table in tables}
        latex["tables.tex"] = _document(tables, "".join(latex.values()))
        for name, text in latex.items():
            (folder / name).write_text(text, encoding="utf-8")
        for table in tables:
            text = csv_table(table.as_dicts()) if table.rows else ",".join(table.columns) + "\n"
            (folder / f"{table.name}.csv").write_text(text, encoding="utf-8")
        pictures = {findings.experiment: _draw(findings, folder) for findings in found} if drawable() else {}
        (folder / "report.html").write_text(
            _page(model, found, subject, against, pictures), encoding="utf-8", errors="backslashreplace"
        )


# -- LaTeX ------------------------------------------------------------------------------------------------------------

_PREAMBLE = r"""\documentclass{article}
\usepackage{iftex}
\ifPDFTeX
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\fi
\usepackage{booktabs}
\usepackage{graphicx}
"""

_OTHER_CHARACTERS = r"""%% Characters that pdflatex cannot set stand by their numbers. lualatex and xelatex
%% set them, by a font that has them:
%% \usepackage{fontspec}\setmainfont{Noto Sans CJK SC}
\ifPDFTeX
%s\fi
"""

_OTHER_CHARACTER = r"\ifcsname u8:\detokenize{%s}\endcsname\else\DeclareUnicodeCharacter{%04X}{[U+%04X]}\fi"


def _captioned(table: Table) -> str:
    """A float with its caption and label, no wider than the line; it needs booktabs and graphicx."""
    (title,) = latex_table([{"": table.title}]).split("\\midrule\n")[1].split(" \\\\")[:1]
    body = latex_table(table.as_dicts()) if table.rows else "\\emph{no rows}\n"
    return (
        f"\\begin{{table}}\n\\centering\n\\caption{{{title}}}\n\\label{{tab:{table.name}}}\n"
        f"\\resizebox{{\\linewidth}}{{!}}{{%\n{body}}}\n\\end{{table}}\n"
    )


def _document(tables: Sequence[Table], written: str) -> str:
    """A document of all the tables, each read from its file; ``written`` is the text of these files.

    Names of operations may be in any script, and it compiles all the same.
    """
    others = sorted({character for character in written if ord(character) > 127})
    shown = "".join(_OTHER_CHARACTER % (one, ord(one), ord(one)) + "\n" for one in others)
    inputs = "".join(f"\\input{{{table.name}.tex}}\n\\clearpage\n" for table in tables)
    preamble = _PREAMBLE + (_OTHER_CHARACTERS % shown if others else "")
    return f"{preamble}\\begin{{document}}\n{inputs}\\end{{document}}\n"


# -- pictures ---------------------------------------------------------------------------------------------------------


def _draw(findings: Findings, folder: Path) -> list[str]:
    """The pictures of an experiment, by their places in the folder; their data lies beside them."""
    from app.charts import save_ablations, save_comparison, save_relations

    place, made = folder / "pictures" / findings.experiment, list[Path]()
    scores = analysis.scores_table(findings.scores)
    if len(scores):
        made += save_relations(scores, THRESHOLD, place)
    if findings.ablations:
        made += save_ablations({n: pd.DataFrame(ablation_curves(a)) for n, a in findings.ablations.items()}, place)
    if findings.comparison is not None:
        made += save_comparison(findings.comparison.counts, findings.comparison.depth, place)
    return [path.relative_to(folder).as_posix() for path in made if path.suffix == ".png"]


# -- the page ---------------------------------------------------------------------------------------------------------


def _page(
    model: ModelInfo,
    found: Sequence[Findings],
    subject: Subject,
    against: Table | None,
    pictures: dict[str, list[str]],
) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"visible": visible, "cell": cell}
    return environment.get_template("report.html.jinja").render(
        model=model,
        found=found,
        against=against,
        pictures=pictures,
        profile=PAPER_PROFILE.words,
        reading=subject.reading,
        dtype=subject.dtype,
        source=published_source(),
    )
