"""Searching a catalogue: heads by words, and heads like a head. Placebos and older extractions are left out."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Select, case, exists, func, select, union_all

from describe.catalog import schema
from describe.catalog.cards import CardStore, head_card
from describe.catalog.heads import newest_extractions
from describe.catalog.passages import counted, matching, matching_any, passage
from describe.records import HeadId
from describe.terms import FAR, FRAME, MOST, Term, query_terms, telling

__all__ = ["SearchStore"]

COMMON = 1000
"""A term that more passages have than this says little: it finds no nearest heads, and weighs nothing in prose."""

KNOWN = 5000
"""Passages of prose, and as many of tokens, whose words are taken for those that a mistyped one may stand for."""

MANY = 10 * COMMON
"""Descriptions of a describer are counted up to so many, to tell how rare a term is among them."""

MANNER = 10, 0.2
"""A word in more than so many, and so large a share, of a describer's descriptions is its way of speaking."""

BEGUN = 100
"""A word that only begins with what is asked for weighs as if so many words more stood around it."""

POSTINGS, CANDIDATES = 15_000, 100
"""Passages that are looked at through the rarest terms, and how many of them are compared whole."""


class _Passage(NamedTuple):
    """A passage that shares terms with another."""

    head_id: int
    similarity: float
    shared: list[str]


class SearchStore:
    """Part of `describe.catalog.Catalogue`: finding heads by words and by likeness."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._cards = engine, CardStore(engine)

    def find(
        self,
        query: str,
        *,
        models: Collection[int] | None = None,
        llm: str | None = None,
        reading: str | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> dict[str, Any]:
        """The heads that have all words of a query in their cards, descriptions or tokens, best first.

        A word stands for all that begin with it; case does not count, and nothing in a query is syntax. A head ranks by
        the length of what its words were found in, the shorter the higher: descriptions come before tokens, and both
        before phrases that stand around what a description says. A word that is there as it is asked for ranks before
        one that begins so: ``capital`` before "capitalised".

        ``models``: look at these only, by id; ``reading``: as `newest_extractions` takes it; ``llm``: in its
        descriptions only, and in nothing else. Returns ``total`` and ``heads``, each with ``model`` (``NAME@HASH8``),
        ``model_id``, ``extraction_id``, ``layer``, ``head``, ``rank``, the ``llm``, ``role`` (0: the whole head),
        ``inputs`` and ``pattern`` of the description that has most of the words, the ``tokens`` that have one, the
        ``headline`` of its card, and the ``kinds`` of head that it is by where it looks. A card is found by its
        headline, by operations, and by kinds: ``suppresses names``, ``country capital``, ``previous token head``.
        """
        terms = query_terms(query)
        if not terms:
            return {"total": 0, "heads": []}
        self._cards.refresh()
        with self._engine.connect() as connection:
            extractions = newest_extractions(connection, models, reading)
            ranked = _ranked(connection, terms, extractions, llm)
            rows = connection.execute(ranked.limit(limit).offset(offset)).all()
            known = _known(connection, [row.head_id for row in rows], terms, llm)
            heads = [known[row.head_id] | {"rank": float(row.rank)} for row in rows]
            return {"total": rows[0].total if rows else 0, "heads": heads}

    def meant(self, query: str) -> str | None:
        """A query without its typos: words that nothing has, each as the most alike of those that something has.

        None where every word is there, or one has none that is alike. Words of prose and of `KNOWN` heads are known.
        """
        terms = query_terms(query)
        with self._engine.connect() as connection:
            lost = [term.text for term in terms if not _is_there(connection, term)]
            known = _known_words(connection) if lost else set()
        near = {word: next(iter(_alike(word, known)), None) for word in lost}
        if not lost or None in near.values():
            return None
        return " ".join(near.get(term.text) or term.text for term in terms)

    def places(self, query: str, model_id: int, extraction_id: int) -> list[HeadId]:
        """All heads of one extraction that `find` finds, best first, by their places alone."""
        terms, head = query_terms(query), schema.head
        if not terms:
            return []
        self._cards.refresh()
        with self._engine.connect() as connection:
            ranked = _ranked(connection, terms, {model_id: extraction_id}, None).subquery()
            query_ = (
                select(head.c.layer, head.c.head)
                .join(ranked, ranked.c.head_id == head.c.id)
                .order_by(ranked.c.rank.desc(), head.c.id)
            )
            return [HeadId(row.layer, row.head) for row in connection.execute(query_)]

    def nearest(
        self, extraction_id: int, head: HeadId, *, limit: int = 6
    ) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """The heads most like a head, ``by_tokens`` and ``by_description``: ``here`` (its model) and ``elsewhere``.

        By tokens: the Jaccard index of what the two have for salient and promoted tokens, spaces and case aside. By
        description: the same of the `telling` words of two descriptions by one describer, weighed by rarity; describer
        by describer, of each its newest of the whole head. Only heads that share a term which at most `COMMON` passages
        have are looked at. Each is told of as by `find`, with ``similarity`` (0 to 1) and ``shared`` (terms) besides;
        by description with what its ``llm`` said.
        """
        table, told, by = schema.head, schema.description, schema.labeller
        query = (
            select(passage.c.description_id, passage.c.head_id, passage.c.terms, by.c.llm)
            .join(table, passage.c.head_id == table.c.id)
            .outerjoin(told, passage.c.description_id == told.c.id)
            .outerjoin(by, told.c.labeller_id == by.c.id)
            .where(table.c.extraction_id == extraction_id, table.c.layer == head.layer, table.c.head == head.head)
            .where(~passage.c.of_card)
            .order_by(case((told.c.role == 0, 1), else_=0), passage.c.id)
        )
        with self._engine.connect() as connection:
            newest = {row.llm: row for row in connection.execute(query)}
            near: dict[str, dict[str, list[dict[str, Any]]]] = {
                how: {"here": [], "elsewhere": []} for how in ("by_tokens", "by_description")
            }
            for llm, row in newest.items():
                how = near["by_tokens" if llm is None else "by_description"]
                for where, found in self._nearest(connection, extraction_id, row, limit).items():
                    how[where] += found
            return near

    def _nearest(
        self, connection: Connection, extraction_id: int, row: Any, limit: int
    ) -> dict[str, list[dict[str, Any]]]:
        """The heads nearest to a passage: of tokens, or of a description among those by its describer."""
        tokens = row.llm is None
        told = list if tokens else telling
        terms = told(row.terms.split())[:300]
        counts = _counts(connection, terms)
        weights = dict.fromkeys(terms, 1.0) if tokens else _rarities(connection, counts, row.llm)
        near: dict[bool, list[_Passage]] = {True: [], False: []}
        for here, head_id, found in _candidates(connection, extraction_id, row, counts):
            near[bool(here)].append(_compared(head_id, weights, told(found.split())))
        best = {here: _best(found, limit) for here, found in near.items()}
        known = _known(connection, [one.head_id for found in best.values() for one in found], llm=row.llm)
        return {
            name: [known[one.head_id] | {"similarity": one.similarity, "shared": one.shared} for one in best[here]]
            for name, here in (("here", True), ("elsewhere", False))
        }


def _ranked(
    connection: Connection, terms: Sequence[Term], extractions: Mapping[int, int], llm: str | None
) -> Select[tuple[int, float, int]]:
    """The heads of these extractions that have all terms, best first; ``llm``: in its descriptions only."""
    wanted = [passage.c.extraction_id.in_(extractions.values())]
    if llm is not None:
        told, by = schema.description, schema.labeller
        theirs = select(told.c.id).join(by, told.c.labeller_id == by.c.id).where(by.c.llm == llm)
        wanted.append(passage.c.description_id.in_(theirs))
    every = union_all(*(_found_by(connection, term, wanted) for term in terms)).subquery()
    rank = func.sum(every.c.weight).label("rank")
    return (
        select(every.c.head_id, rank, func.count().over().label("total"))
        .group_by(every.c.head_id)
        .having(func.count() == len(terms))
        .order_by(rank.desc(), every.c.head_id)
    )


def _is_there(connection: Connection, term: Term) -> bool:
    """Whether any passage has a term, in what is said or around it."""
    either = (term, Term(FRAME + term.text, term.prefix))
    return any(connection.execute(select(matching(connection, one).c.id).limit(1)).first() for one in either)


def _known_words(connection: Connection) -> set[str]:
    """Words of descriptions and cards, and of the tokens of some heads."""
    prose = passage.c.of_card | passage.c.description_id.is_not(None)
    some = [select(passage.c.terms).where(wanted).limit(KNOWN) for wanted in (prose, ~prose)]
    rows = [row for query in some for row in connection.execute(query).scalars()]
    return {term.removeprefix(FRAME) for terms in rows for term in terms.split()}


def _alike(word: str, known: set[str]) -> list[str]:
    """Words of about the length of one, the most alike first; of three letters at least."""
    near = [other for other in known if abs(len(other) - len(word)) <= 2 and len(other) > 2]
    return difflib.get_close_matches(word, sorted(near), n=1, cutoff=0.75)


def _found_by(connection: Connection, term: Term, wanted: Sequence[ColumnElement[bool]]) -> Select[tuple[int, float]]:
    """The heads that have a term, each once, with its weight: as a word of its own before the beginning of another."""
    found = []
    for mark, around in (("", 0), (FRAME, MOST)):
        for prefix in {False, term.prefix}:
            there = matching(connection, Term(mark + term.text, prefix))
            weight = (1.0 / (20 + around + BEGUN * prefix + passage.c.size)).label("weight")
            found.append(select(passage.c.head_id, weight).join(there, passage.c.id == there.c.id).where(*wanted))
    every = union_all(*found).subquery()
    return select(every.c.head_id, func.max(every.c.weight).label("weight")).group_by(every.c.head_id)


def _known(
    connection: Connection, head_ids: list[int], terms: Sequence[Term] = (), llm: str | None = None
) -> dict[int, dict[str, Any]]:
    """Heads by their id: where they are, the description that has most of the terms, and the tokens that meet them.

    ``llm``: of its descriptions only, and no tokens.
    """
    model, extraction, head = schema.model, schema.extraction, schema.head
    query = (
        select(head.c.id, model.c.name, model.c.content_hash, extraction.c.model_id)
        .add_columns(head.c.extraction_id, head.c.layer, head.c.head)
        .join(extraction, head.c.extraction_id == extraction.c.id)
        .join(model, extraction.c.model_id == model.c.id)
        .where(head.c.id.in_(head_ids))
    )
    known = {
        row.id: {"model": f"{row.name}@{row.content_hash[:8]}"}
        | {name: getattr(row, name) for name in ("model_id", "extraction_id", "layer", "head")}
        | {"llm": None, "role": 0, "inputs": None, "pattern": None, "tokens": [], "headline": None, "kinds": []}
        for row in connection.execute(query)
    }
    cards = select(head_card.c.head_id, head_card.c.headline, head_card.c.kinds).where(
        head_card.c.head_id.in_(head_ids)
    )
    for row in connection.execute(cards):
        known[row.head_id] |= {"headline": row.headline, "kinds": row.kinds}
    told = schema.description
    passages = (
        select(passage, told.c.role)
        .outerjoin(told, passage.c.description_id == told.c.id)
        .where(passage.c.head_id.in_(head_ids), ~passage.c.of_card)
        .order_by(passage.c.id)
    )
    if llm is not None:
        by = schema.labeller
        passages = passages.join(by, told.c.labeller_id == by.c.id).where(by.c.llm == llm)
    best: dict[int, tuple[int, int, bool, int]] = {}
    for row in connection.execute(passages):
        found = [word for word in row.terms.split() if any(term.meets(word) for term in terms)]
        if row.description_id is None:
            known[row.head_id]["tokens"] = found
        else:
            said = [word for word in found if not word.startswith(FRAME)]
            this = (len(found), len(said), row.role == 0, row.description_id)
            best[row.head_id] = max(best.get(row.head_id, this), this)
    for row in connection.execute(_texts([description_id for *_, description_id in best.values()])):
        known[row.head_id] |= {"llm": row.llm, "role": row.role, "inputs": row.inputs, "pattern": row.pattern}
    return known


def _texts(wanted: list[int]) -> Select[Any]:
    """Descriptions by id, as far as words are looked for in them."""
    told, by = schema.description, schema.labeller
    texts = [func.substr(told.c[name], 1, FAR).label(name) for name in ("inputs", "pattern")]
    return (
        select(told.c.head_id, by.c.llm, told.c.role, *texts)
        .join(by, told.c.labeller_id == by.c.id)
        .where(told.c.id.in_(wanted))
    )


def _counts(connection: Connection, terms: Sequence[str], llm: str | None = None) -> dict[str, int]:
    """How many passages have each term, counted up to one more than `COMMON`; ``llm``: of its descriptions alone."""
    wanted = None if llm is None else _by(llm)
    found = counted(connection, [Term(term, False) for term in terms], COMMON + 1, wanted)
    return dict(zip(terms, found, strict=True))


def _candidates(connection: Connection, extraction_id: int, row: Any, counts: dict[str, int]) -> list[Any]:
    """Passages of other heads, of tokens or by the same describer, that share most of the rarest terms: whether of this
    model, head's id, terms."""
    rarest, looked_at = [], 0
    for term, count in sorted(counts.items(), key=lambda one: one[1]):
        looked_at += count
        if count > COMMON or looked_at > POSTINGS:
            break
        rarest.append(Term(term, False))
    if not rarest:
        return []
    every = matching_any(connection, rarest)
    shared = select(every.c.id, func.count().label("number")).group_by(every.c.id).subquery()
    here = passage.c.extraction_id == extraction_id
    place = func.row_number().over(partition_by=here, order_by=(shared.c.number.desc(), passage.c.id))
    theirs = (
        select(here.label("here"), passage.c.id, place.label("place"))
        .join(shared, passage.c.id == shared.c.id)
        .where(~passage.c.of_card)
        .where(passage.c.head_id != row.head_id)
        .where(passage.c.extraction_id.in_(newest_extractions(connection).values()))
    )
    # Not "IS NULL", for which SQLite takes the index of description_id and goes through the tokens of all heads.
    of_tokens = func.coalesce(passage.c.description_id, 0) == 0
    ranked = theirs.where(of_tokens if row.llm is None else _by(row.llm)).subquery()
    best = select(ranked.c.here, passage.c.head_id, passage.c.terms).join(ranked, passage.c.id == ranked.c.id)
    return list(connection.execute(best.where(ranked.c.place <= CANDIDATES)))


def _by(llm: str) -> ColumnElement[bool]:
    """That a passage is of a description by this describer."""
    told, by = schema.description, schema.labeller
    author = select(by.c.id).where(by.c.llm == llm)
    return exists().where(told.c.id == passage.c.description_id, told.c.labeller_id.in_(author))


def _rarities(connection: Connection, counts: Mapping[str, int], llm: str) -> dict[str, float]:
    """The weight of each term in descriptions by a describer; none of those that belong to its way of speaking.

    ``counts``: how many passages by anyone have each.
    """
    told, by = schema.description, schema.labeller
    query = select(told.c.id).join(by, told.c.labeller_id == by.c.id)
    some = query.where(by.c.llm == llm, told.c.failure.is_(None), ~told.c.unclear).limit(MANY).subquery()
    number = connection.execute(select(func.count()).select_from(some)).scalar_one()
    common = min(COMMON, max(MANNER[0], int(number * MANNER[1])))
    theirs = _counts(connection, [term for term, count in counts.items() if count <= COMMON], llm)
    weights = {term: math.log1p(number / max(count, 1)) for term, count in theirs.items() if count <= common}
    return {term: weights.get(term, 0.0) for term in counts}


def _compared(head_id: int, weights: dict[str, float], other: list[str]) -> _Passage:
    """The weighted Jaccard index; a term that only the other has weighs as much as ours do on average."""
    shared = sorted((term for term in other if term in weights), key=lambda term: -weights[term])
    whole = sum(weights.values())
    rest = (len(other) - len(shared)) * whole / max(len(weights), 1)
    both = sum(weights[term] for term in shared)
    telling_most = [term for term in shared if weights[term]][:12]
    return _Passage(head_id, both / (whole + rest) if whole else 0.0, telling_most)


def _best(found: list[_Passage], limit: int) -> list[_Passage]:
    """The most alike, each head once."""
    best: dict[int, _Passage] = {}
    for one in sorted(found, key=lambda one: (-one.similarity, one.head_id)):
        if one.similarity > 0:
            best.setdefault(one.head_id, one)
    return list(best.values())[:limit]
