"""Overviews of a catalogue in plain rows: models, describers, operations, and a model's heads with their figures.

Nothing here reads mappings: figures come from columns, so that a model of a thousand heads is there at once. Placebos
and older extractions are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, case, distinct, func, select

from describe.catalog import schema
from describe.catalog.relations import RelationStore
from describe.catalog.scores import MEASURES
from describe.catalog.search import current
from describe.records import THRESHOLD, HeadId

__all__ = ["STATES", "BrowseStore"]

STATES = ("described", "unclear", "failed", "none")
"""What became of a head, best first: a description, an abstention, no usable answer, or nobody was asked."""

CUT = 500
"""Characters of a description that an overview shows."""


class BrowseStore:
    """Part of `describe.catalog.Catalogue`: what there is, as plain lists of dicts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._relations = RelationStore(engine)

    def models(self) -> list[dict[str, Any]]:
        """Every model that has heads, in order of entry.

        Each with ``model_id``, ``extraction_id`` (the newest), ``model`` (``NAME@HASH8``, by which it is found again),
        ``name``, ``family``, ``n_layers``, ``n_heads``, and how many ``heads`` were extracted and are ``described``,
        by how many ``describers``, and how many ``operations`` were scored.
        """
        model, head, told = schema.model, schema.head, schema.description
        with self._engine.connect() as connection:
            newest = current(connection)
            extractions = list(newest.values())
            extracted = _counted(
                connection,
                select(head.c.extraction_id, func.count(head.c.id))
                .where(head.c.extraction_id.in_(extractions))
                .group_by(head.c.extraction_id),
            )
            answered = case((and_(told.c.failure.is_(None), ~told.c.unclear), told.c.head_id))
            described = {
                row[0]: row
                for row in connection.execute(
                    select(
                        head.c.extraction_id, func.count(distinct(answered)), func.count(distinct(told.c.labeller_id))
                    )
                    .join(told, told.c.head_id == head.c.id)
                    .where(head.c.extraction_id.in_(extractions))
                    .group_by(head.c.extraction_id)
                )
            }
            run, relation = schema.relation_run, schema.relation
            operations = _counted(
                connection,
                select(run.c.model_id, func.count(distinct(relation.c.operation_id)))
                .join(relation, relation.c.run_id == run.c.id)
                .group_by(run.c.model_id),
            )
            rows = connection.execute(select(model).where(model.c.id.in_(newest)).order_by(model.c.id)).all()
        overview = []
        for row in rows:
            extraction_id = newest[row.id]
            _, heads, describers = described.get(extraction_id, (extraction_id, 0, 0))
            known = {"model_id": row.id, "extraction_id": extraction_id, "model": f"{row.name}@{row.content_hash[:8]}"}
            shape = {name: getattr(row, name) for name in ("name", "family", "n_layers", "n_heads")}
            counts = {"heads": extracted.get(extraction_id, 0), "described": heads, "describers": describers}
            overview.append(known | shape | counts | {"operations": operations.get(row.id, 0)})
        return overview

    def describers(self, extraction_id: int | None = None) -> list[dict[str, Any]]:
        """Who described heads of an extraction, or of any: ``llm`` and its ``described``, ``unclear``, ``failed``."""
        head, told, by = schema.head, schema.description, schema.labeller
        query = (
            select(
                by.c.llm,
                func.sum(case((and_(told.c.failure.is_(None), ~told.c.unclear), 1), else_=0)).label("described"),
                func.sum(case((told.c.unclear, 1), else_=0)).label("unclear"),
                func.sum(case((told.c.failure.is_not(None), 1), else_=0)).label("failed"),
            )
            .join(by, told.c.labeller_id == by.c.id)
            .group_by(by.c.llm)
            .order_by(by.c.llm)
        )
        if extraction_id is not None:
            query = query.join(head, told.c.head_id == head.c.id).where(head.c.extraction_id == extraction_id)
        with self._engine.connect() as connection:
            return [
                {"llm": row.llm} | {state: int(getattr(row, state)) for state in STATES[:3]}
                for row in connection.execute(query)
            ]

    def heads(self, extraction_id: int, *, llm: str | None = None) -> list[dict[str, Any]]:
        """Every head of an extraction, in order, with what is to be seen at a glance.

        Each with ``layer``, ``head``, ``saliency``; ``state`` (of `STATES`), ``llm``, ``inputs``, ``pattern`` (cut to
        `CUT` characters) of its best description, the newest of equals, or of this ``llm``'s; that description's
        ``score`` with ``measure`` and ``placebo`` (None: not scored); ``evidence`` (pieces found) and ``effect`` (the
        strongest, Cohen's h; None: not tested). Of equals, one of the whole head comes before those of its roles.
        """
        head, evidence = schema.head, schema.evidence
        query = select(head.c.id, head.c.layer, head.c.head, head.c.saliency)
        tested = (
            select(evidence.c.head_id, evidence.c.found)
            .join(head, evidence.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id)
            .order_by(evidence.c.id)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(
                query.where(head.c.extraction_id == extraction_id).order_by(head.c.layer, head.c.head)
            ).all()
            told = _told(connection, extraction_id, llm)
            scores = _scores(connection, extraction_id)
            found = {row.head_id: [e["effect"] for e in row.found] for row in connection.execute(tested)}
        overview = []
        for row in rows:
            best = told.get(row.id)
            effects = found.get(row.id)
            overview.append(
                {"layer": row.layer, "head": row.head, "saliency": row.saliency, **_description(best)}
                | scores.get(best.id if best else 0, {"score": None, "measure": None, "placebo": None})
                | {"evidence": None if effects is None else len(effects), "effect": max(effects or [], default=None)}
            )
        return overview

    def operations(self, model_id: int) -> list[dict[str, Any]]:
        """The valid operations scored on a model, by name: ``operation``, ``category``, ``heads`` that implement it."""
        run_id = self._relations.find_run(model_id)
        return [
            {
                "operation": found.name,
                "category": found.category,
                "heads": sum(score >= THRESHOLD for row in found.scores for score in row),
            }
            for found in (self._relations.scores(run_id) if run_id is not None else [])
            if found.valid
        ]

    def operation(self, model_id: int, name: str) -> dict[HeadId, dict[str, float]]:
        """How strongly each head implements an operation: ``score`` and ``suppression``, 0 to 1."""
        run_id = self._relations.find_run(model_id)
        for found in self._relations.scores(run_id) if run_id is not None else []:
            if found.name == name and found.valid:
                return {
                    HeadId(layer, head): {"score": score, "suppression": suppressed}
                    for layer, *columns in zip(found.layers, found.scores, found.suppression, strict=True)
                    for head, (score, suppressed) in enumerate(zip(*columns, strict=True))
                }
        return {}


def _counted(connection: Connection, query: Any) -> dict[int, int]:
    return {row[0]: row[1] for row in connection.execute(query)}


def _told(connection: Connection, extraction_id: int, llm: str | None) -> dict[int, Row[Any]]:
    """The best outcome of each head, of equals that of the whole head and the newest, by the head's id."""
    head, told, by = schema.head, schema.description, schema.labeller
    texts = [func.substr(told.c[name], 1, CUT + 1).label(name) for name in ("inputs", "pattern")]
    query = (
        select(told.c.id, told.c.head_id, by.c.llm, *texts, told.c.unclear, told.c.failure, told.c.role)
        .join(head, told.c.head_id == head.c.id)
        .join(by, told.c.labeller_id == by.c.id)
        .where(head.c.extraction_id == extraction_id)
        .order_by(case((told.c.role == 0, 1), else_=0), told.c.id)
    )
    if llm is not None:
        query = query.where(by.c.llm == llm)
    rows: Iterable[Row[Any]] = connection.execute(query)
    best: dict[int, Row[Any]] = {}
    for row in rows:
        earlier = best.get(row.head_id)
        if earlier is None or STATES.index(_state(row)) <= STATES.index(_state(earlier)):
            best[row.head_id] = row
    return best


def _state(row: Row[Any]) -> str:
    return "failed" if row.failure is not None else "unclear" if row.unclear else "described"


def _description(row: Row[Any] | None) -> dict[str, Any]:
    if row is None:
        return {"state": "none", "llm": None, "inputs": None, "pattern": None}
    cut = {name: _cut(getattr(row, name)) for name in ("inputs", "pattern")}
    if row.role and cut["pattern"] is not None:
        cut["pattern"] = f"role {row.role}: {cut['pattern']}"
    return {"state": _state(row), "llm": row.llm, **cut}


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= CUT else text[:CUT] + "…"


def _scores(connection: Connection, extraction_id: int) -> dict[int, dict[str, Any]]:
    """The score to show first of each description, by its id, as `describe.catalog.scores.headline` chooses it."""
    head, told, score, judge = schema.head, schema.description, schema.score, schema.labeller
    query = (
        select(score.c.description_id, score.c.measure, judge.c.llm, score.c.value, score.c.placebo)
        .join(judge, score.c.judge_id == judge.c.id)
        .join(told, score.c.description_id == told.c.id)
        .join(head, told.c.head_id == head.c.id)
        .where(head.c.extraction_id == extraction_id, score.c.measure.in_(MEASURES))
        .order_by(score.c.created, score.c.id)
    )
    rows: Iterable[Row[Any]] = connection.execute(query)
    newest = {(row.description_id, row.measure, row.llm): (place, row) for place, row in enumerate(rows)}
    best: dict[int, dict[str, Any]] = {}
    for _, row in sorted(newest.values(), key=lambda found: (-MEASURES.index(found[1].measure), found[0])):
        if row.value is not None:
            best[row.description_id] = {"score": row.value, "measure": row.measure, "placebo": row.placebo}
    return best
