"""Heads read role by role: what there is to describe, the rows of each role, and everything tested on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.catalog.roles import Role, Sign
from describe.errors import CatalogueError
from describe.records import Evidence, HeadId, HeadMapping

if TYPE_CHECKING:
    from describe.labelling import Template

__all__ = ["evidence_of_roles", "of_role", "role_units", "roles_settings", "split_already", "tested_roles"]

Loader = Callable[[HeadId], HeadMapping]


def roles_settings() -> dict[str, Any]:
    """Settings that roles depend on besides the extraction."""
    from describe.maps.roles import SETTINGS

    return dict(SETTINGS)


def split_already(
    catalogue: Catalogue, extraction_id: int, template: Template, load: Loader, heads: list[HeadId]
) -> tuple[list[HeadId], Loader]:
    """The roles of heads to describe, and how to read it.

    A prompt that shows what heads promote is for roles that promote, one that shows what they suppress for the others.
    Raises `CatalogueError` where heads are not split yet.
    """
    found = catalogue.roles.of_extraction(extraction_id, roles_settings())
    if not found.keys() >= set(heads):
        raise CatalogueError("not all of these heads are split into roles yet: run headscribe roles")

    def load_role(unit: HeadId) -> HeadMapping:
        mapping = load(unit)
        return of_role(mapping, unit, found[unit._replace(role=0)][unit]) if unit.role else mapping

    return role_units(found, heads, _signs(template)), load_role


def role_units(found: dict[HeadId, dict[HeadId, Role]], heads: Iterable[HeadId], signs: Sequence[Sign]) -> list[HeadId]:
    """The roles to describe of heads that were split: each role that evidence supports and that has such a sign.

    A head with one role, or none that evidence supports, is described as a whole, if one of its roles has the sign. As
    a whole means by what it promotes, unless ``signs`` are of suppression alone.
    """
    units: list[HeadId] = []
    for head in heads:
        wanted = [unit for unit, role in found[head].items() if role.sign in signs]
        if len(found[head]) > 1 and any(role.evidence for role in found[head].values()):
            units += [unit for unit in wanted if found[head][unit].evidence]
        elif len(signs) == 1 or any(found[head][unit].sign == "promotes" for unit in wanted):
            units += [head] if wanted else []
        else:
            units += wanted
    return units


def of_role(mapping: HeadMapping, unit: HeadId, role: Role) -> HeadMapping:
    """A head's mapping with the rows of one role alone, and the evidence of these."""
    held_out = tuple(mapping.held_out[i] for i in role.held_out) if mapping.held_out else ()
    salient = tuple(mapping.salient[i] for i in role.rows)
    return HeadMapping(unit, salient, role.evidence or (), held_out, mapping.sampled)


def evidence_of_roles(
    catalogue: Catalogue, model: str, extraction_id: int, random: Sequence[HeadMapping]
) -> tuple[dict[HeadId, list[Evidence]], set[HeadId]]:
    """Everything tested on the rows of each role, beside ``random`` heads, and which roles suppress."""
    found = catalogue.roles.of_extraction(extraction_id, roles_settings())
    suppress = {unit for of_head in found.values() for unit, role in of_head.items() if role.sign == "suppresses"}
    return tested_roles(catalogue, model, extraction_id, found, random), suppress


def tested_roles(
    catalogue: Catalogue,
    model: str,
    extraction_id: int,
    found: dict[HeadId, dict[HeadId, Role]],
    random: Sequence[HeadMapping],
) -> dict[HeadId, list[Evidence]]:
    """Everything tested on the rows of each role, by role.

    Roles that promote are tested by what their rows promote, beside the other roles of all heads; roles that suppress
    likewise by what is suppressed. A head that is not split yet stands beside them as a whole. ``random`` heads are
    taken by what they promote: what they suppress is distributed alike.
    """
    from describe.evidence import model_evidence
    from describe.pipeline.vocabulary import vocabulary_of
    from describe.weights import open_model

    vocabulary = vocabulary_of(open_model(model).tokens)
    saved = sorted(catalogue.saved_heads(extraction_id))
    whole = {head: catalogue.mapping(extraction_id, head) for head in saved}
    evidence: dict[HeadId, list[Evidence]] = {}
    for sign in ("promotes", "suppresses"):
        tables = [_facing(part, sign) for head in saved for part in _clusters(whole[head], found.get(head, {}), sign)]
        evidence |= {unit: tested for unit, tested in model_evidence(vocabulary, tables, random).items() if unit.role}
    return evidence


def _signs(template: Template) -> list[Sign]:
    """The signs that a prompt can be asked about; the statistics, which have none, put either into words."""
    from describe.evidence import NAME

    if template.name == NAME:
        return ["promotes", "suppresses"]
    shows: dict[Sign, set[str]] = {"promotes": {"rows", "lines"}, "suppresses": {"suppressed"}}
    return [sign for sign, fields in shows.items() if fields & template.uses]


def _clusters(whole: HeadMapping, found: dict[HeadId, Role], sign: str) -> list[HeadMapping]:
    """A head's rows in their clusters: those of a role with this sign under its name, the others under the head's."""
    if not found:
        return [whole]
    by_rows: dict[tuple[int, ...], HeadMapping] = {}
    for unit, role in found.items():
        if role.sign == sign or role.rows not in by_rows:
            by_rows[role.rows] = of_role(whole, unit if role.sign == sign else whole.id, role)
    return list(by_rows.values())


def _facing(mapping: HeadMapping, sign: str) -> HeadMapping:
    """The mapping with what its rows suppress in the place of the targets, where that is what is looked at."""
    if sign == "promotes":
        return mapping
    return replace(mapping, salient=tuple(replace(row, targets=row.suppressed) for row in mapping.salient))
