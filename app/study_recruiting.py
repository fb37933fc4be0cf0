"""The command ``study recruit``: one link by which raters enter themselves, for platforms such as Prolific."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from app import options as o
from app.saying import say

if TYPE_CHECKING:
    from annotations.recruiting import Recruiting

__all__ = ["recruit"]


def recruit(
    cap: Annotated[int, typer.Option("--cap", metavar="N", help="So many raters at most.")] = 0,
    name: o.StudyName = None,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    id_parameter: Annotated[
        Optional[str],  # noqa: UP045  (Typer reads the annotation at run time, on Python 3.10 too)
        typer.Option("--id-parameter", metavar="NAME", help="Of the link: a participant's id; Prolific: PROLIFIC_PID."),
    ] = None,
    completion_code: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--completion-code", metavar="CODE", help="Shown to raters at the end."),
    ] = None,
    return_url: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--return-url", metavar="URL", help="Where raters go at the end, https://..."),
    ] = None,
    base_url: Annotated[
        str, typer.Option("--base-url", metavar="URL", help="Where the app runs, for the link.")
    ] = "http://localhost:8501",
    new_link: Annotated[bool, typer.Option("--new-link", help="Make another link; the one before ends.")] = False,
    close: Annotated[bool, typer.Option("--close", help="Let nobody else enter.")] = False,
) -> None:
    """Let raters enter themselves by one link, up to a cap, or change how. The link is shown this once."""
    from annotations.recruiting import Recruiting, close_recruiting, recruiting_of
    from annotations.recruiting import recruit as let_in
    from annotations.storage import find_study
    from describe.catalog import Catalogue
    from describe.errors import InputError

    with Catalogue(catalog) as opened:
        study = find_study(opened, name)
        if close:
            close_recruiting(opened, study)
            return say(f"{study.name}: nobody else can enter by the link")
        before = recruiting_of(opened, study.id)
        if not cap and before is None:
            raise InputError("say how many raters may enter at most: --cap N")
        how = Recruiting(
            cap=cap or (before.cap if before else 0),
            id_parameter=_given(id_parameter, before.id_parameter if before else None),
            completion_code=_given(completion_code, before.completion_code if before else None),
            return_url=_given(return_url, before.return_url if before else None),
        )
        code = let_in(opened, study, how, new_link=new_link)
    _tell(study.name, how, code, base_url)


def _given(value: str | None, before: str | None) -> str | None:
    """An option as given, else as it was; given as nothing, none."""
    return before if value is None else value or None


def _tell(name: str, how: Recruiting, code: str | None, base_url: str) -> None:
    from annotations.recruiting import recruiting_link

    say(f"{name}: up to {how.cap:,} raters enter themselves")
    if code is None:
        say("The link is the one you have; --new-link makes another, and ends it.")
    else:
        say("Write this down, it cannot be shown again:")
        say(recruiting_link(base_url, code, how))
