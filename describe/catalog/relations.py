"""The relation scores of a catalogue: operations, runs, and scores layer by layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Engine, Row, func, select

from describe.catalog import schema
from describe.catalog.database import begin_write
from describe.catalog.rows import get_or_create, json_hash, now
from describe.records import HeadId, LayerScores, OperationScores

__all__ = ["ABOUT", "HeadRelations", "RelationStore"]

ABOUT = ("category", "direction", "content_hash")
"""Fields that identify an operation, besides its name."""


_OF_RELATION = schema.relation_layer.c.relation_id == schema.relation.c.id


@dataclass(frozen=True)
class HeadRelations:
    """Scores by head and operation, and what they were made with."""

    heads: dict[HeadId, dict[str, dict[str, float]]] = field(default_factory=dict)
    provenance: dict[str, Any] | None = None


class RelationStore:
    """Part of `describe.catalog.Catalogue`: what ``relations`` commits, and reads again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin_run(self, model_id: int, settings: dict[str, Any], standard: bool, versions: dict[str, str]) -> int:
        """The id of the run on a model with these settings, entered if it is new."""
        key = {"model_id": model_id, "settings_hash": json_hash(settings)}
        rest = {"settings": settings, "standard": standard, "versions": versions}
        return get_or_create(self._engine, schema.relation_run, key, rest)

    def find_run(self, model_id: int, settings: dict[str, Any] | None = None) -> int | None:
        """The id of the run with these settings; without settings, of the standard run, or else the newest."""
        table = schema.relation_run
        query = select(table.c.id).where(table.c.model_id == model_id)
        if settings is not None:
            query = query.where(table.c.settings_hash == json_hash(settings))
        with self._engine.connect() as connection:
            return connection.execute(query.order_by(table.c.standard.desc(), table.c.id.desc())).scalar()

    def scored_models(self) -> set[str]:
        """The content hashes of the models that have scores of a valid operation."""
        model, run, relation = schema.model, schema.relation_run, schema.relation
        query = (
            select(model.c.content_hash)
            .join(run, run.c.model_id == model.c.id)
            .join(relation, relation.c.run_id == run.c.id)
            .where(relation.c.valid, select(schema.relation_layer.c.id).where(_OF_RELATION).exists())
        )
        with self._engine.connect() as connection:
            return set(connection.execute(query.distinct()).scalars())

    def begin_relation(self, run_id: int, operation: dict[str, Any], k: int, pairs_used: int, valid: bool) -> int:
        """The id of an operation in a run, entered if it is new. ``operation``: name, content_hash, category, ..."""
        key = {"run_id": run_id, "operation_id": self.operation_id(operation)}
        return get_or_create(self._engine, schema.relation, key, {"k": k, "pairs_used": pairs_used, "valid": valid})

    def operation_id(self, operation: dict[str, Any]) -> int:
        """The id of an operation, entered if it is new: name, content_hash, category, direction, pairs."""
        fields = dict(operation)
        key = {name: fields.pop(name) for name in ("name", "content_hash")}
        return get_or_create(self._engine, schema.operation, key, fields)

    def saved_layers(self, relation_ids: list[int]) -> set[int]:
        """The layers that have scores for all of these relations."""
        table = schema.relation_layer
        query = (
            select(table.c.layer)
            .where(table.c.relation_id.in_(relation_ids))
            .group_by(table.c.layer)
            .having(func.count() == len(relation_ids))
        )
        with self._engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def save_layer(self, layer: int, found: dict[int, LayerScores]) -> None:
        """Commit a layer's scores by relation, all at once; what is there already stays."""
        table = schema.relation_layer
        with begin_write(self._engine) as connection:
            query = select(table.c.relation_id).where(table.c.layer == layer, table.c.relation_id.in_(list(found)))
            there = set(connection.execute(query).scalars())
            rows = [
                {"relation_id": relation_id, "layer": layer, "created": now(), **asdict(scores)}
                for relation_id, scores in found.items()
                if relation_id not in there
            ]
            if rows:
                connection.execute(table.insert(), rows)

    def scores(self, run_id: int, only: set[int] | None = None, *, layer: int | None = None) -> list[OperationScores]:
        """The newest scores of each operation of a run, by name; layers that have none yet are left out.

        ``only``: the relations to look at, by id; ``layer``: of this one alone.
        """
        relation, operation, layers = schema.relation, schema.operation, schema.relation_layer
        query = (
            select(relation, operation.c.name, operation.c.category)
            .join(operation, relation.c.operation_id == operation.c.id)
            .where(relation.c.run_id == run_id)
            .order_by(relation.c.id)
        )
        with self._engine.connect() as connection:
            newest = {row.name: row for row in connection.execute(query) if only is None or row.id in only}
            of_these = select(layers).where(layers.c.relation_id.in_([row.id for row in newest.values()]))
            if layer is not None:
                of_these = of_these.where(layers.c.layer == layer)
            rows = connection.execute(of_these.order_by(layers.c.layer))
            by_relation: dict[int, list[Row[Any]]] = {}
            for row in rows:
                by_relation.setdefault(row.relation_id, []).append(row)
        return [_operation_scores(row, by_relation.get(row.id, [])) for _, row in sorted(newest.items())]

    def by_head(self, model_id: int, *, layer: int | None = None) -> HeadRelations:
        """The scores of a model's standard run, or else of its newest, head by head; ``layer``: of this one alone."""
        run_id = self.find_run(model_id)
        if run_id is None:
            return HeadRelations()
        with self._engine.connect() as connection:
            run = connection.execute(select(schema.relation_run).where(schema.relation_run.c.id == run_id)).one()
        operations = [operation for operation in self.scores(run_id, layer=layer) if operation.valid]
        heads: dict[HeadId, dict[str, dict[str, float]]] = {}
        for operation in operations:
            rows = zip(operation.layers, operation.scores, operation.suppression, strict=True)
            for at, scores, suppression in rows:
                for head, (score, suppressed) in enumerate(zip(scores, suppression, strict=True)):
                    of_head = heads.setdefault(HeadId(at, head), {})
                    of_head[operation.name] = {"score": score, "suppression": suppressed}
        made = {"settings": run.settings, "standard": run.standard, "versions": run.versions}
        about = self._about(run_id)
        used = {o.name: about[o.name] | {"k": o.k, "pairs_used": o.pairs_used} for o in operations}
        return HeadRelations(heads, made | {"operations": used})

    def _about(self, run_id: int) -> dict[str, dict[str, str]]:
        """Of each operation of a run, by name, which one it is: the newest, as in `scores`."""
        relation, operation = schema.relation, schema.operation
        query = (
            select(operation.c.name, *(operation.c[name] for name in ABOUT))
            .join(relation, relation.c.operation_id == operation.c.id)
            .where(relation.c.run_id == run_id)
            .order_by(relation.c.id)
        )
        with self._engine.connect() as connection:
            return {row.name: {name: getattr(row, name) for name in ABOUT} for row in connection.execute(query)}


def _operation_scores(row: Row[Any], layers: list[Row[Any]]) -> OperationScores:
    return OperationScores(
        name=row.name,
        category=row.category,
        k=row.k,
        pairs_used=row.pairs_used,
        valid=row.valid,
        layers=tuple(layer.layer for layer in layers),
        scores=tuple(tuple(layer.scores) for layer in layers),
        suppression=tuple(tuple(layer.suppression) for layer in layers),
        seconds=sum(layer.seconds for layer in layers),
    )
