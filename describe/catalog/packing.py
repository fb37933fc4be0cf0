"""How a head lies in the catalogue: its mapping rows as lists. The one place that knows both this and the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Row

from describe.catalog.findings import Finding
from describe.catalog.rows import iso
from describe.figures import HeadFigure
from describe.head_record import HeadProvenance, HeadRecord, HeldOut, Json, Record, Shape
from describe.head_record.query_key import QueryKeyRecord
from describe.mappings import ConstantPart, MappingRow, Target
from describe.records import HeadId, HeadMapping, ModelInfo

__all__ = ["DISTINCT", "MAPPING", "head_record", "pack", "unpack"]

Rows = tuple[MappingRow, ...]

_BY_DISTINCTNESS = {"distinct": "distinct_rows", "suppressing": "suppressing_rows"}
"""Rows of another order than saliency, and their columns."""

DISTINCT = tuple(_BY_DISTINCTNESS.values())
"""The columns that hold the rows that stand out most."""

MAPPING = ("salient", "suppressed", "held_out", *DISTINCT, "constant")
"""The columns that hold a head's mapping."""


def pack(mapping: HeadMapping, *, known: bool = True) -> Json:
    """A head's mapping by the columns of `MAPPING`.

    Where it is not ``known`` that what is empty was looked for, such columns are null: in a head from a file.
    """
    rows, held_out, constant = mapping.salient, (mapping.held_out, mapping.sampled), mapping.constant
    down = known or any(row.suppressed for row in rows)
    return {
        "salient": [_pack_row(row, below=False) for row in rows],
        "suppressed": [_pack_targets(row.suppressed) for row in rows] if down else None,
        "held_out": dict(zip(_HELD_OUT, map(_pack_rows, held_out), strict=True)) if known or any(held_out) else None,
        **{column: _pack_rows(getattr(mapping, name)) or None for name, column in _BY_DISTINCTNESS.items()},
        "constant": constant
        and [_pack_targets(constant.promoted), _pack_targets(constant.suppressed), _short(constant.share)],
    }


def unpack(head: HeadId, row: Row[Any]) -> HeadMapping:
    """A head's mapping again, from a row with the columns of `MAPPING`; without what was not kept or not asked for."""
    held_out: Json = row.held_out or {}
    next_, sample = (_unpack_rows(held_out.get(name)) for name in _HELD_OUT)
    return HeadMapping(
        head,
        _unpack_salient(row),
        held_out=next_,
        sampled=sample,
        distinct=_unpack_rows(row.distinct_rows),
        suppressing=_unpack_rows(row.suppressing_rows),
        constant=_unpack_constant(row.constant),
    )


def head_record(
    model: ModelInfo,
    extraction: Row[Any],
    row: Row[Any],
    *,
    evidence: Row[Any] | None,
    figure: Finding[HeadFigure] | None,
    query_key: Finding[QueryKeyRecord] | None,
    roles: Json | None,
    provenance: Mapping[str, Record],
    **known: Any,
) -> HeadRecord:
    """The record of a head, from its row, that of its extraction, and what belongs to it.

    ``evidence`` is a row, ``figure`` and ``query_key`` as found, if the head was tested, ``roles`` has those of the
    head with their ``provenance``; ``known``: ``descriptions``, ``relations``, ``inference`` and, where there are any,
    ``attention`` and ``worded``; ``provenance``: how what is known of all heads of the model was made, ``relations``
    and ``attention``. Where the row has no ``held_out``, nor has the record.
    """
    if "held_out" in row._mapping:
        kept = row.held_out or {}
        known["held_out"] = HeldOut.of(**{name: _unpack_rows(kept.get(name)) for name in _HELD_OUT})
    known |= {name: _unpack_rows(rows) for name, column in _BY_DISTINCTNESS.items() if (rows := getattr(row, column))}
    if row.constant is not None:
        known["constant"] = _unpack_constant(row.constant)
    if figure is not None:
        known["figure"] = figure.found
    if query_key is not None:
        known["query_key"] = query_key.found
    looked_for = {
        "tokens": extraction.tokens,
        "evidence": evidence and evidence.settings,
        "figure": figure and figure.settings,
        "query_key": query_key and query_key.settings,
        "roles": roles and roles["provenance"],
    }
    return HeadRecord.of(
        model=model.name,
        layer=row.layer,
        head=row.head,
        salient=_unpack_salient(row),
        roles=roles["roles"] if roles else (),
        evidence=evidence.found if evidence else (),
        provenance=HeadProvenance.of(
            content_hash=model.content_hash,
            family=model.family,
            shape=Shape.of_model(model),
            extraction=extraction.settings,
            versions=extraction.versions,
            extracted=iso(row.created),
            **provenance,
            **{name: made for name, made in looked_for.items() if made is not None},
        ),
        **known,
    ).with_card()


_HELD_OUT = tuple(HeldOut.model_fields)


def _pack_rows(rows: Rows) -> list[Any]:
    return [_pack_row(row, below=True) for row in rows]


def _pack_row(row: MappingRow, *, below: bool) -> list[Any]:
    """A row as ``[token_id, token, saliency, targets]``, then what it suppresses, if not kept apart, and at last what
    only some rows have."""
    more: list[Any] = [_pack_targets(row.suppressed)] if below else []
    if row.distinctness is not None or row.variants:
        more.append(None if row.distinctness is None else _short(row.distinctness, DIGITS))
    if row.variants:
        more.append(list(row.variants))
    return [row.token_id, row.token, _short(row.saliency), _pack_targets(row.targets), *more]


def _unpack_salient(row: Row[Any]) -> Rows:
    below: list[Any] = row.suppressed or [()] * len(row.salient)
    return _unpack_rows([[*one[:4], down, *one[4:]] for one, down in zip(row.salient, below, strict=True)])


def _unpack_rows(rows: list[Any] | None) -> Rows:
    return tuple([_row(*row) for row in rows or ()])


def _unpack_constant(constant: list[Any] | None) -> ConstantPart | None:
    if constant is None:
        return None
    up, down, share = constant
    return ConstantPart(tuple([Target(*t) for t in up]), tuple([Target(*t) for t in down]), share)


def _row(
    token_id: int,
    token: str,
    saliency: float,
    up: list[Any],
    down: Iterable[Any],
    distinctness: float | None = None,
    variants: Iterable[str] = (),
) -> MappingRow:
    above, below = tuple([Target(*t) for t in up]), tuple([Target(*t) for t in down])
    return MappingRow(token_id, token, saliency, above, below, distinctness, tuple(variants))


def _pack_targets(targets: Iterable[Target]) -> list[Any]:
    return [
        [t.token_id, t.token, _short(t.logit)]
        if t.z is None
        else [t.token_id, t.token, _short(t.logit, DIGITS), _short(t.z, DIGITS)]
        for t in targets
    ]


DIGITS = 5
"""Significant digits where a row has more to say than the paper's: so a head takes no more than twice its space."""


def _short(value: float, digits: int = 9) -> float:
    """Nine significant digits: what a float32 holds, without the noise that a float64 adds when printed."""
    return float(f"{value:.{digits}g}")
