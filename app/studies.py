"""The commands of ``study``: designing a human study, letting raters in, seeing how it stands, getting its data out."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app import options as o
from app.saying import say
from app.study_recruiting import recruit
from app.study_report import study_report

if TYPE_CHECKING:
    from annotations.design import Design
    from annotations.records import Study
    from describe.catalog import Catalogue

__all__ = ["study"]

study = typer.Typer(no_args_is_help=True, help="Human studies: people judge whether descriptions are plausible.")
study.command("report")(study_report)
study.command("recruit")(recruit)


@study.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the study is called.")],
    model: Annotated[list[str], typer.Option("--model", metavar="MODEL", help="A model; may be given several times.")],
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    heads: o.StudyHeads = "sample:120",
    source: o.Source = None,
    leave_out_unclear: o.LeaveOutUnclear = False,
    raters_per_item: o.RatersPerItem = 3,
    seed: Annotated[int, typer.Option("--seed", help="The same catalogue and seed make the same items.")] = 0,
    swap_easy: o.SwapEasy = 0.15,
    swap_hard: o.SwapHard = 0.15,
    shuffled: o.Shuffled = 0.1,
    catch: o.Catch = 0.1,
    repeats: o.Repeats = 0.08,
    distance: o.Distance = 20,
    block: Annotated[int, typer.Option("--block", metavar="N", help="Items of a block, about.")] = 24,
    rows: Annotated[int, typer.Option("--rows", metavar="N", help="Rows of a table, at most.")] = 30,
    targets: Annotated[int, typer.Option("--targets", metavar="N", help="Targets of a row, at most.")] = 5,
    items_per_rater: o.ItemsPerRater = None,
    lease_minutes: o.LeaseMinutes = 30.0,
    max_failed_catch: o.MaxFailedCatch = 0.25,
    min_seconds: o.MinSeconds = 3.0,
    max_repeat_disagreement: o.MaxRepeatDisagreement = None,
    guideline: o.Guideline = None,
    consent: o.Consent = None,
    contact: o.Contact = "",
    about_raters: o.AboutRaters = False,
    screening: o.Screening = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what the study would be, and make none.")] = False,
    json_path: o.Json = None,
) -> None:
    """Draw items from the described heads, hide controls among them, and store the study with all its settings."""
    from annotations.design import Design
    from annotations.material import consent_text, guideline_text

    design = Design(
        name=name,
        models=tuple(model),
        heads=heads,
        sources=tuple(source or ()),
        unclear=not leave_out_unclear,
        raters_per_item=raters_per_item,
        seed=seed,
        swap_easy=swap_easy,
        swap_hard=swap_hard,
        shuffled=shuffled,
        catch=catch,
        repeats=repeats,
        distance=distance,
        block=block,
        rows=rows,
        targets=targets,
        items_per_rater=items_per_rater,
        lease_minutes=lease_minutes,
        max_failed_catch=None if max_failed_catch == 1 else max_failed_catch,
        min_seconds_per_item=min_seconds or None,
        max_repeat_disagreement=max_repeat_disagreement,
        guideline=guideline_text() if guideline is None else _text(guideline),
        consent=consent_text() if consent is None else _text(consent),
        contact=contact,
        about_raters=about_raters,
        screening=screening,
    )
    with _catalogue(catalog) as opened:
        _preview(opened, design, json_path) if dry_run else _make(opened, design, json_path)


def _preview(opened: Catalogue, design: Design, json_path: Path | None) -> None:
    from annotations.preview import preview
    from app.terminal import draw_table, write_json

    found = preview(opened, design)
    if json_path:
        return write_json(asdict(found), json_path)
    draw_table(("study", ""), found.lines(), title=f"{design.name}: nothing is made yet")


def _make(opened: Catalogue, design: Design, json_path: Path | None) -> None:
    from annotations.design import new_study
    from app.terminal import write_json

    made = new_study(opened, design)
    if json_path:
        return write_json(_settings(made), json_path)
    kinds = ", ".join(f"{number} {kind}" for kind, number in made.n_items.items())
    say(
        f"{made.name}: {sum(made.n_items.values())} items ({kinds}), {made.raters_per_item} raters each.\n"
        f"Now let raters in: headscribe study invite {made.name} --raters {made.raters_per_item}"
    )


@study.command("list")
def list_(catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE, json_path: o.Json = None) -> None:
    """List the studies of the catalogue with their settings."""
    from annotations.storage import studies
    from app.terminal import draw_table, write_json

    with _catalogue(catalog) as opened:
        found = studies(opened, archived=True)
    if json_path:
        return write_json([_settings(one) for one in found], json_path)
    rows = [
        (
            one.name,
            ", ".join(one.models),
            str(sum(one.n_items.values())),
            str(one.raters_per_item),
            str(one.seed),
            f"{one.created:%Y-%m-%d %H:%M}",
            "archived" if one.archived else "stopped" if one.stopped else "open",
        )
        for one in found
    ]
    draw_table(("study", "models", "items", "raters each", "seed", "made (UTC)", "state"), rows, title="Studies")


@study.command()
def invite(
    name: o.StudyName = None,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    raters: Annotated[int, typer.Option("--raters", "-n", metavar="N", help="How many new raters.")] = 1,
    base_url: Annotated[
        str, typer.Option("--base-url", metavar="URL", help="Where the app runs, for the links.")
    ] = "http://localhost:8501",
    json_path: o.Json = None,
) -> None:
    """Enter new raters and print their personal links and codes. They are shown this once and stored nowhere."""
    from annotations.access import link
    from annotations.storage import find_study
    from annotations.storage import invite as enter
    from app.terminal import draw_table, write_json

    with _catalogue(catalog) as opened:
        chosen = find_study(opened, name)
        made = enter(opened, chosen, raters)
    rows = [(one.rater.pseudonym, one.code, link(base_url, one.code)) for one in made]
    if json_path:
        return write_json([dict(zip(("rater", "code", "link"), row, strict=True)) for row in rows], json_path)
    draw_table(("rater", "code", "link"), rows, title=f"{chosen.name}: write these down, they cannot be shown again")


@study.command()
def status(name: o.StudyName = None, catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE, json_path: o.Json = None) -> None:
    """Show progress, time per item and failed catch items of every rater, and agreement so far."""
    from annotations.status import status as state
    from annotations.storage import find_study
    from app.terminal import write_json

    with _catalogue(catalog) as opened:
        found = state(opened, find_study(opened, name))
    write_json(found, json_path) if json_path else _draw_status(found)


@study.command()
def revoke(
    rater: Annotated[str, typer.Argument(metavar="RATER", help="The pseudonym, such as R01.")],
    name: o.StudyName = None,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
) -> None:
    """Shut a rater out: the link ends, and what is unanswered goes to others. What was answered stays."""
    from annotations.storage import find_study
    from annotations.storage import revoke as shut_out

    with _catalogue(catalog) as opened:
        chosen = find_study(opened, name)
        shut_out(opened, chosen, rater)
    say(f"{chosen.name}: {rater.upper()} is shut out")


@study.command()
def stop(name: o.StudyName = None, catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE) -> None:
    """Give out no more items. What raters have before them they can still answer."""
    from annotations.storage import find_study
    from annotations.storage import stop as end

    with _catalogue(catalog) as opened:
        stopped = end(opened, find_study(opened, name))
    say(f"{stopped.name}: stopped; headscribe study extend goes on with it")


@study.command()
def extend(
    raters_per_item: Annotated[
        int, typer.Option("--raters-per-item", metavar="N", help="So many raters per item, at least as many as now.")
    ],
    name: o.StudyName = None,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
) -> None:
    """Want more raters per item, or go on with a stopped study."""
    from annotations.storage import extend as more
    from annotations.storage import find_study

    with _catalogue(catalog) as opened:
        extended = more(opened, find_study(opened, name), raters_per_item)
    say(f"{extended.name}: {extended.raters_per_item} raters per item")


@study.command()
def archive(
    name: o.StudyName = None,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    undo: Annotated[bool, typer.Option("--undo", help="Take it out again; study extend goes on with it.")] = False,
) -> None:
    """Put a study away: it is stopped and left out of the app's pages, and nothing of it is lost."""
    from annotations.storage import archive as put_away
    from annotations.storage import find_study

    with _catalogue(catalog) as opened:
        found = put_away(opened, find_study(opened, name), archived=not undo)
    say(f"{found.name}: {'among the studies again' if undo else 'archived'}")


@study.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The study.")],
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
) -> None:
    """Delete a study of which no item was answered, with its links. One that has answers can only be archived."""
    from annotations.storage import delete as discard
    from annotations.storage import find_study

    with _catalogue(catalog) as opened:
        discard(opened, find_study(opened, name))
    say(f"{name}: deleted")


@study.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The directory to write to.")],
    name: o.StudyName = None,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
) -> None:
    """Write all events (CSV and JSONL), items, ratings and a codebook, under pseudonyms."""
    from annotations.export import export as write
    from annotations.storage import find_study

    with _catalogue(catalog) as opened:
        for path in write(opened, find_study(opened, name), output):
            say(str(path))


@study.command()
def backup(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="The file to write.")],
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
) -> None:
    """Copy a SQLite catalogue, studies and all, while raters are at work."""
    from annotations.export import backup as copy
    from describe.files import is_stream
    from describe.secrets import shown_url

    with _catalogue(catalog) as opened:
        copy(opened, output)
    say(f"{shown_url(catalog)} copied to {output}", err=is_stream(output))


def _draw_status(found: dict[str, Any]) -> None:
    from app.terminal import draw_table

    external = any(row["external"] for row in found["raters"])
    rows = [
        (
            row["rater"],
            row["standing"],
            str(row["answered"]),
            str(row["repeats"]),
            "" if row["seconds"] is None else f"{row['seconds']:.1f}",
            f"{row['failed']} of {row['catch']}" if row["catch"] else "",
            row["last"] or "",
            *([row["external"] or ""] if external else []),
        )
        for row in found["raters"]
    ]
    headings: tuple[str, ...] = ("rater", "state", "answered", "repeats", "median s", "failed catch", "last heard of")
    headings += ("participant's id",) if external else ()
    items, answers, agreed = found["items"], found["answers"], found["agreement"]
    draw_table(headings, rows, title=f"{found['study']}: {found['state']}", right=(2, 3, 4, 5))
    for row in found["raters"]:
        if row["risk"]:
            say(f"at risk    {row['rater']}: {row['risk']}")
    say(
        f"answers    {answers['given']} of {answers['wanted']}; {items['complete']} of {items['number']} items complete"
    )
    if agreed["pairs"]:
        say(
            f"agreement  of {agreed['pairs']} pairs of raters at an item {agreed['fit']:.0%} gave the same answer,"
            f" {agreed['plausible']:.0%} agree whether it fits"
        )


def _settings(made: Study) -> dict[str, Any]:
    moments = {name: moment and moment.isoformat() for name, moment in _moments(made).items()}
    return asdict(made) | moments


def _moments(made: Study) -> dict[str, datetime | None]:
    return {"created": made.created, "stopped": made.stopped, "archived": made.archived}


def _text(path: Path) -> str:
    from describe.errors import InputError

    try:
        return path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read '{path}' as text: {error}") from error


def _catalogue(where: str) -> Catalogue:
    from describe.catalog import Catalogue

    return Catalogue(where)
