"""A head as the catalogue keeps it, compactly, and as it is read: the JSON form of one head."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row

from describe.catalog.relations import HeadRelations
from describe.catalog.rows import iso
from describe.records import HeadId, HeadMapping, MappingRow, ModelInfo, Target

__all__ = [
    "SHAPE",
    "is_called",
    "model_info",
    "pack",
    "pack_held_out",
    "pack_targets",
    "record",
    "unpack",
    "unpack_held_out",
]


SHAPE = ("n_layers", "n_heads", "n_kv_heads", "d_model", "d_head", "vocab_size")
"""What of a model's identity is its shape."""


def is_called(row: Row[Any], name: str) -> bool:
    """A model's row goes by this name: its own, or with ``@`` and the start of the content hash."""
    start = name.removeprefix(f"{row.name}@")
    return bool(row.name == name or (start != name and row.content_hash.startswith(start)))


def model_info(row: Row[Any]) -> ModelInfo:
    """A model from its row."""
    return ModelInfo(**{name: getattr(row, name) for name in ModelInfo.__dataclass_fields__})


def record(
    model: ModelInfo,
    run: Row[Any],
    row: Row[Any],
    descriptions: Iterable[Row[Any]],
    relations: HeadRelations,
    scores: dict[int, dict[str, Any]],
    roles: dict[str, Any] | None,
    evidence: Row[Any] | None,
    inference: dict[str, Any] | None,
) -> dict[str, Any]:
    """One head in the JSON form of one head, from its row and what belongs to it.

    ``run`` is its extraction's row, ``scores`` those of descriptions by their id, ``roles`` those of the head with
    their provenance, ``evidence`` a row, if it was tested, ``inference`` what running the model showed of the head's
    own mappings.
    """
    return {
        "model": model.name,
        "layer": row.layer,
        "head": row.head,
        "salient": [_row_record(*found) for found in _with_suppressed(row.salient, row.suppressed)],
        "held_out": {
            name: [_row_record(*found) for found in rows] for name, rows in (row.held_out or _NOT_KEPT).items()
        },
        "descriptions": [_description_record(found, scores.get(found.id, {})) for found in descriptions],
        "roles": roles["roles"] if roles else [],
        "relations": relations.heads.get(HeadId(row.layer, row.head), {}),
        "evidence": evidence.found if evidence else [],
        "inference": inference,
        "provenance": {
            "content_hash": model.content_hash,
            "family": model.family,
            "shape": {name: getattr(model, name) for name in SHAPE},
            "extraction": run.settings,
            "versions": run.versions,
            "extracted": iso(row.created),
            **({"evidence": evidence.settings} if evidence else {}),
            **({"relations": relations.provenance} if relations.provenance else {}),
            **({"roles": roles["provenance"]} if roles else {}),
        },
    }


def _row_record(token_id: int, token: str, saliency: float, up: list[Any], down: list[Any]) -> dict[str, Any]:
    targets = {
        way: [{"token_id": target, "token": text, "logit": logit} for target, text, logit in found]
        for way, found in (("targets", up), ("suppressed", down))
    }
    return {"token_id": token_id, "token": token, "saliency": saliency, **targets}


def _description_record(row: Row[Any], scores: dict[str, Any]) -> dict[str, Any]:
    return {
        "llm": row.llm,
        "prompt": row.prompt,
        "role": row.role or None,
        "inputs": row.inputs,
        "pattern": row.pattern,
        "unclear": row.unclear,
        "reasoning": row.reasoning,
        "claims": row.claims,
        "failure": row.failure,
        "detail": row.detail,
        "scores": {measure: dict(sorted(judged.items())) for measure, judged in sorted(scores.items())},
        "provenance": {
            "template_hash": row.template_hash,
            "template": row.template,
            "prompt_hash": row.prompt_hash,
            "settings": row.settings,
            "reply": row.reply,
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
    return tuple(_mapping_row(*found) for found in _with_suppressed(salient, suppressed))


def pack_held_out(mapping: HeadMapping) -> dict[str, Any]:
    """The rows that no describer sees, as the column ``held_out`` keeps them."""
    kept = {"next": mapping.held_out, "sample": mapping.sampled}
    return {
        name: [[*packed, pack_targets(row.suppressed)] for packed, row in zip(pack(rows), rows, strict=True)]
        for name, rows in kept.items()
    }


def unpack_held_out(held_out: dict[str, Any] | None) -> dict[str, tuple[MappingRow, ...]]:
    """The rows that no describer sees again; none where they were not kept or not asked for."""
    return {name: tuple(_mapping_row(*found) for found in rows) for name, rows in (held_out or _NOT_KEPT).items()}


_NOT_KEPT: dict[str, list[Any]] = {"next": [], "sample": []}


def _with_suppressed(salient: list[Any], suppressed: list[Any] | None) -> list[list[Any]]:
    return [[*row, down] for row, down in zip(salient, suppressed or [[]] * len(salient), strict=True)]


def _mapping_row(token_id: int, token: str, saliency: float, up: list[Any], down: list[Any]) -> MappingRow:
    return MappingRow(token_id, token, saliency, tuple(Target(*t) for t in up), tuple(Target(*t) for t in down))


def _short(value: float) -> float:
    """Nine significant digits: what a float32 holds, without the noise that a float64 adds when printed."""
    return float(f"{value:.9g}")
