"""The commands that run the model: ``correlate`` and ``ablate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from app.options import (
    DEFAULT_CATALOGUE,
    CataloguePlace,
    Csv,
    Device,
    Heads,
    Json,
    K,
    Latex,
    Model,
    NoFirstMLP,
    Only,
    Operations,
    Plots,
    ProfileName,
    Quiet,
    RunDtype,
    ScoredReading,
)
from app.saying import say
from app.tables import change, number, p_value
from describe.errors import InputError
from describe.records import MIN_PAIRS
from describe.text import spaced

if TYPE_CHECKING:
    from describe.pipeline import AblateResult, CorrelateResult

__all__ = ["ablate", "correlate"]

Asked = dict[str, Any]
"""Options as the pipeline takes them."""

Rows = list[dict[str, Any]]

Templates = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--templates", metavar="FILE", help="Texts with <X>, one a line or a JSON list."),
]
Described = Annotated[
    bool, typer.Option("--described", help="Instead: do the described heads write their own salient mappings?")
]
AttendedHeads = Annotated[
    bool,
    typer.Option("--attended", help="Instead: where heads attend to a token on text, do they write its targets?"),
]
MultiToken = Annotated[bool, typer.Option("--multi-token", help="Sources of several tokens as well.")]
Pairs = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--pairs", metavar="N", help="A random sample of N pairs of each operation (default: all)."),
]
ComparedReading = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--reading",
        metavar="NAME",
        help="By which static scores are computed: paper (the default), direct; with --described, of which heads.",
    ),
]
Tasks = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--templates", metavar="FILE", help='JSON: operation to text with <X>, or {"text", "shots"}.'),
]
Prompts = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--prompts", metavar="N", help="Prompts of a task, at most (default: 100)."),
]
Seeds = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--seeds", metavar="N", help="Draws of random heads (default: 5)."),
]
Controls = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--controls", metavar="N", help="Control tasks, at most (default: 3; profile paper: 5)."),
]
Row = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--row",
        metavar="RULE",
        help="The table's row: worst (where the task fares worst) or zero (the first number of heads at which"
        " accuracy is 0, else the last; default: as the profile).",
    ),
]
By = Annotated[
    str,
    typer.Option("--by", metavar="HOW", help="In place of what a head reads: zero, mean, resample (of others)."),
]
At = Annotated[
    str, typer.Option("--at", metavar="WHERE", help="Remove heads at the last position of a prompt, or at all.")
]
RemovedHeads = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--heads",
        metavar="WHICH",
        help="Instead: remove these together, such as 25.0,16.8; loss on tasks and on text, and direct effect.",
    ),
]
Text = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--text", metavar="PLACE", help="With --heads: a file, a folder or a dataset (default: ours)."),
]


def correlate(
    model: Model,
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    operations: Operations = None,
    only: Only = None,
    profile: ProfileName = None,
    k: K = None,
    no_first_mlp: NoFirstMLP = False,
    templates: Templates = None,
    heads: Heads = "all",
    described: Described = False,
    attended: AttendedHeads = False,
    multi_token: MultiToken = False,
    pairs: Pairs = None,
    reading: ComparedReading = None,
    device: Device = "auto",
    dtype: RunDtype = "float32",
    csv: Csv = None,
    latex: Latex = None,
    json_path: Json = None,
    quiet: Quiet = False,
) -> int:
    """Run the model: do static scores go with what heads write in prompts, with and without context?"""
    from app.terminal import progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.operations import profile_named

    asked: Asked = {"heads": heads, "device": device, "dtype": dtype}
    of_heads = "--attended" if attended else "--described" if described else ""
    of_operations = multi_token or pairs or operations or only or profile or k or no_first_mlp
    if of_heads and (of_operations or (attended and (described or templates))):
        raise InputError(f"{of_heads} looks at heads, not at operations: leave out the other options")
    with Catalogue(catalog, create=not of_heads) as opened, progress_bars(quiet) as progress:
        result = None
        if of_heads:
            asked |= {"reading": reading, "progress": progress} | ({} if attended else {"templates": templates})
            found = (pipeline.check_attended if attended else pipeline.check_described)(opened, model, **asked)
            rows = [{"head": str(head)} | values for head, values in found.items()]
        else:
            options: Asked = {
                "operations": operations,
                "only": _names(only),
                "profile": profile_named(profile),
                "k": k,
                "first_mlp": not no_first_mlp,
                "templates": templates,
                "multi_token": multi_token,
                "pairs": pairs,
            }
            asked |= {"reading": reading or "paper", "progress": progress}
            result = pipeline.correlate(opened, model, **options, **asked)
            rows = pipeline.correlation_rows(result.correlations)
    _write_tables([_flat(row) for row in rows], csv, latex)
    if json_path:
        about = {"model": model} if result is None else {"model": result.model.name, "templates": result.templates}
        write_json(about | {"heads" if of_heads else "correlations": rows}, json_path)
    elif not quiet:
        drawn = _draw_attended if attended else _draw_described
        drawn(rows) if result is None else _draw_correlations(result, rows)
    for problem in [] if result is None else result.problems:
        say(f"headscribe: {problem}", err=True)
    return 1 if result is not None and result.problems else 0


def ablate(
    model: Model,
    catalog: CataloguePlace = DEFAULT_CATALOGUE,
    operations: Operations = None,
    only: Only = None,
    profile: ProfileName = None,
    k: K = None,
    no_first_mlp: NoFirstMLP = False,
    templates: Tasks = None,
    prompts: Prompts = None,
    seeds: Seeds = None,
    controls: Controls = None,
    row: Row = None,
    by: By = "zero",
    at: At = "last",
    heads: RemovedHeads = None,
    text: Text = None,
    reading: ScoredReading = "paper",
    device: Device = "auto",
    dtype: RunDtype = "float32",
    plots: Plots = None,
    csv: Csv = None,
    latex: Latex = None,
    json_path: Json = None,
    quiet: Quiet = False,
) -> int:
    """Run the model with heads removed: is an ability lost with the heads that should implement it?"""
    from app.terminal import progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.inference import ROW_RULES
    from describe.operations import profile_named

    asked: Asked = {"operations": operations, "only": _names(only), "tasks": templates, "by": by, "at": at}
    asked |= {"device": device, "dtype": dtype}
    if heads is not None:
        if k or no_first_mlp or profile or row or controls is not None or plots:
            raise InputError("--heads removes the heads that it names: leave out what chooses them, and --plots")
        numbers = {"prompts": 100 if prompts is None else prompts, "seeds": 5 if seeds is None else seeds}
        return _remove(model, heads, catalog, asked | numbers | {"text": text}, (csv, latex, json_path, quiet))
    if text is not None:
        raise InputError("--text goes with --heads")
    named = profile_named(profile)
    rule = row or named.row
    if rule not in ROW_RULES:
        raise InputError(f"there is no rule '{rule}' for the row: use {', '.join(ROW_RULES)}")
    with Catalogue(catalog, create=True) as opened, progress_bars(quiet) as progress:
        asked |= {"profile": named, "k": k, "first_mlp": not no_first_mlp, "reading": reading}
        asked |= {"prompts": prompts, "seeds": seeds, "controls": controls}
        result = pipeline.ablate(opened, model, **asked, progress=progress)
    rows = pipeline.ablation_rows(result.ablations, rule)
    if plots:
        _save_curves(result, plots)
    _write_tables(rows, csv, latex)
    if json_path:
        curves = {name: pipeline.ablation_curves(found) for name, found in result.ablations.items()}
        removed = {name: found.heads for name, found in result.ablations.items()}
        found = {"model": result.model.name, "row": rule, "ablations": rows, "not_testable": result.not_testable}
        write_json(found | {"heads": removed, "curves": curves}, json_path)
    elif not quiet:
        _draw_ablations(result, rows, ROW_RULES[rule].words)
    for problem in result.problems:
        say(f"headscribe: {problem}", err=True)
    return 1 if result.problems else 0


def _remove(
    model: str,
    heads: str,
    catalog: str,
    asked: Asked,
    out: tuple[Path | None, Path | None, Path | None, bool],
) -> int:
    """``ablate --heads``: a table of what removing them together does, beside as many random heads."""
    from app.terminal import draw_table, progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue

    csv, latex, json_path, quiet = out
    with Catalogue(catalog, create=True) as opened, progress_bars(quiet) as progress:
        result = pipeline.remove_heads(opened, model, heads, **asked, progress=progress)
    rows: Rows = [
        {
            "on": name,
            "prompts": effect.prompts,
            "base_accuracy": effect.base_accuracy,
            "accuracy": effect.accuracy,
            "random_accuracy": _mean(effect.random_accuracy),
            "base_loss": effect.base_loss,
            "loss": effect.loss,
            "random_loss": _mean(effect.random_loss),
            "direct_loss": effect.direct_loss,
        }
        for name, effect in result.effects.items()
    ]
    _write_tables(rows, csv, latex)
    removed = [str(head) for head in result.heads]
    if json_path:
        found = {"model": result.model.name, "heads": removed, "by": asked["by"], "at": asked["at"]}
        write_json(found | {"effects": rows, "not_testable": result.not_testable}, json_path)
    elif not quiet:
        numbers = [name for name in (rows[0] if rows else {}) if name not in ("on", "prompts")]
        shown = [(row["on"], str(row["prompts"]), *(number(row[name]) for name in numbers)) for row in rows]
        headings = ("on", "prompts", *map(spaced, numbers))
        title = f"{result.model.name} without {', '.join(removed)} ({asked['by']}, {asked['at']}); loss in nats"
        draw_table(headings, shown, title=title, right=range(1, 9))
        if result.not_testable:
            draw_table(("operation", "why"), list(result.not_testable.items()), title="Not testable")
    return 0


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _names(only: str | None) -> list[str]:
    return [name.strip() for name in only.split(",")] if only else []


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what is nested in it."""
    return {name: value for name, value in row.items() if not isinstance(value, list | dict)}


def _write_tables(rows: Rows, csv: Path | None, latex: Path | None) -> None:
    from app.tables import csv_table, latex_table
    from describe.files import write_atomically

    for path, write in ((csv, csv_table), (latex, latex_table)):
        if path:
            write_atomically(path, write(rows))


def _save_curves(result: AblateResult, folder: Path) -> None:
    import pandas as pd

    from app.charts import save_ablations
    from describe import pipeline

    save_ablations(
        {name: pd.DataFrame(pipeline.ablation_curves(found)) for name, found in result.ablations.items()}, folder
    )


def _draw_correlations(result: CorrelateResult, rows: Rows) -> None:
    """A table each of relation and suppression scores, sources of one token and of several."""
    from app.terminal import draw_table

    headings = ("operation", "pairs", "k", "r without context", "p", "r with context", "p", "largest static score")
    of = {"single": "sources of one token", "multi": "sources of several tokens"}
    for sources in dict.fromkeys(row["sources"] for row in rows):
        for side in ("relation", "suppression"):
            shown = [
                (
                    row["operation"],
                    str(row["pairs"]),
                    str(row["k"]),
                    number(row["r_without_context"]),
                    p_value(row["p_without_context"]),
                    number(row["r_with_context"]),
                    p_value(row["p_with_context"]),
                    number(row["largest_static_score"]),
                )
                for row in rows
                if (row["sources"], row["side"]) == (sources, side)
            ]
            title = f"{result.model.name}: static against dynamic {side} scores, {of[sources]}"
            draw_table(headings, shown, title=title, right=range(1, 8))
    if result.too_few:
        few = [(name, str(pairs)) for name, pairs in result.too_few.items()]
        draw_table(("operation", "pairs"), few, title=f"Under {MIN_PAIRS} pairs of single tokens", right=(1,))


def _draw_described(rows: Rows) -> None:
    from app.terminal import draw_table

    shown = [
        (row["head"], str(row["pairs"]), str(row["k"]), number(row["of_source"]), number(row["in_context"]))
        for row in rows
    ]
    headings = ("head", "mappings", "k", "without context", "with context")
    title = "Share of the salient mappings that the head writes in prompts"
    draw_table(headings, shown, title=title, right=range(1, 5))


def _draw_attended(rows: Rows) -> None:
    from app.terminal import draw_table

    figures = ("attention", "of_source", "in_context", "exchanged")
    shown = [
        (row["head"], str(row["contexts"]), str(row["k"]), *(number(row[name]) for name in figures)) for row in rows
    ]
    headings = ("head", "places", "k", "attention", "of the token alone", "as it attends", "targets exchanged")
    draw_table(
        headings, shown, title="Share of static targets that heads write where they look hardest", right=range(1, 7)
    )
    if rows:
        means = {name: sum(row[name] for row in rows) / len(rows) for name in figures}
        more = sum(row["in_context"] > row["exchanged"] for row in rows)
        own, exchanged = means["in_context"], means["exchanged"]
        say(
            f"as they attend {own:.2f} of the targets, {exchanged:.2f} of those of another place;"
            f" more of their own in {more} of {len(rows)} heads"
        )


def _draw_ablations(result: AblateResult, rows: Rows, rule: str) -> None:
    from app.terminal import draw_table

    shown = [
        (
            row["operation"],
            str(row["prompts"]),
            str(row["heads"]),
            number(row["base"]),
            change(row["targeted"], row["targeted_change"]),
            f"{change(row['random'], row['random_change'])} ± {row['random_sd']:.2f}",
            number(row["control_base"]),
            change(row["control"], row["control_change"]),
            row["controls"],
        )
        for row in rows
    ]
    headings = ("operation", "prompts", "heads", "Base", "-TR", "-RND", "CTR base", "CTR -TR", "control tasks")
    title = f"{result.model.name}: accuracy with heads of the task (-TR) or random heads removed; row: {rule}"
    draw_table(headings, shown, title=title, right=range(1, 8))
    if result.not_testable:
        draw_table(("operation", "why"), list(result.not_testable.items()), title="Not testable")
