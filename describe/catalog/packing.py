"""How a head lies in the catalogue: its mapping rows as lists. The one place that knows both this and the records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row

from describe.catalog.rows import iso
from describe.head_record import HeadProvenance, HeadRecord, HeldOut, Json, RelationsProvenance, Shape
from describe.mappings import MappingRow, Target
from describe.records import ModelInfo

__all__ = ["head_record", "pack", "pack_held_out", "pack_suppressed", "unpack", "unpack_held_out"]

Rows = tuple[MappingRow, ...]


def pack(rows: Iterable[MappingRow]) -> list[Any]:
    """Mapping rows without what they suppress, as the column ``salient`` has them."""
    return [[r.token_id, r.token, _short(r.saliency), _pack_targets(r.targets)] for r in rows]


def pack_suppressed(rows: Iterable[MappingRow]) -> list[Any]:
    """The targets that the same rows suppress, as the column ``suppressed`` has it."""
    return [_pack_targets(row.suppressed) for row in rows]


def pack_held_out(next_: Rows, sample: Rows) -> Json:
    """The rows that no describer sees, as the column ``held_out`` has them."""
    kept = {"next": next_, "sample": sample}
    return {
        name: [[*row, down] for row, down in zip(pack(rows), pack_suppressed(rows), strict=True)]
        for name, rows in kept.items()
    }


def unpack(salient: list[Any], suppressed: list[Any] | None) -> Rows:
    """Mapping rows again; without what they suppress where that was not kept or not asked for."""
    below: list[Any] = suppressed or [()] * len(salient)
    return tuple([_row(*(*row, down)) for row, down in zip(salient, below, strict=True)])


def unpack_held_out(held_out: Json | None) -> tuple[Rows, Rows]:
    """The rows that no describer sees again, next and sample; none where they were not kept or not asked for."""
    kept: Json = held_out or {"next": (), "sample": ()}
    return tuple([_row(*row) for row in kept["next"]]), tuple([_row(*row) for row in kept["sample"]])


def head_record(
    model: ModelInfo,
    extraction: Row[Any],
    row: Row[Any],
    *,
    evidence: Row[Any] | None,
    roles: Json | None,
    relations_provenance: RelationsProvenance | None,
    **known: Any,
) -> HeadRecord:
    """The record of a head, from its row, that of its extraction, and what belongs to it.

    ``evidence`` is a row, if the head was tested, ``roles`` has those of the head with their ``provenance``; ``known``:
    ``descriptions``, ``relations`` and ``inference``. Where the row has no ``held_out``, nor has the record.
    """
    if "held_out" in row._mapping:
        known["held_out"] = HeldOut.of(**dict(zip(HeldOut.model_fields, unpack_held_out(row.held_out), strict=True)))
    looked_for = {
        "evidence": evidence and evidence.settings,
        "relations": relations_provenance,
        "roles": roles and roles["provenance"],
    }
    return HeadRecord.of(
        model=model.name,
        layer=row.layer,
        head=row.head,
        salient=unpack(row.salient, row.suppressed),
        roles=roles["roles"] if roles else (),
        evidence=evidence.found if evidence else (),
        provenance=HeadProvenance.of(
            content_hash=model.content_hash,
            family=model.family,
            shape=Shape.of_model(model),
            extraction=extraction.settings,
            versions=extraction.versions,
            extracted=iso(row.created),
            **{name: made for name, made in looked_for.items() if made is not None},
        ),
        **known,
    )


def _row(token_id: int, token: str, saliency: float, up: Iterable[Any], down: Iterable[Any]) -> MappingRow:
    return MappingRow(token_id, token, saliency, tuple([Target(*t) for t in up]), tuple([Target(*t) for t in down]))


def _pack_targets(targets: Iterable[Target]) -> list[Any]:
    return [[target.token_id, target.token, _short(target.logit)] for target in targets]


def _short(value: float) -> float:
    """Nine significant digits: what a float32 holds, without the noise that a float64 adds when printed."""
    return float(f"{value:.9g}")
