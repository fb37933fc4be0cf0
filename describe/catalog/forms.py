"""A head as the catalogue keeps it, compactly, and as it is read: the JSON form of one head."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row

from describe.catalog.relations import HeadRelations
from describe.catalog.rows import iso
from describe.records import HeadId, MappingRow, ModelInfo, Target

__all__ = ["pack", "pack_targets", "record", "unpack"]


def record(
    model: ModelInfo,
    run: Row[Any],
    row: Row[Any],
    descriptions: Iterable[Row[Any]],
    relations: HeadRelations,
    known: dict[str, Any],
) -> dict[str, Any]:
    """One head in the JSON form of one head, from its row and what belongs to it.

    ``run`` is its extraction's row, ``known`` what else there is, as it stands.
    """
    return {
        "model": model.name,
        "layer": row.layer,
        "head": row.head,
        "salient": [asdict(mapping_row) for mapping_row in unpack(row.salient, row.suppressed)],
        "descriptions": [_description_record(found) for found in descriptions],
        "relations": relations.heads.get(HeadId(row.layer, row.head), {}),
        **known,
        "provenance": {
            "content_hash": model.content_hash,
            "family": model.family,
            "extraction": run.settings,
            "versions": run.versions,
            "extracted": iso(row.created),
            **({"relations": relations.provenance} if relations.provenance else {}),
        },
    }


def _description_record(row: Row[Any]) -> dict[str, Any]:
    return {
        "llm": row.llm,
        "prompt": row.prompt,
        "inputs": row.inputs,
        "pattern": row.pattern,
        "unclear": row.unclear,
        "reasoning": row.reasoning,
        "failure": row.failure,
        "detail": row.detail,
        "scores": {},
        "provenance": {
            "template_hash": row.template_hash,
            "prompt_hash": row.prompt_hash,
            "settings": row.settings,
            "usage": row.usage,
            "versions": row.versions,
            "described": iso(row.created),
        },
    }


def pack(rows: Iterable[MappingRow]) -> list[Any]:
    """Mapping rows without what they suppress, as the column ``salient`` keeps them."""
    return [[r.token_id, r.token, _short(r.saliency), pack_targets(r.targets)] for r in rows]


def pack_targets(targets: Iterable[Target]) -> list[Any]:
    """Targets as lists."""
    return [[target.token_id, target.token, _short(target.logit)] for target in targets]


def unpack(salient: list[Any], suppressed: list[Any] | None) -> tuple[MappingRow, ...]:
    """Mapping rows again; without what they suppress where that was not kept or not asked for."""
    suppressed = suppressed or [[]] * len(salient)
    return tuple(
        MappingRow(token_id, token, saliency, tuple(Target(*t) for t in up), tuple(Target(*t) for t in down))
        for (token_id, token, saliency, up), down in zip(salient, suppressed, strict=True)
    )


def _short(value: float) -> float:
    """Nine significant digits: what a float32 holds, without the noise that a float64 adds when printed."""
    return float(f"{value:.9g}")
