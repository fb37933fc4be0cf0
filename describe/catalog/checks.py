"""The checks of a catalogue: what running the model showed of operations and of heads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, select

from describe.catalog import schema
from describe.catalog.heads import head_id
from describe.catalog.relations import ABOUT
from describe.catalog.rows import get_or_create, json_hash
from describe.check_records import Ablation, DynamicHits, HitCounts, RemovalEffect
from describe.records import HeadId

__all__ = ["CheckStore", "HeadChecks", "ablation", "dynamic_hits", "plain", "removal_by_head", "removal_effect"]

Found = dict[str, Any]


@dataclass(frozen=True)
class HeadChecks:
    """Checks of heads and operations by running the model, with their settings.

    Attributes:
        heads: by head and operation, ``inference``: mean dynamic scores over the templates, ``in_context`` and
            ``of_source``, with the pairs counted for each template; ``ablation``: which number in the order of removal
            the head has, and what removing so many did to the operation's task.
        provenance: of ``correlate`` and ``ablate`` settings, versions, and, by operation, what was found that is no
            single head's.
    """

    heads: dict[HeadId, dict[str, Found]] = field(default_factory=dict)
    provenance: dict[str, Found] = field(default_factory=dict)


class CheckStore:
    """Part of `describe.catalog.Catalogue`: what ``correlate`` and ``ablate`` commit, and read again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin_run(
        self, model_id: int, kind: str, settings: dict[str, Any], standard: bool, versions: dict[str, str]
    ) -> int:
        """The id of the run of a ``kind`` of check on a model with these settings, entered if it is new."""
        key = {"model_id": model_id, "kind": kind, "settings_hash": json_hash(settings)}
        rest = {"settings": settings, "standard": standard, "versions": versions}
        return get_or_create(self._engine, schema.check_run, key, rest)

    def save(self, run_id: int, operation_id: int, part: str, found: Found) -> None:
        """Commit what was found of an operation; what is there already stays."""
        key = {"run_id": run_id, "operation_id": operation_id, "part": part}
        get_or_create(self._engine, schema.operation_check, key, {"found": found})

    def load(self, run_id: int, part: str, operation_ids: Iterable[int]) -> dict[int, Found]:
        """Results for these operations, by their id; those not checked yet are left out."""
        table = schema.operation_check
        query = select(table.c.operation_id, table.c.found).where(
            table.c.run_id == run_id, table.c.part == part, table.c.operation_id.in_(list(operation_ids))
        )
        with self._engine.connect() as connection:
            return {row.operation_id: row.found for row in connection.execute(query)}

    def save_head(self, extraction_id: int, head: HeadId, settings: dict[str, Any], found: Found) -> None:
        """Commit what was found of one head's own mappings; what is there under the same settings stays."""
        key = {"head_id": head_id(self._engine, extraction_id, head), "settings_hash": json_hash(settings)}
        get_or_create(self._engine, schema.head_check, key, {"settings": settings, "found": found})

    def checked_heads(self, extraction_id: int, settings: dict[str, Any]) -> dict[HeadId, Found]:
        """The heads whose mappings were checked under these settings, with what was found."""
        head, table = schema.head, schema.head_check
        query = (
            select(head.c.layer, head.c.head, table.c.found)
            .join(table, table.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, table.c.settings_hash == json_hash(settings))
        )
        with self._engine.connect() as connection:
            return {HeadId(row.layer, row.head): row.found for row in connection.execute(query)}

    def of_heads(self, connection: Connection, wanted: ColumnElement[bool]) -> dict[int, Found]:
        """The newest check of the mappings of each of some heads in prompts, by the head's id in the catalogue."""
        head, table = schema.head, schema.head_check
        query = (
            select(table.c.head_id, table.c.found, table.c.settings)
            .join(head, table.c.head_id == head.c.id)
            .where(wanted)
            .order_by(table.c.id)
        )
        rows = connection.execute(query)
        return {row.head_id: row.found | {"settings": row.settings} for row in rows if "attended" not in row.settings}

    def by_head(self, model_id: int) -> HeadChecks:
        """Results for each head by the standard runs on a model, or else the newest."""
        checks = HeadChecks()
        kept_apart = ("in_context", "of_source")
        for name, found in self.newest(model_id, "correlate", "single", checks.provenance, kept_apart).items():
            for head, scores in _dynamic_by_head(dynamic_hits(found)):
                checks.heads.setdefault(head, {}).setdefault(name, {})["inference"] = scores
        for name, found in self.newest(model_id, "ablate", "ablation", checks.provenance).items():
            for head, removal in removal_by_head(ablation(found)):
                checks.heads.setdefault(head, {}).setdefault(name, {})["ablation"] = removal
        return checks

    def newest(
        self,
        model_id: int,
        kind: str,
        part: str,
        provenance: dict[str, Found] | None = None,
        without: tuple[str, ...] = (),
    ) -> dict[str, Found]:
        """Results for each operation of the standard run of a ``kind`` of check on a model, or else of the newest.

        By the operation's name. What made it is entered in ``provenance`` under the kind, with what was found, but
        ``without`` what the heads themselves have.
        """
        run, table, operation = schema.check_run, schema.operation_check, schema.operation
        which = select(run).where(run.c.model_id == model_id, run.c.kind == kind)
        with self._engine.connect() as connection:
            newest = connection.execute(which.order_by(run.c.standard.desc(), run.c.id.desc())).first()
            if newest is None:
                return {}
            query = (
                select(operation.c.name, *(operation.c[name] for name in ABOUT), table.c.found)
                .join(operation, table.c.operation_id == operation.c.id)
                .where(table.c.run_id == newest.id, table.c.part == part)
                .order_by(table.c.id)
            )
            rows = {row.name: row for row in connection.execute(query)}
        if provenance is not None:
            provenance[kind] = {name: getattr(newest, name) for name in ("settings", "standard", "versions")} | {
                "operations": {
                    name: {about: getattr(row, about) for about in ABOUT}
                    | {"found": {key: value for key, value in row.found.items() if key not in without}}
                    for name, row in sorted(rows.items())
                }
            }
        return {name: row.found for name, row in rows.items()}


def dynamic_hits(found: Found) -> DynamicHits:
    """A result given to `save`, as plain data."""
    sides = {
        name: tuple(HitCounts(*(tuple(map(tuple, hits[side])) for side in ("promoted", "suppressed"))) for hits in part)
        for name, part in found.items()
        if name in ("in_context", "of_source")
    }
    return DynamicHits(**(found | {"templates": tuple(found["templates"])} | sides))


def ablation(found: Found) -> Ablation:
    """A result given to `save`, as plain data."""
    lists = {name: tuple(found[name]) for name in ("heads", "numbers", "targeted")}
    controls = {name: (base, tuple(curve)) for name, (base, curve) in found["controls"].items()}
    return Ablation(**(found | lists | {"random": tuple(map(tuple, found["random"])), "controls": controls}))


def removal_effect(found: Found) -> RemovalEffect:
    """A result given to `save`, as plain data."""
    return RemovalEffect(**(found | {name: tuple(found[name]) for name in ("random_loss", "random_accuracy")}))


def _dynamic_by_head(hits: DynamicHits) -> Iterator[tuple[HeadId, Found]]:
    sides = (("score", "promoted"), ("suppression", "suppressed"))
    kinds = {"in_context": hits.in_context, "of_source": hits.of_source}
    total = hits.pairs * len(hits.templates)
    for layer, row in enumerate(hits.in_context[0].promoted):
        for head in range(len(row)):
            yield (
                HeadId(layer, head),
                {
                    kind: {name: sum(counts[side]) / total for name, side in sides} | counts
                    for kind, templates in kinds.items()
                    for counts in [{side: [getattr(t, side)[layer][head] for t in templates] for _, side in sides}]
                },
            )


def removal_by_head(found: Ablation) -> Iterator[tuple[HeadId, Found]]:
    """Each removed head: its number, and accuracy before and after the removal of as many, targeted and random."""
    for place, name in enumerate(found.heads, 1):
        at = next(i for i, number in enumerate(found.numbers) if number >= place)
        drawn = [curve[at] for curve in found.random]
        yield (
            HeadId.parse(name),
            {
                "removed_as": place,
                "base": found.base,
                "targeted": found.targeted[at],
                "random": sum(drawn) / len(drawn) if drawn else None,
            },
        )


def plain(found: DynamicHits | Ablation | RemovalEffect) -> Found:
    """A record as `CheckStore.save` keeps it."""
    return asdict(found)
