"""The command ``roles``: what each head does besides, and how much of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app import options as o
from app.saying import say

if TYPE_CHECKING:
    from describe.catalog.roles import Role
    from describe.pipeline import RolesResult
    from describe.records import HeadId

__all__ = ["roles"]


def roles(
    model: o.Model,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    heads: o.Heads = "all",
    reading: o.Reading = None,
    device: o.Device = "auto",
    dtype: o.Dtype = "float32",
    json_path: o.Json = None,
    quiet: o.Quiet = False,
) -> None:
    """Split the salient rows of heads into roles, each with its share and evidence; extracts first if needed."""
    from app.terminal import progress_bars, write_json
    from describe import pipeline
    from describe.catalog import Catalogue

    with Catalogue(catalog, create=True) as opened, progress_bars(quiet) as progress:
        result = pipeline.roles(
            opened, model, heads=heads, reading=reading, device=device, dtype=dtype, progress=progress
        )
    if json_path:
        write_json([_record(unit, role) for found in result.heads.values() for unit, role in found.items()], json_path)
    elif not quiet:
        _draw(result)


def _record(unit: HeadId, role: Role) -> dict[str, Any]:
    from dataclasses import asdict

    return {"layer": unit.layer, "head": unit.head, "role": unit.role, **asdict(role)}


def _draw(result: RolesResult) -> None:
    """The roles of heads that have several; of the others, how many there are."""
    from app.terminal import draw_table

    several = {head: found for head, found in result.heads.items() if len(found) > 1}
    rows = [
        (f"{head}", unit.role, role.sign, len(role.rows), f"{role.share:.0%}", f"{role.p_value:.2g}", _claims(role))
        for head, found in several.items()
        for unit, role in found.items()
    ]
    headings = ("head", "role", "sign", "rows", "share", "p", "evidence of its rows")
    draw_table(headings, [tuple(map(str, row)) for row in rows], title=f"{result.model.name}: roles", right=(3, 4, 5))
    say(f"{len(several)} of {len(result.heads)} heads have several roles, the others one each")


def _claims(role: Role) -> str:
    return "; ".join(f"{e.kind}: {e.wording} {e.count}/{e.rows}" for e in (role.evidence or ())[:3])
