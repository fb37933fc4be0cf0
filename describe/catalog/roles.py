"""The roles of a catalogue's heads: which rows of a head do one thing together, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    Float,
    ForeignKey,
    Integer,
    Row,
    String,
    Table,
    UniqueConstraint,
    func,
    select,
)

from describe.catalog import schema
from describe.catalog.database import begin_write
from describe.catalog.evidence import evidence_of
from describe.catalog.heads import HEAD_ID, heads_of, place
from describe.catalog.rows import json_hash, now
from describe.head_record import RoleRecord
from describe.records import Evidence, HeadId

__all__ = ["Role", "RoleStore", "Sign", "head_role"]

Sign = Literal["promotes", "suppresses"]
Found = dict[str, Any]

head_role = Table(
    "head_role",
    schema.metadata,
    Column("id", Integer, primary_key=True),
    Column("head_id", ForeignKey("head.id"), nullable=False),
    Column("role", Integer, nullable=False, comment="from 1; a number is never used again for other rows"),
    Column("sign", String(16), nullable=False, comment="promotes or suppresses"),
    Column("rows", JSON, nullable=False, comment="which of the head's ``salient``, from 0"),
    Column("held_out", JSON, nullable=False, comment="which of the next rows of its ``held_out``"),
    Column("share", Float, nullable=False, comment="of the summed squared saliency of the salient rows"),
    Column("reach", Float, nullable=False, comment="of the extreme logits, in standard deviations"),
    Column("p_value", Float, nullable=False, comment="of the head having several roles at all"),
    Column("evidence", JSON(none_as_null=True), comment="{settings, found} of these rows; null until tested"),
    Column("settings", JSON, nullable=False),
    Column("settings_hash", String(64), nullable=False),
    Column("versions", JSON, nullable=False),
    Column("created", DateTime(timezone=True), nullable=False),
    UniqueConstraint("head_id", "role"),
)


@dataclass(frozen=True, slots=True)
class Role:
    """One role of a head.

    Attributes:
        sign: what its rows do with their extreme tokens: the largest logits are promoted, the smallest suppressed.
        rows: which of the head's salient rows, from 0; ``held_out`` which of the next ones, that no describer sees.
        share: of the summed squared saliency of the salient rows; over all roles of a head 1 at most.
        reach: how far its rows' extreme logits lie from their mean, in standard deviations over the vocabulary.
        p_value: how often random heads fall into roles as clearly as this head does; the same for all its roles.
        evidence: what is significant of its own rows; None until tested.
    """

    sign: Sign
    rows: tuple[int, ...]
    held_out: tuple[int, ...]
    share: float
    reach: float
    p_value: float
    evidence: tuple[Evidence, ...] | None = None


class RoleStore:
    """Part of `describe.catalog.Catalogue`: what splitting heads commits, and everyone reads again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(
        self, extraction_id: int, head: HeadId, roles: Sequence[Role], settings: Found, versions: dict[str, str]
    ) -> None:
        """Commit a head's roles, all at once; those that are there under the same settings stay.

        Roles found under other settings keep their numbers, and these are numbered on.
        """
        key = json_hash(settings)
        with begin_write(self._engine) as connection:
            head_id = connection.execute(HEAD_ID, place(extraction_id, head)).scalar_one()
            of_head = head_role.c.head_id == head_id
            if connection.execute(select(head_role.c.id).where(of_head, head_role.c.settings_hash == key)).first():
                return
            last = connection.execute(select(func.max(head_role.c.role)).where(of_head)).scalar() or 0
            same = {"head_id": head_id, "settings": settings, "settings_hash": key, "versions": versions}
            found = [
                {**asdict(role), "role": number, "evidence": None, "created": now()} | same
                for number, role in enumerate(roles, last + 1)
            ]
            connection.execute(head_role.insert(), found)

    def save_evidence(self, extraction_id: int, role: HeadId, settings: Found, evidence: Iterable[Evidence]) -> None:
        """Commit what is significant of a role's rows, in the place of what was found under other settings."""
        head_id = HEAD_ID.scalar_subquery()
        found = {"settings": settings, "found": [asdict(one) for one in evidence]}
        query = head_role.update().where(head_role.c.head_id == head_id, head_role.c.role == role.role)
        with begin_write(self._engine) as connection:
            connection.execute(query.values(evidence=found), place(extraction_id, role))

    def of_extraction(
        self, extraction_id: int, settings: Found | None, tested: Found | None = None
    ) -> dict[HeadId, dict[HeadId, Role]]:
        """The roles found under these settings, by head, then by role; without ``settings`` all there ever were.

        With ``tested``, evidence found under other settings of its own counts as none.
        """
        found: dict[HeadId, dict[HeadId, Role]] = {}
        with self._engine.connect() as connection:
            for row in self._rows(connection, heads_of(extraction_id)):
                if settings is not None and row.settings_hash != json_hash(settings):
                    continue
                outdated = row.evidence is None or (tested is not None and row.evidence["settings"] != tested)
                evidence = None if outdated else tuple(evidence_of(one) for one in row.evidence["found"])
                head = HeadId(row.layer, row.head)
                found.setdefault(head, {})[head._replace(role=row.role)] = _role(row, evidence)
        return found

    def of_heads(self, connection: Connection, wanted: ColumnElement[bool]) -> dict[int, Found]:
        """The newest roles of each of some heads, by the head's id: ``roles`` and their ``provenance``."""
        newest: dict[int, list[Row[Any]]] = {}
        for row in self._rows(connection, wanted):
            of_head = newest.setdefault(row.head_id, [])
            if of_head and of_head[-1].settings_hash != row.settings_hash:
                of_head.clear()
            of_head.append(row)
        return {
            head_id: {
                "roles": [_record(row) for row in rows],
                "provenance": {
                    "settings": rows[0].settings,
                    "evidence": rows[0].evidence and rows[0].evidence["settings"],
                    "versions": rows[0].versions,
                },
            }
            for head_id, rows in newest.items()
        }

    def _rows(self, connection: Connection, wanted: ColumnElement[bool]) -> list[Row[Any]]:
        head = schema.head
        query = (
            select(head_role, head.c.layer, head.c.head)
            .join(head, head_role.c.head_id == head.c.id)
            .where(wanted)
            .order_by(head.c.layer, head.c.head, head_role.c.role)
        )
        return list(connection.execute(query))


def _role(row: Row[Any], evidence: tuple[Evidence, ...] | None) -> Role:
    return Role(row.sign, tuple(row.rows), tuple(row.held_out), row.share, row.reach, row.p_value, evidence)


def _record(row: Row[Any]) -> RoleRecord:
    found = {name: getattr(row, name) for name in RoleRecord.model_fields}
    return RoleRecord.of(**found | {"evidence": row.evidence["found"] if row.evidence else ()})
