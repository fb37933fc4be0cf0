"""The catalogue: what every stage reads its input from and commits its output to. Imports no torch."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from itertools import product
from types import TracebackType
from typing import Any

from sqlalchemy import Engine, Row, and_, null, select

from describe.catalog import schema
from describe.catalog.attention import AttentionStore
from describe.catalog.batches import BatchStore
from describe.catalog.browse import BrowseStore
from describe.catalog.cards import CardStore
from describe.catalog.checks import CheckStore
from describe.catalog.claims import claimed
from describe.catalog.database import begin_write, connect, found, let_go
from describe.catalog.descriptions import descriptions_of, insert_description
from describe.catalog.evidence import EvidenceStore
from describe.catalog.figures import FigureStore
from describe.catalog.heads import IS_HEAD, heads_of, is_called, model_info, newest_extractions, place
from describe.catalog.ledger import LedgerStore
from describe.catalog.packing import DISTINCT, MAPPING, head_record, pack, unpack
from describe.catalog.passages import add_head
from describe.catalog.placebos import PlaceboStore
from describe.catalog.query_key import QueryKeyStore
from describe.catalog.relations import RelationStore
from describe.catalog.roles import RoleStore
from describe.catalog.rows import get_or_create, json_hash
from describe.catalog.runs import RunStore
from describe.catalog.scores import ScoreStore
from describe.catalog.search import SearchStore
from describe.catalog.worded import WordedStore
from describe.catalog.writes import Writes
from describe.errors import CatalogueError
from describe.head_record import CountedTokens, HeadRecord, Record, RelationsProvenance
from describe.readings import Reading
from describe.records import Description, HeadId, HeadMapping, ModelInfo
from describe.secrets import shown_url

__all__ = ["Catalogue"]


class Catalogue:
    """A catalogue of models, their heads' mappings, and the descriptions of these.

    Args:
        where: a SQLite file's path, or any SQLAlchemy URL.
        create: make the catalogue when it is not there: with the first thing that is committed, or when it is closed.

    Raises `CatalogueError` as `describe.catalog.database.connect` does. Use as a context manager, or `close` it.
    """

    def __init__(self, where: str, *, create: bool = False) -> None:
        self._engine = connect(where, create=create)
        self._let_go = weakref.finalize(self, let_go, self._engine)
        self.writes = Writes(self._engine)
        self.relations = RelationStore(self._engine)
        self.evidence = EvidenceStore(self._engine)
        self.figures = FigureStore(self._engine)
        self.query_key = QueryKeyStore(self._engine)
        self.checks = CheckStore(self._engine)
        self.attention = AttentionStore(self._engine)
        self.scores = ScoreStore(self._engine, self.writes)
        self.roles = RoleStore(self._engine)
        self.worded = WordedStore(self._engine, self.writes)
        self.cards = CardStore(self._engine)
        self.search = SearchStore(self._engine)
        self.browse = BrowseStore(self._engine)
        self.placebos = PlaceboStore(self._engine)
        self.ledger = LedgerStore(self._engine, self.writes)
        self.batches = BatchStore(self._engine)
        self.runs = RunStore(self._engine)

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:  # what was refused makes no catalogue
            self._let_go()

    def claim(self, what: str, taken: str) -> AbstractContextManager[None]:
        """Hold the claim to do something, as `describe.catalog.claims.claimed` does."""
        return claimed(self._engine, what, taken)

    def close(self) -> None:
        """Let go of the database, which others in this process may keep. One that was to be made is there now."""
        if self._let_go.alive:
            found(self._engine)
        self._let_go()

    @property
    def engine(self) -> Engine:
        """The database, for what stands above the catalogue and has tables of its own in it."""
        return self._engine

    # -- models and extractions ---------------------------------------------------------------------------------

    def register_model(self, info: ModelInfo) -> int:
        """The id of a model, entered if it is new."""
        fields = asdict(info)
        key = {name: fields.pop(name) for name in ("name", "content_hash")}
        return get_or_create(self._engine, schema.model, key, fields)

    def find_model(self, name: str, content_hash: str | None = None) -> tuple[int, ModelInfo]:
        """A model by name, or by ``name@`` and the start of its content hash; the hash decides between namesakes.

        Raises `CatalogueError` when there is none, or several and nothing to choose by.
        """
        found = [row for row in self._models() if is_called(row, name)]
        if len(found) > 1 and content_hash is not None:
            found = [row for row in found if row.content_hash == content_hash]
        if not found:
            names = ", ".join(sorted({row.name for row in self._models()})) or "none"
            raise CatalogueError(f"'{self._shown}' holds no model '{name}' (it holds: {names}): run headscribe extract")
        if len(found) > 1:
            choices = ", ".join(f"{row.name}@{row.content_hash[:8]}" for row in found)
            raise CatalogueError(f"'{self._shown}' holds several models '{name}': say which, {choices}")
        return found[0].id, model_info(found[0])

    def models(self) -> list[ModelInfo]:
        """All models, in order of entry."""
        return [model_info(row) for row in self._models()]

    def begin_extraction(
        self, model_id: int, settings: dict[str, Any], versions: dict[str, str], *, placebo: str | None = None
    ) -> int:
        """The id of the extraction of a model with these settings, entered if it is new.

        ``placebo`` names the kind of placebo that its heads are; the settings must tell it from the model's own.
        """
        key = {"model_id": model_id, "settings_hash": json_hash(settings)}
        rest = {"settings": settings, "versions": versions, "placebo": placebo}
        return get_or_create(self._engine, schema.extraction, key, rest)

    def find_extraction(self, model_id: int, settings: dict[str, Any]) -> int | None:
        """The id of the extraction of a model with these settings, if there is one."""
        table = schema.extraction
        same = (table.c.model_id == model_id, table.c.settings_hash == json_hash(settings))
        with self._engine.connect() as connection:
            return connection.execute(select(table.c.id).where(*same)).scalar()

    def extraction_settings(self, extraction_id: int) -> dict[str, object]:
        """The settings that an extraction was made with."""
        table = schema.extraction
        with self._engine.connect() as connection:
            return dict(connection.execute(select(table.c.settings).where(table.c.id == extraction_id)).scalar_one())

    def latest_extraction(self, model_id: int, reading: str | None = None) -> int:
        """The id of a model's newest extraction by a reading (None: as `newest_extractions` chooses), placebos aside.

        Raises `CatalogueError` when it has none.
        """
        with self._engine.connect() as connection:
            found = newest_extractions(connection, [model_id], reading).get(model_id)
        if found is None:
            by, option = ("", "") if reading is None else (f" by the reading '{reading}'", f" --reading {reading}")
            raise CatalogueError(f"the model has no heads{by} in the catalogue yet: run headscribe extract{option}")
        return found

    def counted_tokens(self, extraction_id: int) -> CountedTokens | None:
        """The tokens that count in an extraction; None where all do, or nobody has told."""
        table = schema.extraction
        with self._engine.connect() as connection:
            kept = connection.execute(select(table.c.tokens).where(table.c.id == extraction_id)).scalar_one()
        return None if kept is None else CountedTokens.of(**kept)

    def save_counted_tokens(self, extraction_id: int, counted: CountedTokens) -> None:
        """Commit which tokens count in an extraction."""
        table = schema.extraction
        with begin_write(self._engine) as connection:
            connection.execute(table.update().where(table.c.id == extraction_id).values(tokens=counted.to_json()))

    def reading(self, extraction_id: int) -> Reading:
        """The reading of an extraction."""
        return Reading.of(self.extraction_settings(extraction_id))

    def readings(self, model_id: int) -> list[Reading]:
        """The readings by which a model was read, those of placebos aside, the newest last."""
        table = schema.extraction
        own = (table.c.model_id == model_id, table.c.placebo.is_(None))
        with self._engine.connect() as connection:
            found = connection.execute(select(table.c.settings).where(*own).order_by(table.c.id)).scalars()
            return [Reading.of(settings) for settings in found]

    # -- heads ----------------------------------------------------------------------------------------------------

    def saved_heads(self, extraction_id: int, *, complete: bool = False) -> set[HeadId]:
        """The heads whose mappings are in the catalogue; ``complete``: with all that is kept today."""
        table = schema.head
        query = select(table.c.layer, table.c.head).where(table.c.extraction_id == extraction_id)
        if complete:
            query = query.where(_COMPLETE)
        with self._engine.connect() as connection:
            return {HeadId(row.layer, row.head) for row in connection.execute(query)}

    def save_head(self, extraction_id: int, mapping: HeadMapping) -> None:
        """Commit one head's mapping; one that is there already stays as it is, unless it was not complete."""
        table = schema.head
        key = {"extraction_id": extraction_id, "layer": mapping.id.layer, "head": mapping.id.head}
        largest = mapping.salient[0].saliency if mapping.salient else 0.0
        found: dict[str, Any] = {"saliency": largest} | pack(mapping)
        shown = [*found["salient"], *(found["distinct_rows"] or ())]
        head_id = get_or_create(self._engine, table, key, found, lambda c, new: add_head(c, extraction_id, new, shown))
        with begin_write(self._engine) as connection:
            connection.execute(table.update().where(table.c.id == head_id, ~_COMPLETE).values(**found))

    def mapping(
        self,
        extraction_id: int,
        head: HeadId,
        *,
        suppressed: bool = True,
        distinct: bool = True,
        held_out: bool = False,
    ) -> HeadMapping:
        """One head's mapping, with or without what it suppresses, the rows that stand out most, and those that no
        describer sees.

        Raises `CatalogueError` when it was not extracted.
        """
        with self._engine.connect() as connection:
            row = connection.execute(_MAPPING[suppressed, distinct, held_out], place(extraction_id, head)).first()
        if row is None:
            raise CatalogueError(f"head {head} is not in the catalogue yet: run headscribe extract")
        return unpack(head, row)

    # -- descriptions ---------------------------------------------------------------------------------------------

    def register_labeller(self, llm: str, prompt: str, template: str, settings: dict[str, Any]) -> int:
        """The id of an LLM with a prompt template and settings, entered if it is new."""
        rest = {
            "llm": llm,
            "prompt": prompt,
            "template": template,
            "template_hash": hashlib.sha256(template.encode()).hexdigest(),
            "settings": settings,
        }
        key = {"key_hash": json_hash([llm, prompt, template, settings])}
        return get_or_create(self._engine, schema.labeller, key, rest)

    def find_labeller(self, llm: str, prompt: str, template: str, settings: dict[str, Any]) -> int | None:
        """The id of an LLM with a prompt template and settings, if it is in the catalogue."""
        by_key = schema.labeller.c.key_hash == json_hash([llm, prompt, template, settings])
        with self._engine.connect() as connection:
            return connection.execute(select(schema.labeller.c.id).where(by_key)).scalar()

    def described_heads(self, extraction_id: int, labeller_id: int) -> dict[HeadId, str | None]:
        """The heads and roles this labeller has an outcome for, each with its cause of failure or None."""
        head, description = schema.head, schema.description
        query = (
            select(head.c.layer, head.c.head, description.c.role, description.c.failure)
            .join(description, description.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, description.c.labeller_id == labeller_id)
        )
        with self._engine.connect() as connection:
            return {HeadId(row.layer, row.head, row.role): row.failure for row in connection.execute(query)}

    def patterns(self, extraction_id: int, labeller_id: int) -> set[HeadId]:
        """The heads and roles that this labeller says something of: neither failures nor abstentions."""
        head, description = schema.head, schema.description
        query = (
            select(head.c.layer, head.c.head, description.c.role)
            .join(description, description.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, description.c.labeller_id == labeller_id)
            .where(description.c.failure.is_(None), ~description.c.unclear)
        )
        with self._engine.connect() as connection:
            return {HeadId(row.layer, row.head, row.role) for row in connection.execute(query)}

    def answered_heads(self, extraction_id: int) -> set[HeadId]:
        """The heads that anyone described, or called unclear."""
        head, description = schema.head, schema.description
        query = (
            select(head.c.layer, head.c.head)
            .join(description, description.c.head_id == head.c.id)
            .where(head.c.extraction_id == extraction_id, description.c.failure.is_(None))
        )
        with self._engine.connect() as connection:
            return {HeadId(row.layer, row.head) for row in connection.execute(query)}

    def save_description(
        self, extraction_id: int, head: HeadId, labeller_id: int, outcome: Description, versions: dict[str, str]
    ) -> None:
        """Commit the outcome of one head or role. An earlier failure gives way to it; an earlier answer stays."""
        self.writes.soon(lambda c: insert_description(c, extraction_id, head, labeller_id, outcome, versions))

    # -- whole heads, for reading and export ----------------------------------------------------------------------

    def head_records(
        self,
        model: ModelInfo,
        extraction_id: int,
        *,
        only: HeadId | None = None,
        labellers: Collection[int] | None = None,
        held_out: bool = True,
    ) -> Iterator[HeadRecord]:
        """Everything known of each head, in order; one layer in memory at a time.

        ``only`` one head, or with the descriptions of some labellers only. Without ``held_out``, which is two thirds of
        all that is read, records lack that field: for what shows no such rows.
        """
        one = None if only is None else only.head
        columns = [column for column in schema.head.c if held_out or column.name != "held_out"]
        with self._engine.connect() as connection:
            run = connection.execute(select(schema.extraction).where(schema.extraction.c.id == extraction_id)).one()
            relations = self.relations.by_head(run.model_id, layer=None if only is None else only.layer)
            checked = self.checks.by_head(run.model_id)
            made = relations.provenance
            provenance: dict[str, Record] = {}
            if made is not None:
                provenance["relations"] = RelationsProvenance.of(**made, **checked.provenance)
            attention = self.attention.provenance(run.model_id)
            table = schema.head
            there = select(table.c.layer).where(table.c.extraction_id == extraction_id).distinct()
            layers = connection.execute(there.order_by(table.c.layer)).scalars().all()
            for layer in layers if only is None else [only.layer]:
                wanted = heads_of(extraction_id, layer, one)
                heads = connection.execute(select(*columns).where(wanted).order_by(table.c.head)).all()
                scores = self.scores.of_heads(connection, wanted)
                descriptions = descriptions_of(connection, wanted, scores, labellers)
                evidence = self.evidence.of_heads(connection, wanted)
                figures = self.figures.of_heads(connection, wanted)
                pairs = self.query_key.of_heads(connection, wanted)
                checks = self.checks.of_heads(connection, wanted)
                roles = self.roles.of_heads(connection, wanted)
                worded = self.worded.of_heads(connection, wanted)
                looks = self.attention.of_layer(connection, attention[0], layer, one) if attention else {}
                for row in heads:
                    head = HeadId(layer, row.head)
                    of_operations = checked.heads.get(head, {})
                    said = {"worded": worded[row.id]} if row.id in worded else {}
                    look = {} if attention is None or row.head not in looks else {"attention": looks[row.head]}
                    yield head_record(
                        model,
                        run,
                        row,
                        descriptions=descriptions.get(row.id, ()),
                        relations={
                            name: found | of_operations.get(name, {})
                            for name, found in relations.heads.get(head, {}).items()
                        },
                        inference=checks.get(row.id),
                        evidence=evidence.get(row.id),
                        figure=figures.get(row.id),
                        query_key=pairs.get(row.id),
                        roles=roles.get(row.id),
                        provenance=provenance | ({"attention": attention[1]} if attention and look else {}),
                        **look,
                        **said,
                    )

    @property
    def _shown(self) -> str:
        """The catalogue's place without a password."""
        url = self._engine.url
        return str(url.database) if url.get_backend_name() == "sqlite" else shown_url(str(url))

    def _models(self) -> list[Row[Any]]:
        with self._engine.connect() as connection:
            return list(connection.execute(select(schema.model).order_by(schema.model.c.id)))


# Statements that run for every head are built once: building them anew costs more than running them.
_OPTIONAL = (("suppressed",), DISTINCT, ("held_out",))
_MAPPING = {
    wanted: select(
        *(
            null().label(name)
            if any(name in names and not there for names, there in zip(_OPTIONAL, wanted, strict=True))
            else schema.head.c[name]
            for name in MAPPING
        )
    ).where(IS_HEAD)
    for wanted in product((True, False), repeat=len(_OPTIONAL))
}
_COMPLETE = and_(schema.head.c.suppressed.is_not(None), schema.head.c.held_out.is_not(None))
