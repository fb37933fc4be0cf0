"""The command ``score``: a judge's run over descriptions, and what all judging so far came to (``--report``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from app import options as o
from app.llm_options import LLMOptions, exit_code, with_llm_options
from app.saying import say
from describe.measures import DEFAULT, MEASURES
from describe.providers import CHOICES
from describe.score_levels import estimate_text, level_lines, of_whom

if TYPE_CHECKING:
    from annotations.people import People
    from describe.pipeline import ScorePlan

__all__ = ["score"]

NOT_RUN = "not run"
_VALUES = " or ".join(dict.fromkeys(row.title for row in MEASURES.values()))
JUDGING = LLMOptions(max_tokens=4096)


Judge = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--judge", envvar="HEADSCRIBE_LLM", metavar="LLM", help=f"{CHOICES}."),
]
JudgePrompt = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--judge-prompt", metavar="NAME", help="What the judge is asked: a template (default: that of the measure)."
    ),
]
Measure = Annotated[
    str, typer.Option("--measure", metavar="NAME", help=f"{'; '.join(row.about for row in MEASURES.values())}.")
]


@with_llm_options
def score(
    model: o.Model,
    judge: Judge = None,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    heads: o.Heads = "all",
    reading: o.ShownReading = None,
    llm: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--llm", metavar="LLM", help="Whose descriptions (default: all; by statistics as the judge can)."),
    ] = None,
    prompt: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--prompt", metavar="NAME", help="Descriptions by this prompt template only."),
    ] = None,
    judge_prompt: JudgePrompt = None,
    measure: Measure = DEFAULT,
    llm_options: LLMOptions = JUDGING,
    report: Annotated[bool, typer.Option("--report", help="Show what all judging came to; asks nobody.")] = False,
    plots: o.Plots = None,
    json_path: o.Json = None,
    quiet: o.Quiet = False,
) -> int:
    """Score descriptions on rows that their authors never saw, beside the scores of wrong ones."""
    from annotations.people import against_people
    from app.terminal import progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.llm import parse_llm

    with Catalogue(catalog) as opened:
        code = 0
        if not report:
            named = parse_llm(judge)
            asked = llm_options.terms(named) | {"heads": heads, "reading": reading, "llm": llm, "prompt": prompt}
            asked |= {"template": judge_prompt, "measure": measure}
            if llm_options.dry_run:
                return _dry_run(pipeline.plan_scores(opened, model, named, **asked), json_path)
            with progress_bars(quiet) as progress:
                result = pipeline.score(opened, model, named, **asked, fresh=llm_options.fresh, progress=progress)
            code = exit_code(result, "descriptions")
        found = pipeline.score_report(opened, model, reading)
        by_people = against_people(opened, pipeline.find(opened, model, reading)[1])
    found = [row | {"people": _people(row, by_people)} for row in found]
    if plots:
        from app.score_chart import save_scores

        save_scores(found, plots)
    if json_path:
        write_json(found, json_path)
    elif not quiet:
        _draw(model, found)
    return code


def _dry_run(found: ScorePlan, json_path: Path | None) -> int:
    from app.plans import NOTHING_DONE, amounts, expected_json, waiting
    from app.terminal import write_json

    if json_path:
        listed = {"descriptions": found.descriptions, "no_rows": found.no_rows, "prompts": found.prompts}
        write_json({"model": found.model.name, **listed, **expected_json(found)}, json_path)
        return 0
    left_out = f", {found.no_rows} of them without rows to judge by" if found.no_rows else ""
    say(f"judge    {len(found.descriptions)} descriptions of {found.model.name}{left_out}{waiting(found)}")
    say(f"calls    {found.calls}, wrong descriptions of the same heads too")
    say(f"{amounts(found)}\n{NOTHING_DONE}")
    return 0


def _draw(model: str, found: list[dict[str, Any]]) -> None:
    """A line for each author and judge: no score without those of wrong descriptions and of placebos beside it."""
    from app.score_tables import draw_curves, draw_heads_to_look_at
    from app.terminal import draw_table

    for line in dict.fromkeys(line for row in found for line in (*level_lines(row), *_people_lines(row))):
        say(line)
    headings = (
        "descriptions by",
        "judge",
        "described",
        "scored",
        _VALUES,
        "of wrong ones",
        "shared tokens alone",
        "bal. accuracy",
        "failed",
    )
    rows = [
        (
            f"{row['llm']} ({row['prompt']}){', roles' if row['of'] == 'roles' else ''}",
            f"{row['measure']} by {row['judge']} ({row['judge_prompt']})" if row["judge"] else NOT_RUN,
            f"{row['described']} of {row['heads']}",
            str(row["scored"]),
            _value(row, row["measure"]),
            estimate_text(row["wrong"]) if row["wrong"] else NOT_RUN,
            estimate_text(row["grouping"]),
            estimate_text(row["balanced_accuracy"]),
            str(sum(row["failures"].values())),
        )
        for row in found
    ]
    draw_table(headings, rows, title=f"{model}: how far descriptions are true of held-out rows", right=(2, 3, 8))
    of_placebos = (
        "descriptions by",
        "judge",
        "placebo heads",
        "described all the same",
        _VALUES,
        "of pairing",
    )
    draw_table(of_placebos, _placebo_rows(found), title="Placebos: heads that nobody trained, described all the same")
    if any(placebo is None for row in found if row["of"] == "heads" for placebo in row["placebos"].values()):
        say("Placebos: headscribe describe MODEL --llm LLM --placebos 30, then score again.")
    draw_curves(found)
    draw_heads_to_look_at(found)


def _people(row: dict[str, Any], found: dict[tuple[str, str], People]) -> dict[str, People | None] | None:
    """People's word on a row's score, and on all scores of its author together; None for what nobody rated."""
    if not found or row["of"] == "roles" or not row["judge"]:
        return None
    from annotations.report.calibration import TOGETHER
    from annotations.scores import score_name
    from annotations.sources import source_name

    source = source_name(row["llm"], row["prompt"])
    of_score = found.get((source, score_name(row["measure"], row["judge"])))
    return None if of_score is None else {"score": of_score, "together": found.get((source, TOGETHER))}


def _people_lines(row: dict[str, Any]) -> Iterator[str]:
    """How far scores tell what raters said, with what is luck."""
    told = row["people"] or {}
    for name, found in (
        (f"{row['measure']} of {row['judge']}", told.get("score")),
        ("all measures", told.get("together")),
    ):
        if found is None:
            continue
        of = f"{of_whom(row)}: people, by {name}: "
        rests = f"{found['answers']} answers on {found['descriptions']} descriptions"
        if found["auroc"] is None:
            yield f"{of}{found['note']} ({rests})"
        else:
            luck = f", shuffled {estimate_text(found['shuffled'])}" if found["shuffled"] else ""
            yield f'{of}AUROC for "fits" {estimate_text(found["auroc"])}{luck} ({rests})'


def _placebo_rows(found: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for row in (row for row in found if row["of"] == "heads"):
        who = (f"{row['llm']} ({row['prompt']})", row["judge"] or NOT_RUN)
        for kind, placebo in row["placebos"].items():
            if placebo is None:
                yield *who, kind, f"placebo: {NOT_RUN}", NOT_RUN, ""
            else:
                share = f"{placebo['described']} of {placebo['heads']}: {estimate_text(placebo['false'])}"
                pairing = "-" if placebo["pairing"] is None else str(placebo["pairing"])
                yield *who, kind, share, _value(placebo, row["measure"]), pairing


def _value(row: dict[str, Any], measure: str) -> str:
    """The mean score of a row, in the unit of its measure."""
    found = row[MEASURES[measure].value]
    return f"{estimate_text(found)}{MEASURES[measure].unit if found else ''}"
