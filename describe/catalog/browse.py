"""Overviews of a catalogue in plain rows: models, describers, operations, and a model's heads with their figures.

Nothing here reads mappings: figures come from columns, so that a model of a thousand heads is there at once. Placebos
and older extractions are left out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Engine, and_, case, distinct, func, select

from describe.catalog import schema
from describe.catalog.attention import kinds_of_extraction
from describe.catalog.cards import CardStore
from describe.catalog.figures import FigureStore
from describe.catalog.heads import newest_extractions
from describe.catalog.relations import RelationStore
from describe.catalog.told import CUT, told_of
from describe.head_record import STATES, HeadSummary, State, Told, best_first, best_of_each
from describe.readings import READING_NAMES
from describe.records import THRESHOLD, HeadId

__all__ = ["BrowseStore"]


class BrowseStore:
    """Part of `describe.catalog.Catalogue`: what there is, as plain lists of dicts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._relations, self._figures, self._cards = RelationStore(engine), FigureStore(engine), CardStore(engine)

    def models(self) -> list[dict[str, Any]]:
        """Every model that has heads, in order of entry; by each reading that it has heads by, the default one first.

        Each with ``model_id``, ``extraction_id`` (the newest by the ``reading``), ``model`` (``NAME@HASH8``, by which
        it is found again, with ``:READING`` where that is not the one that is shown where none is named),
        ``name``, ``family``, ``n_layers``, ``n_heads``, and how many ``heads`` were extracted and are ``described``,
        by how many ``describers``, and how many ``operations`` were scored.
        """
        model, head, told = schema.model, schema.head, schema.description
        with self._engine.connect() as connection:
            newest = newest_extractions(connection)
            by_reading = {reading: newest_extractions(connection, reading=reading) for reading in READING_NAMES}
            extractions = [id_ for found in by_reading.values() for id_ in found.values()]
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
        shown = [
            (row, reading, found[row.id])
            for row in rows
            for reading, found in sorted(by_reading.items(), key=lambda one: one[1].get(row.id) != newest[row.id])
            if row.id in found
        ]
        for row, reading, extraction_id in shown:
            _, heads, describers = described.get(extraction_id, (extraction_id, 0, 0))
            named = f"{row.name}@{row.content_hash[:8]}" + (f":{reading}" if extraction_id != newest[row.id] else "")
            known = {"model_id": row.id, "extraction_id": extraction_id, "reading": reading, "model": named}
            shape = {name: getattr(row, name) for name in ("name", "family", "n_layers", "n_heads")}
            counts = {"heads": extracted.get(extraction_id, 0), "described": heads, "describers": describers}
            overview.append(known | shape | counts | {"operations": operations.get(row.id, 0)})
        return overview

    def outcomes(self, extraction_ids: Collection[int]) -> dict[int, tuple[dict[State, int], list[str]]]:
        """Of each extraction how many heads are in which state, and who described any."""
        head, told, by = schema.head, schema.description, schema.labeller
        place = case((and_(told.c.failure.is_(None), ~told.c.unclear), 0), (told.c.failure.is_(None), 1), else_=2)
        best = (
            select(
                head.c.extraction_id, func.coalesce(func.min(case((told.c.id.is_not(None), place))), 3).label("best")
            )
            .outerjoin(told, told.c.head_id == head.c.id)
            .where(head.c.extraction_id.in_(extraction_ids))
            .group_by(head.c.extraction_id, head.c.layer, head.c.head)  # in the order of the index
            .subquery()
        )
        counts = select(best.c.extraction_id, best.c.best, func.count()).group_by(best.c.extraction_id, best.c.best)
        names = (
            select(head.c.extraction_id, by.c.llm)
            .join(told, told.c.head_id == head.c.id)
            .join(by, told.c.labeller_id == by.c.id)
            .where(head.c.extraction_id.in_(extraction_ids), told.c.failure.is_(None), ~told.c.unclear)
            .distinct()
            .order_by(by.c.llm)
        )
        found: dict[int, tuple[dict[State, int], list[str]]] = {
            one: (dict.fromkeys(STATES, 0), []) for one in extraction_ids
        }
        with self._engine.connect() as connection:
            for extraction_id, best_, number in connection.execute(counts):
                found[extraction_id][0][STATES[best_]] = number
            for extraction_id, llm in connection.execute(names):
                found[extraction_id][1].append(llm)
        return found

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

    def heads(self, extraction_id: int, *, llm: str | None = None) -> list[HeadSummary]:
        """Every head of an extraction, in order, at a glance: as `HeadRecord.summary`, with words cut to `CUT`
        characters; ``llm``: by what this one said."""
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
            told = told_of(connection, extraction_id, llm)
            found = {row.head_id: [e["effect"] for e in row.found] for row in connection.execute(tested)}
            looks = kinds_of_extraction(connection, extraction_id)
        figures = self._figures.of_extraction(extraction_id)
        self._cards.refresh()
        cards = self._cards.of_extraction(extraction_id)
        overview = []
        for row in rows:
            ranked = best_first(told.get(row.id, ()))
            best = next(iter(ranked), _NOBODY)
            effects = found.get(row.id)
            summary = HeadSummary(
                row.layer,
                row.head,
                row.saliency,
                best.state,
                best.llm or None,
                best.role,
                best.inputs,
                best.pattern,
                best.failure,
                best.headline,
                evidence=None if effects is None else len(effects),
                effect=max(effects or (), default=None),
                figure=figures.get(HeadId(row.layer, row.head)),
                kinds=look.kinds if (look := looks.get(HeadId(row.layer, row.head))) else None,
                looks=look.figures if look else None,
                verdict=best.verdict,
                card=cards.get(HeadId(row.layer, row.head)),
                scores=best_of_each(score for one in ranked for score in one.judged),
                describers=tuple(dict.fromkeys(one.llm for one in ranked if one.state == "described" and one.llm)),
            )
            overview.append(summary.cut(CUT))
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


_NOBODY = Told(llm="", state="none", pattern=None)
