"""Taking heads in from another catalogue's export: all of a file in one transaction, or nothing.

A row is entered where the catalogue has none under its key. One that is there already with the same content is left
as it is; one with other content ends the import, and nothing was changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, Table, select

from describe.catalog import schema
from describe.catalog.attention import attention_document, attention_head, attention_run, head_row
from describe.catalog.database import begin_founding
from describe.catalog.figures import head_figure, pack_figure
from describe.catalog.imported import check
from describe.catalog.packing import pack
from describe.catalog.parts import Parts, hits_of, scores_of
from describe.catalog.passages import fill
from describe.catalog.query_key import head_query_key
from describe.catalog.roles import head_role
from describe.catalog.rows import json_hash, now, storable
from describe.catalog.worded import head_worded
from describe.errors import CatalogueError
from describe.head_record import (
    AttentionProvenance,
    AttentionRecord,
    DescriptionRecord,
    HeadProvenance,
    HeadRecord,
    RelationsProvenance,
    RoleRecord,
    RolesProvenance,
    ScoreRecord,
)
from describe.head_record.relations import CorrelationProvenance, Operation, Run
from describe.head_record.worded import WordedRecord
from describe.records import HeadId, HeadMapping
from describe.values import moment

__all__ = ["Imported", "take_in"]

Row = dict[str, Any]
_TOLD = ("inputs", "pattern", "reasoning", "unclear", "failure", "detail", "kind", "covered")
Pairs = dict[str, list[list[str]]]


@dataclass
class Imported:
    """The result of an import.

    Attributes:
        models: names of the models that the file holds heads of.
        heads, new: heads in the file, and those that were not in the catalogue.
        descriptions: new ones.
        left_out: layers whose relation scores, and operations whose checks, the file does not have of all heads.
    """

    models: list[str] = field(default_factory=list)
    heads: int = 0
    new: int = 0
    descriptions: int = 0
    left_out: list[str] = field(default_factory=list)


def take_in(engine: Engine, heads: Iterable[tuple[str, Any]], pairs: Pairs) -> Imported:
    """Enter heads, in the JSON form of one head, each with the place it comes from: ``line 3``.

    ``pairs``: those of known operations, by content hash; of others the catalogue keeps none. Raises `CatalogueError`,
    with the place, for a head that is malformed, comes twice, or differs from what the catalogue holds, and
    `CatalogueMadeError` when the catalogue was new and another process made it meanwhile: take in again.
    """
    with begin_founding(engine) as connection:
        work = _Import(connection, pairs)
        place = "the file"
        try:
            for where, record in heads:
                place = where
                work.head(check(record))
            work.finish()
        except ValueError as error:
            raise CatalogueError(f"{place}: {error}; nothing was imported") from error
    return work.done


class _Import:
    """One import in its transaction. What is wrong is raised as ValueError."""

    def __init__(self, connection: Connection, pairs: Pairs) -> None:
        self.done = Imported()
        self._connection, self._pairs = connection, pairs
        self._seen: set[tuple[int, ...]] = set()
        self._ids: dict[Any, int] = {}
        self._models: dict[tuple[str, str], tuple[int, Row]] = {}
        self._layers: dict[tuple[int, int], Parts] = {}
        self._hits: dict[tuple[int, int], Parts] = {}

    def head(self, record: HeadRecord) -> None:
        """Enter one head with everything that is told of it."""
        made = record.provenance
        model_id = self._model(record.model, made)
        rest = {"versions": made.versions, "tokens": made.tokens and made.tokens.to_json()}
        extraction_id = self._run(schema.extraction, {"model_id": model_id}, made.extraction, **rest)
        name = f"head {record.id} of {record.model}"
        key = {"extraction_id": extraction_id, "layer": record.layer, "head": record.head}
        if tuple(key.values()) in self._seen:
            raise ValueError(f"{name} is in the file twice")
        self._seen.add(tuple(key.values()))
        rows, held_out = record.salient, record.held_out
        mapping = HeadMapping(
            record.id,
            rows,
            held_out=held_out.next,
            sampled=held_out.sample,
            distinct=record.distinct,
            suppressing=record.suppressing,
            constant=record.constant,
        )
        about = {"saliency": rows[0].saliency if rows else 0.0, "created": moment(made.extracted)}
        head_id, new = self._enter(schema.head, key, pack(mapping, known=False), about, f"{name}: other mappings")
        self.done.heads, self.done.new = self.done.heads + 1, self.done.new + new
        for found in record.descriptions:
            self._description(head_id, found, name)
        for worded in record.worded:
            self._worded(head_id, worded, name)
        if made.roles is not None:
            for role in record.roles:
                self._role(head_id, role, made.roles, f"{name}: another role {role.role}")
        evidence = [found.to_json() for found in record.evidence]
        self._under(schema.evidence, head_id, made.evidence, _lists(evidence), f"{name}: other evidence")
        figure = record.figure and pack_figure(record.figure)
        self._under(head_figure, head_id, made.figure, figure, f"{name}: another figure")
        pairs = record.query_key and storable(record.query_key.to_json())
        self._under(head_query_key, head_id, made.query_key, pairs, f"{name}: other pairs of queries and keys")
        inference = record.inference.to_json() if record.inference else {}
        settings = inference.pop("settings", None)
        self._under(schema.head_check, head_id, settings, _lists(inference), f"{name}: another check")
        if record.attention is not None and made.attention is not None:
            self._attention(model_id, record.id, record.attention, made.attention)
        if made.relations is not None:
            self._relations(model_id, record, made.relations)

    def finish(self) -> None:
        """Make the heads findable, and leave out what the file does not have in full: no score is made up for a head
        that is not in it."""
        fill(self._connection, ("salient", "distinct_rows"))
        for (relation_id, layer), parts in self._layers.items():
            table = schema.relation_layer
            query = select(table).where(table.c.relation_id == relation_id, table.c.layer == layer)
            there = self._connection.execute(query).first()
            if there is None:
                self.done.left_out.append(parts.name)
            elif any((there.scores[h], there.suppression[h]) != scores_of(part) for h, part in parts.heads()):
                raise ValueError(f"the catalogue has other {parts.name} already")
        for (run_id, operation_id), parts in self._hits.items():
            checks = schema.operation_check
            same = (checks.c.run_id == run_id, checks.c.operation_id == operation_id, checks.c.part == "single")
            if self._connection.execute(select(checks.c.id).where(*same)).first() is None:
                self.done.left_out.append(parts.name)
        self.done.left_out = sorted(set(self.done.left_out))

    # -- what a head belongs to -----------------------------------------------------------------------------------

    def _model(self, name: str, made: HeadProvenance) -> int:
        content = {"family": storable(made.family), **made.shape.to_json()}
        known = (name, made.content_hash)
        if known not in self._models:
            key = {"name": storable(name), "content_hash": made.content_hash}
            model_id, _ = self._enter(schema.model, key, content, {}, f"{name} with another family or shape")
            self._models[known] = model_id, content
            self.done.models.append(name)
        model_id, before = self._models[known]
        if content != before:
            raise ValueError(f"{name} had another family or shape before")
        return model_id

    def _run(self, table: Table, of: Row, settings: Row, **rest: Any) -> int:
        """The id of an extraction or run with these settings; the rest is that of the first to enter it."""
        known = (table.name, *of.values(), json_hash(settings))
        if known not in self._ids:
            key = of | {"settings_hash": known[-1]}
            self._ids[known], _ = self._enter(table, key, {}, rest | {"settings": settings}, "")
        return self._ids[known]

    def _check_run(self, model_id: int, kind: str, made: Run) -> int:
        of = {"model_id": model_id, "kind": kind}
        return self._run(schema.check_run, of, made.settings, standard=made.standard, versions=made.versions)

    def _labeller(self, llm: str, prompt: str, template: str, settings: Row, template_hash: str) -> int:
        key_hash = json_hash([llm, prompt, template, settings])
        known = ("labeller", key_hash)
        if known not in self._ids:
            rest = {"llm": llm, "prompt": prompt, "template": template, "template_hash": template_hash}
            row = {name: storable(value) for name, value in rest.items()} | {"settings": settings}
            self._ids[known], _ = self._enter(schema.labeller, {"key_hash": key_hash}, {}, row, "")
        return self._ids[known]

    # -- what is told of a head -------------------------------------------------------------------------------------

    def _description(self, head_id: int, found: DescriptionRecord, name: str) -> None:
        made = found.provenance
        labeller = self._labeller(found.llm, found.prompt, made.template, made.settings, made.template_hash)
        content = {part: storable(getattr(found, part)) for part in _TOLD} | {
            "claims": _lists([claim.to_json() for claim in found.claims]),
            "groups": storable([group.to_json() for group in found.groups]),
            "reply": storable(made.reply),
            "prompt_hash": made.prompt_hash,
        }
        about = {"usage": made.usage, "versions": made.versions, "created": moment(made.described)}
        key = {"head_id": head_id, "labeller_id": labeller, "role": found.role or 0}
        other = f"{name}: another description by {found.llm}"
        description_id, new = self._enter(schema.description, key, content, about, other)
        self.done.descriptions += new
        for measure, judged in found.scores.items():
            for llm, score in judged.items():
                self._score(description_id, measure, llm, score, name)

    def _worded(self, head_id: int, found: WordedRecord, name: str) -> None:
        made = found.provenance
        labeller = self._labeller(found.llm, found.prompt, made.template, made.settings, made.template_hash)
        lines = storable(list(found.evidence))
        content = {part: storable(getattr(found, part)) for part in ("others", "passed", "failure", "detail")} | {
            "statements": storable(_lists([one.to_json() for one in found.statements])),
            "evidence": lines,
            "reply": storable(made.reply),
            "prompt_hash": made.prompt_hash,
        }
        about = {"usage": made.usage, "versions": made.versions, "created": moment(made.described)}
        key = {"head_id": head_id, "labeller_id": labeller, "evidence_hash": json_hash(lines)}
        self._enter(head_worded, key, content, about, f"{name}: another wording by {found.llm}")

    def _attention(self, model_id: int, head: HeadId, found: AttentionRecord, made: AttentionProvenance) -> None:
        about = {"standard": made.standard, "versions": made.versions, "found": made.found.to_json()}
        run_id = self._run(attention_run, {"model_id": model_id}, made.settings, **about)
        unfinished = attention_run.update().where(attention_run.c.id == run_id, attention_run.c.found.is_(None))
        if self._connection.execute(unfinished.values(found=about["found"])).rowcount:
            self._connection.execute(attention_document.delete().where(attention_document.c.run_id == run_id))
        key = {"run_id": run_id, "layer": head.layer, "head": head.head}
        row = head_row(found)
        packed = {"found": row.pop("found")}  # not compared: another zlib packs otherwise
        self._enter(attention_head, key, row, packed, f"head {head}: other attention")

    def _role(self, head_id: int, role: RoleRecord, made: RolesProvenance, other: str) -> None:
        content = _lists(role.to_json())
        key = {"head_id": head_id, "role": content.pop("role")}
        evidence = content.pop("evidence")
        content["evidence"] = None if made.evidence is None else {"settings": made.evidence, "found": evidence}
        about = {"settings": made.settings, "settings_hash": json_hash(made.settings)}
        self._enter(head_role, key, content, about | {"versions": made.versions}, other)

    def _score(self, description_id: int, measure: str, llm: str, score: ScoreRecord, name: str) -> None:
        made = score.provenance
        judge = self._labeller(llm, made.prompt, made.template, made.judge, made.template_hash)
        key = {"description_id": description_id, "judge_id": judge, "measure": measure}
        key["settings_hash"] = json_hash(made.settings)
        content = {part: storable(getattr(score, part)) for part in ScoreRecord.model_fields if part != "provenance"}
        about = {"settings": made.settings, "versions": made.versions, "created": moment(made.scored)}
        self._enter(schema.score, key, content, about, f"{name}: another score by {llm}")

    def _under(self, table: Table, head_id: int, settings: Row | None, found: Any, other: str) -> None:
        """Enter what was found of a head under some settings, if it was looked for."""
        if settings is not None:
            key = {"head_id": head_id, "settings_hash": json_hash(settings)}
            self._enter(table, key, {"found": found}, {"settings": settings}, other)

    # -- operations: by layer and by model, so entered when all their heads have come -------------------------------

    def _relations(self, model_id: int, record: HeadRecord, made: RelationsProvenance) -> None:
        run_id = self._run(
            schema.relation_run, {"model_id": model_id}, made.settings, standard=made.standard, versions=made.versions
        )
        layer, shape = record.layer, record.provenance.shape
        for name, found in record.relations.items():
            about = made.operations[name]
            key = {"run_id": run_id, "operation_id": self._operation(name, about)}
            content = {"k": about.k, "pairs_used": about.pairs_used, "valid": True}
            known = ("relation", *key.values(), *content.values())
            if known not in self._ids:
                other = f"{name}: another k or number of pairs"
                self._ids[known], _ = self._enter(schema.relation, key, content, {}, other)
            place = (self._ids[known], layer)
            what = f"relation scores of layer {layer} of {record.model}"
            parts = self._layers.setdefault(place, Parts(what, shape.n_heads))
            parts.put((0, record.head), found)
            if parts.complete:
                (row,) = self._layers.pop(place).rows(1)
                scores, suppression = map(list, zip(*map(scores_of, row), strict=True))
                key = {"relation_id": place[0], "layer": layer}
                both = {"scores": scores, "suppression": suppression}
                self._enter(schema.relation_layer, key, both, {"seconds": 0.0}, f"{name}: other {what}")
        if made.correlate is not None:
            self._correlations(model_id, record, made.correlate)
        if made.ablate is not None:
            run_id = self._check_run(model_id, "ablate", made.ablate)
            for name, ablated in made.ablate.operations.items():
                removed, other = _lists(ablated.found.to_json()), f"{name}: another ablation of {record.model}"
                self._operation_check(run_id, self._operation(name, ablated), "ablation", removed, other)

    def _correlations(self, model_id: int, record: HeadRecord, made: CorrelationProvenance) -> None:
        shape = record.provenance.shape
        run_id = self._check_run(model_id, "correlate", made)
        for name, about in made.operations.items():
            relation = record.relations.get(name)
            if relation is not None and relation.inference is not None:
                place = (run_id, self._operation(name, about))
                parts = self._hits.setdefault(
                    place, Parts(f"correlate's {name} of {record.model}", shape.n_heads, shape.n_layers)
                )
                parts.put((record.layer, record.head), relation.inference)
                if parts.complete:
                    rows = self._hits.pop(place).rows(shape.n_layers)
                    found = _lists(about.found.to_json()) | hits_of(rows, len(about.found.templates))
                    self._operation_check(*place, "single", found, f"{name}: another correlation of {record.model}")

    def _operation(self, name: str, about: Operation) -> int:
        known = ("operation", name, about.content_hash)
        if known not in self._ids:
            key = {"name": storable(name), "content_hash": about.content_hash}
            rest = {"category": storable(about.category), "direction": storable(about.direction)}
            pairs = self._pairs.get(about.content_hash, [])
            self._ids[known], _ = self._enter(schema.operation, key, {}, rest | {"pairs": pairs}, "")
        return self._ids[known]

    def _operation_check(self, run_id: int, operation_id: int, part: str, found: Row, other: str) -> None:
        known = ("operation_check", run_id, operation_id, part, json_hash(found))
        if known not in self._ids:
            key = {"run_id": run_id, "operation_id": operation_id, "part": part}
            self._ids[known], _ = self._enter(schema.operation_check, key, {"found": found}, {}, other)

    def _enter(self, table: Table, key: Row, content: Row, about: Row, other: str) -> tuple[int, bool]:
        """The id of the row with this key, and whether it is new. Raises ValueError when its content is another."""
        query = select(table.c.id, *(table.c[name] for name in content))
        found = self._connection.execute(query.where(*(table.c[name] == value for name, value in key.items()))).first()
        if found is None:
            row = {"created": now(), **key, **content, **about}
            done = self._connection.execute(table.insert().values(**row))
            return int(done.inserted_primary_key[0]), True  # type: ignore[index]
        if any(_told(getattr(found, name)) != _told(value) for name, value in content.items()):
            raise ValueError(f"the catalogue has {other} already")
        return int(found.id), False


def _lists(value: Any) -> Any:
    """Nested data with lists for tuples, as the database gives them back."""
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


def _told(value: Any) -> Any:
    """A value to be compared; lists of nothing, and keys without a value, say no more than none."""
    if isinstance(value, dict):
        return {key: told for key, item in value.items() if (told := _told(item)) is not None} or None
    if isinstance(value, list):
        parts = [_told(item) for item in value]
        return parts if any(part is not None for part in parts) else None
    return value
