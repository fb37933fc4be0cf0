"""Taking heads in from another catalogue's export: all of a file in one transaction, or nothing.

A row is entered where the catalogue has none under its key. One that is there already with the same content is left
as it is; one with other content ends the import, and nothing was changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, Table, select

from describe.catalog import schema
from describe.catalog.database import begin_founding
from describe.catalog.imported import check
from describe.catalog.passages import fill
from describe.catalog.roles import head_role
from describe.catalog.rows import json_hash, now, storable
from describe.errors import CatalogueError
from describe.head_record import Shape

__all__ = ["Imported", "take_in"]

Row = dict[str, Any]
Pairs = dict[str, list[list[str]]]


@dataclass
class Imported:
    """What came of an import.

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
        self._seen: set[tuple[int, int, int]] = set()
        self._ids: dict[Any, int] = {}
        self._models: dict[tuple[str, str], tuple[int, Row]] = {}
        self._layers: dict[tuple[int, int], _Parts] = {}
        self._hits: dict[tuple[int, int], _Parts] = {}

    def head(self, record: Row) -> None:
        """Enter one head with everything that is told of it."""
        made = record["provenance"]
        model_id = self._model(record["model"], made)
        extraction_id = self._run(schema.extraction, {"model_id": model_id}, made | {"settings": made["extraction"]})
        place = (extraction_id, record["layer"], record["head"])
        name = f"head {record['layer']}.{record['head']} of {record['model']}"
        if place in self._seen:
            raise ValueError(f"{name} is in the file twice")
        self._seen.add(place)
        rows, held_out = record["salient"], record["held_out"]
        key = {"extraction_id": extraction_id, "layer": record["layer"], "head": record["head"]}
        mapping = {
            "salient": [_packed(row) for row in rows],
            "suppressed": _packed_all(rows, "suppressed") if any(row["suppressed"] for row in rows) else None,
            "held_out": _packed_held_out(held_out) if any(held_out.values()) else None,
        }
        about = {"saliency": rows[0]["saliency"] if rows else 0.0, "created": made["extracted"]}
        head_id, new = self._enter(schema.head, key, mapping, about, f"{name}: other mappings")
        self.done.heads, self.done.new = self.done.heads + 1, self.done.new + new
        for found in record["descriptions"]:
            self._description(head_id, found, name)
        for role in record["roles"]:
            self._role(head_id, role, made["roles"], f"{name}: another role {role['role']}")
        self._under(schema.evidence, head_id, made.get("evidence"), record["evidence"], f"{name}: other evidence")
        inference = dict(record["inference"] or {})
        self._under(schema.head_check, head_id, inference.pop("settings", None), inference, f"{name}: another check")
        if "relations" in made:
            self._relations(model_id, record, made["relations"])

    def finish(self) -> None:
        """Make the heads findable, and leave out what the file does not have in full: no score is made up for a head
        that is not in it."""
        fill(self._connection)
        for (relation_id, layer), parts in self._layers.items():
            table = schema.relation_layer
            query = select(table).where(table.c.relation_id == relation_id, table.c.layer == layer)
            there = self._connection.execute(query).first()
            if there is None:
                self.done.left_out.append(parts.name)
            elif any((there.scores[h], there.suppression[h]) != _scores(part) for h, part in parts.heads()):
                raise ValueError(f"the catalogue has other {parts.name} already")
        for (run_id, operation_id), parts in self._hits.items():
            checks = schema.operation_check
            same = (checks.c.run_id == run_id, checks.c.operation_id == operation_id, checks.c.part == "single")
            if self._connection.execute(select(checks.c.id).where(*same)).first() is None:
                self.done.left_out.append(parts.name)
        self.done.left_out = sorted(set(self.done.left_out))

    # -- what a head belongs to -----------------------------------------------------------------------------------

    def _model(self, name: str, made: Row) -> int:
        content = {"family": storable(made["family"]), **{part: made["shape"][part] for part in Shape.model_fields}}
        known = (name, made["content_hash"])
        if known not in self._models:
            key = {"name": storable(name), "content_hash": made["content_hash"]}
            model_id, _ = self._enter(schema.model, key, content, {}, f"{name} with another family or shape")
            self._models[known] = model_id, content
            self.done.models.append(name)
        model_id, before = self._models[known]
        if content != before:
            raise ValueError(f"{name} had another family or shape before")
        return model_id

    def _run(self, table: Table, of: Row, made: Row) -> int:
        """The id of an extraction or run with these settings; versions and time are those of the first to enter it."""
        known = (table.name, *of.values(), json_hash(made["settings"]))
        if known not in self._ids:
            rest: Row = {name: made[name] for name in ("settings", "standard", "versions") if name in made}
            key = of | {"settings_hash": known[-1]}
            self._ids[known], _ = self._enter(table, key, {}, rest, "")
        return self._ids[known]

    def _labeller(self, llm: str, prompt: str, template: str, settings: Row, template_hash: str) -> int:
        key_hash = json_hash([llm, prompt, template, settings])
        known = ("labeller", key_hash)
        if known not in self._ids:
            rest = {"llm": llm, "prompt": prompt, "template": template, "template_hash": template_hash}
            row = {name: storable(value) for name, value in rest.items()} | {"settings": settings}
            self._ids[known], _ = self._enter(schema.labeller, {"key_hash": key_hash}, {}, row, "")
        return self._ids[known]

    # -- what is told of a head -------------------------------------------------------------------------------------

    def _description(self, head_id: int, found: Row, name: str) -> None:
        made = found["provenance"]
        labeller = self._labeller(
            found["llm"], found["prompt"], made["template"], made["settings"], made["template_hash"]
        )
        told = ("inputs", "pattern", "reasoning", "unclear", "claims", "failure", "detail")
        content = {part: storable(found[part]) for part in told} | {
            part: storable(made[part]) for part in ("reply", "prompt_hash")
        }
        about = {"usage": made["usage"], "versions": made["versions"], "created": made["described"]}
        key = {"head_id": head_id, "labeller_id": labeller, "role": found["role"] or 0}
        other = f"{name}: another description by {found['llm']}"
        description_id, new = self._enter(schema.description, key, content, about, other)
        self.done.descriptions += new
        for measure, judged in found["scores"].items():
            for llm, score in judged.items():
                self._score(description_id, measure, llm, score, name)

    def _role(self, head_id: int, role: Row, made: Row, other: str) -> None:
        tested = made["evidence"] is not None
        content = {part: role[part] for part in ("sign", "rows", "held_out", "share", "reach", "p_value")}
        content["evidence"] = {"settings": made["evidence"], "found": role["evidence"]} if tested else None
        about = {"settings": made["settings"], "settings_hash": json_hash(made["settings"])}
        key = {"head_id": head_id, "role": role["role"]}
        self._enter(head_role, key, content, about | {"versions": made["versions"]}, other)

    def _score(self, description_id: int, measure: str, llm: str, score: Row, name: str) -> None:
        made = score["provenance"]
        judge = self._labeller(llm, made["prompt"], made["template"], made["judge"], made["template_hash"])
        key = {"description_id": description_id, "judge_id": judge, "measure": measure}
        key["settings_hash"] = json_hash(made["settings"])
        content = {part: storable(value) for part, value in score.items() if part != "provenance"}
        about = {"settings": made["settings"], "versions": made["versions"], "created": made["scored"]}
        self._enter(schema.score, key, content, about, f"{name}: another score by {llm}")

    def _under(self, table: Table, head_id: int, settings: Row | None, found: Any, other: str) -> None:
        """Enter what was found of a head under some settings, if it was looked for."""
        if settings is not None:
            key = {"head_id": head_id, "settings_hash": json_hash(settings)}
            self._enter(table, key, {"found": found}, {"settings": settings}, other)

    # -- operations: by layer and by model, so entered when all their heads have come -------------------------------

    def _relations(self, model_id: int, record: Row, made: Row) -> None:
        run_id = self._run(schema.relation_run, {"model_id": model_id}, made)
        layer, head, shape = record["layer"], record["head"], record["provenance"]["shape"]
        for name, found in record["relations"].items():
            about = made["operations"][name]
            key = {"run_id": run_id, "operation_id": self._operation(name, about)}
            content = {"k": about["k"], "pairs_used": about["pairs_used"], "valid": True}
            known = ("relation", *key.values(), *content.values())
            if known not in self._ids:
                other = f"{name}: another k or number of pairs"
                self._ids[known], _ = self._enter(schema.relation, key, content, {}, other)
            place = (self._ids[known], layer)
            what = f"relation scores of layer {layer} of {record['model']}"
            parts = self._layers.setdefault(place, _Parts(what, shape["n_heads"]))
            parts.put((0, head), found)
            if parts.complete:
                (row,) = self._layers.pop(place).rows(1)
                scores, suppression = map(list, zip(*map(_scores, row), strict=True))
                key = {"relation_id": place[0], "layer": layer}
                content = {"scores": scores, "suppression": suppression}
                self._enter(schema.relation_layer, key, content, {"seconds": 0.0}, f"{name}: other {what}")
        self._checks(model_id, record, made)

    def _checks(self, model_id: int, record: Row, made: Row) -> None:
        model, shape = record["model"], record["provenance"]["shape"]
        if "correlate" in made:
            run_id = self._run(schema.check_run, {"model_id": model_id, "kind": "correlate"}, made["correlate"])
            for name, about in made["correlate"]["operations"].items():
                if "inference" in record["relations"].get(name, {}):
                    place = (run_id, self._operation(name, about))
                    parts = self._hits.setdefault(
                        place, _Parts(f"correlate's {name} of {model}", shape["n_heads"], shape["n_layers"])
                    )
                    parts.put((record["layer"], record["head"]), record["relations"][name]["inference"])
                    if parts.complete:
                        rows = self._hits.pop(place).rows(shape["n_layers"])
                        found = about["found"] | _hits(rows, len(about["found"]["templates"]))
                        self._operation_check(*place, "single", found, f"{name}: another correlation of {model}")
        if "ablate" in made:
            run_id = self._run(schema.check_run, {"model_id": model_id, "kind": "ablate"}, made["ablate"])
            for name, about in made["ablate"]["operations"].items():
                found, other = about["found"], f"{name}: another ablation of {model}"
                self._operation_check(run_id, self._operation(name, about), "ablation", found, other)

    def _operation(self, name: str, about: Row) -> int:
        known = ("operation", name, about["content_hash"])
        if known not in self._ids:
            key = {"name": storable(name), "content_hash": about["content_hash"]}
            rest = {part: storable(about[part]) for part in ("category", "direction")}
            pairs = self._pairs.get(about["content_hash"], [])
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


class _Parts:
    """What is stored by layers of heads, until every head has brought its part."""

    def __init__(self, name: str, n_heads: int, n_layers: int = 1) -> None:
        self.name = name
        self._parts: dict[tuple[int, int], Any] = {}
        self._n_heads, self._wanted = n_heads, n_heads * n_layers

    def put(self, place: tuple[int, int], part: Any) -> None:
        self._parts[place] = part

    def heads(self) -> Iterator[tuple[int, Any]]:
        """What came, by head, of a single layer."""
        return ((head, part) for (_, head), part in self._parts.items())

    @property
    def complete(self) -> bool:
        return len(self._parts) == self._wanted

    def rows(self, n_layers: int) -> list[list[Any]]:
        return [[self._parts[layer, head] for head in range(self._n_heads)] for layer in range(n_layers)]


def _scores(relation: Row) -> tuple[float, float]:
    return relation["score"], relation["suppression"]


def _told(value: Any) -> Any:
    """A value to be compared; lists of nothing say no more than none."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return value if any(part not in (None, []) for part in parts) else None


def _hits(rows: list[list[Row]], n_templates: int) -> Row:
    """The counts of all heads as `describe.check_records.DynamicHits` has them: by template, then by layer and head."""
    return {
        kind: [
            {side: [[head[kind][side][t] for head in row] for row in rows] for side in ("promoted", "suppressed")}
            for t in range(n_templates)
        ]
        for kind in ("in_context", "of_source")
    }


def _packed(row: Row) -> list[Any]:
    return [row["token_id"], row["token"], row["saliency"], _packed_targets(row["targets"])]


def _packed_targets(targets: list[Row]) -> list[Any]:
    return [[target["token_id"], target["token"], target["logit"]] for target in targets]


def _packed_all(rows: list[Row], way: str) -> list[Any]:
    return [_packed_targets(row[way]) for row in rows]


def _packed_held_out(held_out: Row) -> Row:
    return {
        part: [[*_packed(row), _packed_targets(row["suppressed"])] for row in rows] for part, rows in held_out.items()
    }
