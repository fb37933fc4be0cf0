"""Parts of the page of a model as the app serves them: the map at once, then each head and each search when asked for.

Nothing here reads the mappings of all heads, so that a model of thousands of heads is there at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from markupsafe import Markup
from sqlalchemy import func, select

from annotations.heads import judged
from app.model_names import head_link, split_address
from describe.catalog import Catalogue, schema
from describe.export.html import App, render_index, render_map
from describe.export.html.data import Tables, pack_head, pack_rows
from describe.export.html.overview import Operation, OperationFigures, Overview, operation_figures, overview
from describe.head_record import DescriptionRecord, HeadRecord, State
from describe.records import HeadId, ModelInfo
from describe.text import visible

__all__ = ["MOST_MATCHES", "Shown", "forget", "found", "head_part", "index_page", "model_page", "models", "shown"]

MOST_MATCHES = 200
"""Heads of a search that are told of; the map shows all."""

LONGEST_TOKEN, LONGEST_TEXT = 200, 1500
"""Characters of a token and of a text that a page shows; the JSON of the head has all."""

Part = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """A model as an address names it, by one of its readings.

    Attributes:
        address: ``NAME@HASH8``, with the reading where it was named.
    """

    address: str
    model_id: int
    extraction_id: int
    info: ModelInfo


def shown(catalogue: Catalogue, address: str) -> Shown:
    """The model of an address. Raises `CatalogueError` where the catalogue has none of that name, or several."""
    name, reading = split_address(address)
    model_id, info = catalogue.find_model(name)
    extraction_id = catalogue.latest_extraction(model_id, reading)
    written = f"{info.name}@{info.content_hash[:8]}" + (f":{reading}" if reading else "")
    return Shown(written, model_id, extraction_id, info)


def model_page(catalogue: Catalogue, one: Shown, app: App, *, generated: str, version: str, home: str) -> str:
    """The page of a model, with its map; heads and searches are asked for at ``app.parts``."""
    map_ = _overview(str(catalogue.engine.url), catalogue, one, _newest(catalogue))
    return render_map(one.info, map_, Markup(""), generated=generated, version=version, app=app, home=home)


def index_page(
    catalogue: Catalogue, rows: Sequence[Part], app: App, *, generated: str, version: str, trouble: str = ""
) -> str:
    """The page that lists models, given as `BrowseStore.models` does; and says what is wrong with an address."""
    of_these = tuple(row["extraction_id"] for row in rows)
    outcomes = _outcomes(str(catalogue.engine.url), catalogue, of_these, _newest(catalogue))
    models = []
    for row in rows:
        counts, describers = outcomes[row["extraction_id"]]
        about = {"page": f"./?model={_quoted(row['model'])}", "describers": describers, "counts": counts}
        models.append({**row, **about, "content_hash": row["model"].rpartition("@")[2]})
    return render_index(models, Markup(""), generated=generated, version=version, app=app, trouble=trouble)


def head_part(catalogue: Catalogue, one: Shown, head: HeadId, file: str) -> Part | None:
    """A head with all that is known of it, as the page draws it; None where it is not in the catalogue.

    ``file``: the address of its JSON.
    """
    record = next(catalogue.head_records(one.info, one.extraction_id, only=head), None)
    if record is None:
        return None
    tables = Tables()
    packed = pack_head(record, tables)
    ratings = judged(catalogue, one.info.name, head)
    for told, description in zip(packed["descriptions"], record.ranked_descriptions(), strict=True):
        told["raters"] = _judgements(description, ratings)
    packed |= {"held_out": _held_out(record, tables), "nearest": _nearest(catalogue, one, head), "file": file}
    named = tables.to_json()
    named["tokens"] = [_cut(token, LONGEST_TOKEN) for token in named["tokens"]]
    return {"head": _shortened(packed), "tables": named | {"shared": _shortened(named["shared"])}}


def found(catalogue: Catalogue, query: str, one: Shown | None) -> Part:
    """The heads that a query finds: of one model all places, and by what the first are found; or of every model."""
    of_one = None if one is None else [one.model_id]
    reading = None if one is None else split_address(one.address)[1]
    result = catalogue.search.find(query, models=of_one, reading=reading, limit=MOST_MATCHES)
    matches = [_match(head) for head in result["heads"]]
    if one is None:
        return {"total": result["total"], "matches": matches}
    places = catalogue.search.places(query, one.model_id, one.extraction_id)
    return {"heads": [str(head) for head in places], "matches": matches}


def _match(head: Mapping[str, Any]) -> Part:
    place = HeadId(head["layer"], head["head"])
    texts = [_cut(head[name], LONGEST_TEXT) for name in ("pattern", "inputs") if head[name]]
    return {
        "head": str(place),
        "name": str(place),
        "model": visible(head["model"]),
        "address": head_link(head["model"], place),
        "texts": texts,
        "said": head["headline"] or (texts[0] if texts else ""),
        "found": head["tokens"],
    }


@lru_cache(maxsize=16)
def _overview(place: str, catalogue: Catalogue, one: Shown, newest: tuple[int, ...]) -> Overview:
    """The map of a model, made again once the catalogue has anything new."""
    heads = catalogue.browse.heads(one.extraction_id)
    cells = tuple((head.layer, head.head) for head in heads)
    made = overview(one.info, heads, _operations(place, catalogue, one.model_id, cells, newest[: len(_OF_OPERATIONS)]))
    made["model"]["address"] = one.address
    return made


def models(catalogue: Catalogue) -> Sequence[Part]:
    """All models, as `BrowseStore.models` gives them, the newest first."""
    return _models(str(catalogue.engine.url), catalogue, _newest(catalogue))


@lru_cache(maxsize=4)
def _models(place: str, catalogue: Catalogue, newest: tuple[int, ...]) -> Sequence[Part]:
    """All models, counted again as `_overview`."""
    return tuple(catalogue.browse.models()[::-1])


@lru_cache(maxsize=4)
def _outcomes(
    place: str, catalogue: Catalogue, extractions: tuple[int, ...], newest: tuple[int, ...]
) -> dict[int, tuple[dict[State, int], list[str]]]:
    """How many heads of each extraction are in which state, and who described any; counted again as `_overview`."""
    return catalogue.browse.outcomes(extractions)


def forget() -> None:
    """Make every map again, and count again, at the next request."""
    for cached in (_models, _overview, _operations, _outcomes):
        cached.cache_clear()


@lru_cache(maxsize=16)
def _operations(
    place: str, catalogue: Catalogue, model_id: int, cells: tuple[tuple[int, int], ...], newest: tuple[int, ...]
) -> OperationFigures:
    """The map's figures of operations, made again when there is a new score: descriptions come far more often."""
    run_id = catalogue.relations.find_run(model_id)
    operations = [
        Operation(
            one.name,
            one.category,
            {
                (layer, head): pair
                for layer, *columns in zip(one.layers, one.scores, one.suppression, strict=True)
                for head, pair in enumerate(zip(*columns, strict=True))
            },
        )
        for one in (catalogue.relations.scores(run_id) if run_id is not None else [])
        if one.valid
    ]
    return operation_figures(cells, operations)


_OF_OPERATIONS = [schema.operation, schema.relation_run, schema.relation, schema.relation_layer]
"""Tables that figures of operations are made of; they lead `_CHANGING`, so that their newest rows are told apart."""

_CHANGING = sorted(
    (table for table in schema.metadata.sorted_tables if "id" in table.c and not table.name.startswith("study")),
    key=lambda table: table not in _OF_OPERATIONS,
)
"""Tables that a map may be other by: all but those of studies. A failure that gives way to an answer keeps its row, and
shows by its call."""


def _newest(catalogue: Catalogue) -> tuple[int, ...]:
    """The newest rows of what a map shows: where they are the same, so is the map."""
    newest = (select(func.max(table.c.id)).scalar_subquery() for table in _CHANGING)
    with catalogue.engine.connect() as connection:
        return tuple(number or 0 for number in connection.execute(select(*newest)).one())


def _held_out(record: HeadRecord, tables: Tables) -> list[list[Any]]:
    rows = record.held_out
    named = (("The next most salient tokens", rows.next), ("Tokens drawn at random", rows.sample))
    return [[words, pack_rows(some, tables)] for words, some in named]


def _nearest(catalogue: Catalogue, one: Shown, head: HeadId) -> list[list[Any]]:
    """The nearest heads as [by what, heads]: by tokens, then by what each describer said of both."""
    near = catalogue.search.nearest(one.extraction_id, head, limit=4)
    lists = {"By tokens: the share of salient and promoted tokens that both have": _near_all(near["by_tokens"], one)}
    told = near["by_description"]
    for llm in dict.fromkeys(other["llm"] for found in told.values() for other in found):
        words = f"By what {visible(llm)} said: the words that both descriptions have, the rare ones more"
        by_one = {where: [other for other in found if other["llm"] == llm] for where, found in told.items()}
        lists[words] = _near_all(by_one, one)
    return [[words, found] for words, found in lists.items()]


def _near_all(near: Mapping[str, Sequence[Mapping[str, Any]]], one: Shown) -> list[Part]:
    return [_near(other, one) for where in ("here", "elsewhere") for other in near[where]]


def _near(other: Mapping[str, Any], one: Shown) -> Part:
    place = HeadId(other["layer"], other["head"])
    return {
        "name": str(place),
        "model": None if other["model_id"] == one.model_id else visible(other["model"]),
        "address": head_link(other["model"], place),
        "pattern": other["pattern"] and _cut(other["pattern"], 160),
        "similarity": other["similarity"],
        "shared": other["shared"],
    }


def _judgements(told: DescriptionRecord, ratings: Sequence[Mapping[str, Any]]) -> str:
    """Raters' judgements of this very text, in words; empty where nobody judged it."""
    said = {"inputs": told.inputs or "", "pattern": told.pattern or ""}
    for one in ratings:
        same = {name: one[name] or "" for name in said} == said
        if same and one["source"] in (told.llm, f"{told.llm} {told.prompt}"):
            return ", ".join(f"{number} {words}" for words, number in one["fit"].items() if number)
    return ""


def _shortened(value: Any) -> Any:
    """Nested data with texts that a page can show."""
    if isinstance(value, str):
        return _cut(value, LONGEST_TEXT)
    if isinstance(value, dict):
        return {_cut(key, LONGEST_TOKEN): _shortened(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(inner) for inner in value[:1000]]
    return value


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… {len(text):,} characters"


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
