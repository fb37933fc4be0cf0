"""The cards of heads, kept so that overviews and search need not make them anew: brought up to date when asked for.

A card is made of what other tables hold. `CardStore.refresh` looks whether any of these has a row that was not there
when the cards were made, by ids, which takes no time where none has, and makes the cards of such extractions again,
from columns, without reading mappings.

    head ── head_card;  head ─< passage, one of which has the words of its card
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    Select,
    String,
    Table,
    Text,
    func,
    select,
)
from sqlalchemy.exc import DBAPIError

from describe.catalog import schema
from describe.catalog.attention import LARGEST, attention_head, attention_run, newest_run
from describe.catalog.checks import CheckStore
from describe.catalog.database import begin_write
from describe.catalog.figures import FigureStore, head_figure
from describe.catalog.heads import newest_extractions
from describe.catalog.passages import passage, replace_cards
from describe.catalog.relations import RelationStore
from describe.catalog.rows import now, storable
from describe.catalog.told import told_of
from describe.head_record import Card, Facts, Json, RelationRecord, Told, card
from describe.head_record.card_terms import card_terms
from describe.readings import READING_NAMES
from describe.records import THRESHOLD, HeadId

__all__ = ["CardStore", "head_card"]

head_card = Table(
    "head_card",
    schema.metadata,
    Column("id", Integer, primary_key=True),
    Column("head_id", ForeignKey("head.id"), nullable=False, unique=True),
    Column("kind", String(64), nullable=False, comment="by what carries the headline"),
    Column("headline", Text, nullable=False, comment="what the head does, in one line"),
    Column("kinds", JSON, nullable=False, comment="of head, by where it looks"),
    Column("found", JSON, nullable=False, comment="`describe.head_record.Card`, whole"),
    Column("created", DateTime(timezone=True), nullable=False),
)

UP_TO_DATE = "cards"
"""Key of `catalogue_info`: up to which row of each table the cards are made."""

WAIT = 1.0
"""Seconds for which another may hold the lock; then the cards stay as they are until somebody asks again."""

_head, _told, _score = schema.head, schema.description, schema.score
_relation, _run, _check = schema.relation, schema.relation_run, schema.check_run
_OF_HEAD: dict[Table, Select[int]] = {
    passage: select(passage.c.extraction_id),
    _told: select(_head.c.extraction_id).join(_told, _told.c.head_id == _head.c.id),
    _score: select(_head.c.extraction_id)
    .join(_told, _told.c.head_id == _head.c.id)
    .join(_score, _score.c.description_id == _told.c.id),
    head_figure: select(_head.c.extraction_id).join(head_figure, head_figure.c.head_id == _head.c.id),
}
_OF_MODEL: dict[Table, Select[int]] = {
    schema.relation_layer: select(_run.c.model_id)
    .join(_relation, _relation.c.run_id == _run.c.id)
    .join(schema.relation_layer, schema.relation_layer.c.relation_id == _relation.c.id),
    schema.operation_check: select(_check.c.model_id).join(
        schema.operation_check, schema.operation_check.c.run_id == _check.c.id
    ),
    attention_head: select(attention_run.c.model_id).join(
        attention_head, attention_head.c.run_id == attention_run.c.id
    ),
}
"""Tables that cards are made of: whose rows belong to a head of an extraction, and whose to a model."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A card, with the words by which it is found."""

    card: Card
    kinds: tuple[str, ...]
    terms: tuple[str, ...]


class CardStore:
    """Part of `describe.catalog.Catalogue`: the cards of heads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def refresh(self) -> None:
        """Make the cards of all heads of which something is new.

        Where the catalogue cannot be written to now, the cards stay as they are.
        """
        with self._engine.connect() as connection:
            if _marks(connection) == _made_up_to(connection):
                return
        try:
            with begin_write(self._engine, wait=WAIT) as connection:
                self._refresh(connection)
        except DBAPIError:
            return

    def of_extraction(self, extraction_id: int) -> dict[HeadId, Card]:
        """The cards of an extraction's heads."""
        query = (
            select(_head.c.layer, _head.c.head, head_card.c.found)
            .join(_head, head_card.c.head_id == _head.c.id)
            .where(_head.c.extraction_id == extraction_id)
        )
        with self._engine.connect() as connection:
            return {HeadId(row.layer, row.head): Card.of(**row.found) for row in connection.execute(query)}

    def _refresh(self, connection: Connection) -> None:
        before = _made_up_to(connection)
        _hold(connection)
        readings = [newest_extractions(connection, reading=name) for name in READING_NAMES]
        own = {id_ for found in readings for id_ in found.values()}
        new: set[int] = set()
        for table, query in _OF_HEAD.items():
            new |= _since(connection, table, query, before)
        for table, query in _OF_MODEL.items():
            models = _since(connection, table, query, before)
            new |= {found[model] for found in readings for model in models & set(found)}
        for extraction_id in sorted(new & own):
            self._make(connection, extraction_id)
        info = schema.catalogue_info
        marks = json.dumps(_marks(connection))
        connection.execute(info.update().where(info.c.key == UP_TO_DATE).values(value=marks))

    def _make(self, connection: Connection, extraction_id: int) -> None:
        """Make the cards of an extraction; what did not change is not written."""
        query = (
            select(head_card.c.head_id, head_card.c.found)
            .join(_head, head_card.c.head_id == _head.c.id)
            .where(_head.c.extraction_id == extraction_id)
        )
        before = {row.head_id: row.found for row in connection.execute(query)}
        made = {head_id: _made(facts) for head_id, facts in facts_of(connection, self._engine, extraction_id)}
        new = {head_id: one for head_id, one in made.items() if before.get(head_id) != _plain(one.card)}
        for some in _by(500, list(new)):
            connection.execute(head_card.delete().where(head_card.c.head_id.in_(some)))
            rows = [
                {
                    "head_id": head_id,
                    "kind": new[head_id].card.kind,
                    "headline": storable(new[head_id].card.headline),
                    "kinds": list(new[head_id].kinds),
                    "found": _plain(new[head_id].card),
                    "created": now(),
                }
                for head_id in some
            ]
            connection.execute(head_card.insert(), rows)
            replace_cards(connection, extraction_id, {head_id: new[head_id].terms for head_id in some})


def facts_of(connection: Connection, engine: Engine, extraction_id: int) -> Iterator[tuple[int, Facts]]:
    """The facts of each head of an extraction, by its id: from columns, not from mappings."""
    model_id = connection.execute(
        select(schema.extraction.c.model_id).where(schema.extraction.c.id == extraction_id)
    ).scalar_one()
    relations, checks = RelationStore(engine).by_head(model_id), CheckStore(engine).by_head(model_id)
    made = relations.provenance["operations"] if relations.provenance else {}
    pairs = {name: one["pairs_used"] for name, one in made.items()}
    looks = _looks(connection, model_id)
    figures = FigureStore(engine).of_extraction(extraction_id)
    told = told_of(connection, extraction_id)
    query = select(_head.c.id, _head.c.layer, _head.c.head).where(_head.c.extraction_id == extraction_id)
    for row in connection.execute(query.order_by(_head.c.id)):
        head = HeadId(row.layer, row.head)
        scores, of_operations = relations.heads.get(head, {}), checks.heads.get(head, {})
        strong = {name: found for name, found in scores.items() if max(found.values()) >= THRESHOLD}
        look = looks.get(head, _NOWHERE)
        descriptions: list[Told] = told.get(row.id, [])
        yield (
            row.id,
            Facts(
                relations={
                    name: RelationRecord.of(**found, **of_operations.get(name, {})) for name, found in strong.items()
                },
                pairs=pairs,
                kinds=look.kinds,
                halves=look.halves,
                attention=look.figures,
                figure=figures.get(head),
                descriptions=descriptions,
                looked_into=bool(scores or head in looks or head in figures or descriptions),
            ),
        )


class _Look(NamedTuple):
    """Where a head looks, as far as headlines tell: kinds, by halves of the text too, and (mean, uniform) figures."""

    kinds: tuple[str, ...] = ()
    halves: tuple[tuple[str, ...], ...] = ()
    figures: Mapping[str, Mapping[str, tuple[float | None, float | None]]] = {}


_NOWHERE = _Look()


def _looks(connection: Connection, model_id: int) -> dict[HeadId, _Look]:
    """Where the heads of a model look; nothing where the model was not run."""
    run = newest_run(connection, model_id)
    if run is None:
        return {}
    table = attention_head
    query = select(table.c.layer, table.c.head, table.c.found).where(table.c.run_id == run["id"])
    found: dict[HeadId, _Look] = {}
    for row in connection.execute(query):
        record = json.loads(zlib.decompressobj().decompress(bytes(row.found), LARGEST))
        figures = {
            text: {name: (one["mean"], one["uniform"]) for name, one in named.items()}
            for text, named in record["figures"].items()
        }
        kept = _Look(tuple(record["kinds"]), tuple(map(tuple, record["halves"])), figures)
        found[HeadId(row.layer, row.head)] = kept
    return found


def _made(facts: Facts) -> _Made:
    made = card(facts)
    return _Made(made, tuple(facts.kinds), tuple(card_terms(facts, made)))


def _plain(made: Card) -> Json:
    found: Json = storable(json.loads(json.dumps(made.to_json())))
    return found


def _marks(connection: Connection) -> dict[str, int]:
    """The last row of each table that cards are made of."""
    last = [func.coalesce(select(func.max(table.c.id)).scalar_subquery(), 0) for table in (*_OF_HEAD, *_OF_MODEL)]
    row = connection.execute(select(*last)).one()
    return {table.name: int(id_) for table, id_ in zip((*_OF_HEAD, *_OF_MODEL), row, strict=True)}


def _made_up_to(connection: Connection) -> Mapping[str, int]:
    info = schema.catalogue_info
    value = connection.execute(select(info.c.value).where(info.c.key == UP_TO_DATE)).scalar()
    found: Mapping[str, int] = json.loads(value) if value else {}
    return found


def _hold(connection: Connection) -> None:
    """Have no other process make cards meanwhile: the row of `UP_TO_DATE` is ours until the transaction ends."""
    info = schema.catalogue_info
    held = connection.execute(info.update().where(info.c.key == UP_TO_DATE).values(value=info.c.value))
    if not held.rowcount:
        connection.execute(info.insert().values(key=UP_TO_DATE, value="{}"))


def _since(connection: Connection, table: Table, query: Select[int], before: Mapping[str, int]) -> set[int]:
    """Whose rows of a table are new."""
    return {row[0] for row in connection.execute(query.where(table.c.id > before.get(table.name, 0)).distinct())}


def _by(number: int, values: list[int]) -> Iterator[list[int]]:
    return (values[at : at + number] for at in range(0, len(values), number))
