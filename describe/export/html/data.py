"""Data that the HTML page embeds: all heads as compact JSON, each token and repeated value once."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from describe.attention import MEANINGS, TEXTS
from describe.export.html.overview import Operation, Overview, number, operation_figures, overview
from describe.figures import PARTS, HeadFigure
from describe.head_record import (
    STATES,
    AttentionRecord,
    Card,
    DescriptionRecord,
    EvidenceRecord,
    HeadRecord,
    HeadSummary,
    RelationRecord,
    ScoreRecord,
)
from describe.head_record.attention import FigureRecord
from describe.head_record.card_evidence import worded_lines
from describe.head_record.card_terms import card_terms
from describe.head_record.query_key import QueryKeyPair, QueryKeyRecord
from describe.head_record.roles import RoleShown
from describe.mappings import MappingRow, Target
from describe.measures import ranked
from describe.readings import PAPER
from describe.records import ModelInfo
from describe.terms import prose_terms, row_terms

__all__ = ["Packed", "PackedModel", "Tables", "Words", "pack", "pack_head", "pack_rows", "summary", "to_json"]

Packed = dict[str, Any]

# Contexts that the page shows: the strongest, and one of some tenths; the JSON has all.
SHOWN_TENTHS = (0, 4, 7, 10)


class Tables:
    """Tokens and repeated values of heads, each of which is embedded once: heads name them by number."""

    def __init__(self) -> None:
        self.tokens, self.shared = _Table(), _Table()

    def to_json(self) -> Packed:
        """The tables as a page reads them."""
        return {
            "tokens": [token for _, token in self.tokens],
            "token_ids": [token_id for token_id, _ in self.tokens],
            "shared": [json.loads(text) for text in self.shared],
        }


class _Table(dict[Any, int]):
    """Numbers values in the order they first come."""

    def __missing__(self, value: Any) -> int:
        self[value] = len(self)
        return self[value]


@dataclass(frozen=True, slots=True)
class PackedModel:
    """A model as its page has it.

    Attributes:
        overview: the map; see `overview`.
        tables: what heads name by number.
        heads: each head as JSON, in the order of the map.
        words: what heads are found by; see `Words`.
    """

    overview: Overview
    tables: Packed
    heads: list[str]
    words: Packed


def pack(model: ModelInfo, heads: Iterable[HeadRecord]) -> PackedModel:
    """The data embedded in a model's page. Raises `ValueError` for a head that is outside the model, or comes twice."""
    tables, words = Tables(), Words()
    packed: dict[tuple[int, int], tuple[HeadSummary, str]] = {}
    relations: dict[tuple[int, int], Mapping[str, RelationRecord]] = {}
    categories: dict[str, str] = {}
    for head in heads:
        cell = (head.layer, head.head)
        if not (0 <= cell[0] < model.n_layers and 0 <= cell[1] < model.n_heads):
            raise ValueError(f"head {head.id} is outside the model's grid")
        if cell in packed:
            raise ValueError(f"head {head.id} occurs twice")
        packed[cell] = (head.summary(), to_json(pack_head(head, tables)))
        words.add(cell, head)
        relations[cell] = head.relations
        if not categories:
            categories = _categories(head)
    cells = sorted(packed)
    names = sorted({name for found in relations.values() for name in found})
    operations = [
        Operation(
            name,
            categories.get(name, "other"),
            {cell: (found[name].score, found[name].suppression) for cell, found in relations.items() if name in found},
        )
        for name in names
    ]
    return PackedModel(
        overview(model, [packed[cell][0] for cell in cells], operation_figures(cells, operations)),
        tables.to_json(),
        [packed[cell][1] for cell in cells],
        words.to_json(cells),
    )


def _categories(head: HeadRecord) -> dict[str, str]:
    """The categories of operations, where the scores' provenance names them."""
    made = head.provenance.relations
    return {name: one.category for name, one in made.operations.items()} if made else {}


class Words:
    """Terms that heads are found by, as the catalogue's index has them: what it finds, a page finds.

    Of each head the terms of its tokens; then of its card, and of each description that says something, its place among
    the head's descriptions (-1: the card) and its terms. Terms are numbers of a table.
    """

    def __init__(self) -> None:
        self._terms = _Table()
        self._heads: dict[tuple[int, int], list[list[int]]] = {}

    def add(self, cell: tuple[int, int], head: HeadRecord) -> None:
        """Enter a head."""
        rows = [(row.token, [target.token for target in row.targets]) for row in (*head.salient, *head.distinct)]
        passages = [[self._terms[term] for term in row_terms(rows)]]
        if head.card is not None and (words := card_terms(head.facts, head.card)):
            passages.append([-1, *(self._terms[term] for term in words)])
        for place, told in enumerate(head.ranked_descriptions()):
            if told.state == "described":
                passages.append([place, *(self._terms[term] for term in prose_terms(told.inputs, told.pattern))])
        self._heads[cell] = passages

    def to_json(self, cells: Iterable[tuple[int, int]]) -> Packed:
        """The terms, and those of each of these heads."""
        return {"terms": list(self._terms), "heads": [self._heads[cell] for cell in cells]}


def summary(model: ModelInfo, page: str, packed: PackedModel) -> Packed:
    """The words of a site's index on a model: its facts, who described it, and its heads in words."""
    states = Counter(head["state"] for head in packed.overview["heads"])
    return {
        **{key: getattr(model, key) for key in ("name", "family", "n_layers", "n_heads", "content_hash")},
        "page": page,
        "counts": {state: states[state] for state in STATES},
        "describers": packed.overview["describers"],
        "heads": [[one["layer"], one["head"], one["said"], one["pattern"]] for one in packed.overview["heads"]],
        "words": packed.words,
    }


def pack_head(head: HeadRecord, tables: Tables) -> Packed:
    """Return one head, its best description first; each of its rows is [source, saliency, target, logit, target, ...].

    What is pushed down stands in ``down``, by the same rows: [target, logit, target, ...]; rows by distinctness in
    ``distinct`` and, with what they push down, ``suppressing``; ``constant`` is [share, promoted, suppressed] likewise.
    """
    tokens, shared = tables.tokens, tables.shared

    def listed(targets: Iterable[Target]) -> list[Any]:
        return [part for t in targets for part in (tokens[t.token_id, t.token], number(t.logit))]

    def ordered(rows: Iterable[MappingRow], way: str) -> list[Any]:
        return [
            [tokens[row.token_id, row.token], number(row.distinctness or 0.0), *listed(getattr(row, way))]
            for row in rows
        ]

    rows = pack_rows(head.salient, tables)
    part = head.constant
    shares = head.inference
    return {
        "state": head.state,
        "card": head.card and _pack_card(head.card),
        "worded": [list(one) for one in worded_lines(head)],
        "figures": _figures(rows),
        "rows": rows,
        "reading": None if head.reading == PAPER else head.reading.words,
        "distinct": ordered(head.distinct, "targets"),
        "suppressing": ordered(head.suppressing, "suppressed"),
        "constant": part and [number(part.share), listed(part.promoted), listed(part.suppressed)],
        "down": [listed(row.suppressed) for row in head.salient if row.suppressed],
        "descriptions": [_pack_description(description, shared) for description in head.ranked_descriptions()],
        "relations": {operation: _pack_relation(relation) for operation, relation in head.relations.items()},
        "inference": [shares.of_source, shares.in_context] if shares else [],
        "figure": head.figure and _pack_figure(head.figure),
        "attention": None if head.attention is None else _pack_attention(head.attention),
        "evidence": [_pack_evidence(found) for found in head.evidence],
        "query_key": head.query_key and _pack_query_key(head.query_key),
        "roles": [_pack_role(found, tokens) for found in head.several_roles],
        "provenance": {key: shared[to_json(value)] for key, value in head.provenance.to_json().items()},
        "named": list(head.named),
        "link": head.neuronpedia,
    }


def pack_rows(rows: Iterable[MappingRow], tables: Tables) -> list[list[Any]]:
    """Rows as [source, saliency, target, logit, target, ...]."""
    tokens = tables.tokens
    return [
        [
            tokens[row.token_id, row.token],
            number(row.saliency),
            *(part for one in row.targets for part in (tokens[one.token_id, one.token], number(one.logit))),
        ]
        for row in rows
    ]


def _pack_card(card: Card) -> list[str | int | list[str]]:
    """Return the card as [headline, kind, the figure that it rests on, contradictions in words, rank of trust]."""
    return [card.headline, card.kind, card.basis, [found.words for found in card.contradictions], card.rank]


def _pack_description(description: DescriptionRecord, shared: _Table) -> Packed:
    return {
        "state": description.state,
        **{key: getattr(description, key) for key in ("inputs", "pattern", "grouped", "reasoning")},
        **{key: shared[to_json(getattr(description, key))] for key in ("llm", "prompt")},
        "cause": description.cause,
        "verdict": description.verdict,
        "role": description.role,
        "scores": [
            [measure, shared[to_json(judge)], *_pack_score(score)]
            for measure in ranked()
            for judge, score in description.scores.get(measure, {}).items()
        ],
    }


def _pack_role(found: RoleShown, tokens: _Table) -> list[Any]:
    """Return a role as [number, sign, share, rows, claims, sources, targets, verdict]."""
    role = found.role
    named = [[tokens[one.token_id, one.token] for one in some] for some in (found.sources, found.targets)]
    return [role.role, role.sign, number(role.share), len(role.rows), role.claims, *named, found.verdict]


def _pack_query_key(found: QueryKeyRecord) -> Packed:
    """Return the pairs of queries and keys, each as [query, key, logit], with the figures beside random heads."""

    def pairs(some: Iterable[QueryKeyPair]) -> list[list[Any]]:
        return [[one.query, one.key, number(one.logit)] for one in some]

    names = ("peak", "random_peak", "agreement", "random_agreement", "agreement_at_offsets")
    figures = {name: None if (value := getattr(found, name)) is None else number(value) for name in names}
    shown = {"words": found.words, "offset": found.offset, **figures}
    return shown | {"pairs": pairs(found.pairs), "at_offset": pairs(found.at_offset)}


def _pack_score(score: ScoreRecord) -> list[Any]:
    """Return a score as [value, low, high, wrong, n, cause of none, and as text with its interval, levels]."""
    figures = (score.value, score.low, score.high, score.wrong)
    packed = [None if figure is None else number(figure) for figure in figures]
    return [*packed, score.n, score.cause, score.with_interval, score.levels]


def _pack_relation(relation: RelationRecord) -> list[Any]:
    """Return an operation as [score, suppression, and, where the model was run, that without and with context]."""
    run = relation.inference
    in_prompts = [run.of_source.score, run.in_context.score] if run else []
    return [number(value) for value in (relation.score, relation.suppression, *in_prompts)]


def _pack_attention(found: AttentionRecord) -> Packed:
    """Return where a head looks: kinds in words, figures as [meaning, mean, sd, uniform, shuffled, random], pairs as
    [source, target, attention, count], and some contexts as [in words, tokens, cut, query, shades]."""
    texts = [found.figures.get(text, {}) for text in TEXTS]
    figures = [
        [
            MEANINGS.get(name, name),
            figure.mean,
            figure.sd,
            figure.uniform,
            *(_mean(text.get(name)) for text in texts[1:]),
        ]
        for name, figure in texts[0].items()
    ]
    shown = [context for context in found.contexts if context.tenth in SHOWN_TENTHS]
    return {
        "words": found.words,
        "kinds": found.names,
        "figures": figures,
        "pairs": [[pair.source, pair.target, pair.attention, pair.count] for pair in found.pairs[:10]],
        "contexts": [[one.told, one.tokens, one.cut, one.query, one.shades] for one in shown],
    }


def _mean(figure: FigureRecord | None) -> float | None:
    return None if figure is None else figure.mean


def _pack_evidence(found: EvidenceRecord) -> list[Any]:
    """Return one piece of evidence as [kind, claim, count, rows, expected, effect, q, examples]."""
    numbers = (number(value) for value in (found.expected, found.effect, found.q_value))
    return [found.kind, found.wording, found.count, found.rows, *numbers, found.examples]


def _pack_figure(found: HeadFigure) -> list[str | float | None]:
    """Return the figure as [words, share of each of `PARTS`]."""
    return [found.words, *(number(getattr(found, name).share) for name in PARTS)]


def _figures(rows: list[list[Any]]) -> list[float | None]:
    """Return a head's the values of FACTS, None where its rows do not give one."""
    saliencies = [row[1] for row in rows if row[1] is not None]
    outputs = [row[2] for row in rows if len(row) > 2]
    logits = [row[3] for row in rows if len(row) > 2 and row[3] is not None]
    return [
        max(saliencies, default=None),
        number(sum(logits) / len(logits)) if logits else None,
        number(len(set(outputs)) / len(outputs)) if outputs else None,
    ]


def _finite(value: Any) -> Any:
    """Return plain nested data with the numbers that JSON cannot hold as text."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def to_json(value: Any) -> str:
    """Return `value` as JSON, what JSON does not know as text."""
    try:
        return _encoder.encode(value)
    except ValueError:  # a number that is none: rare, and looking for them costs more than the encoding
        return _encoder.encode(_finite(value))


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str, separators=(",", ":"))
