"""Data that the HTML page embeds: all heads as compact JSON, each token and repeated value once."""

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from describe.attention import MAPPED, MEANINGS, TEXTS
from describe.figures import PARTS, HeadFigure
from describe.head_record import (
    STATE_WORDS,
    STATES,
    AttentionRecord,
    Card,
    DescriptionRecord,
    EvidenceRecord,
    HeadRecord,
    RelationRecord,
    RoleRecord,
    ScoreRecord,
)
from describe.head_record.attention import FigureRecord
from describe.kinds import CARD_KINDS
from describe.mappings import MappingRow, Target
from describe.measures import ranked
from describe.readings import PAPER
from describe.records import THRESHOLD, ModelInfo

__all__ = ["pack", "rows_apart", "summary", "to_json"]

Packed = dict[str, Any]

# What the page calls the values of `_figures`, and what they are.
FIGURES = (
    ("Highest saliency", "Saliency of the head's most salient token"),
    ("Mean top logit", "Mean over the rows of the highest target's logit"),
    ("Distinct outputs", "Distinct highest targets per row: low where outputs are concentrated"),
)


# Contexts that the page shows: the strongest, and one of some tenths; the JSON has all.
SHOWN_TENTHS = (0, 4, 7, 10)

# Characters of a description in the index of a site.
LONGEST = 300


class _Table(dict[Any, int]):
    """Numbers values in the order they first come, so that each is embedded only once."""

    def __missing__(self, value: Any) -> int:
        self[value] = len(self)
        return self[value]


def pack(model: ModelInfo, heads: Iterable[HeadRecord]) -> Packed:
    """Return what `page.js` reads: the heads in grid order, with tokens and repeated values
    as indices into tables."""
    tokens, shared = _Table(), _Table()
    packed: dict[tuple[int, int], Packed] = {}
    for head in heads:
        cell = (head.layer, head.head)
        if not (0 <= cell[0] < model.n_layers and 0 <= cell[1] < model.n_heads):
            raise ValueError(f"head {head.id} is outside the model's grid")
        if cell in packed:
            raise ValueError(f"head {head.id} occurs twice")
        packed[cell] = _pack_head(head, tokens, shared)
    return {
        "model": {"n_layers": model.n_layers, "n_heads": model.n_heads},
        "threshold": THRESHOLD,
        "states": STATE_WORDS,
        "kinds": CARD_KINDS,
        "figures": FIGURES,
        "parts": [words.share for words in PARTS.values()],
        "attends": [f"Attention to {MEANINGS[name]}" for name in MAPPED],
        "tokens": [token for _, token in tokens],
        "token_ids": [token_id for token_id, _ in tokens],
        "heads": [packed[cell] for cell in sorted(packed)],
        "shared": [json.loads(text) for text in shared],
    }


def rows_apart(data: Packed) -> tuple[Packed, str]:
    """Return what `pack` gives without the heads' rows, and those as text, a line of JSON per head."""
    heads = [{name: part for name, part in head.items() if name != "rows"} for head in data["heads"]]
    return data | {"heads": heads}, "\n".join(to_json(head["rows"]) for head in data["heads"])


def summary(model: ModelInfo, page: str, data: Packed) -> Packed:
    """Return what the index of a site says of a model: its facts, who described it, and its heads in words."""
    heads, describers = [], Counter[str]()
    for head in data["heads"]:
        described = [d for d in head["descriptions"] if d["state"] == "described"]
        describers.update({data["shared"][d["llm"]] for d in described})
        told = next((d["pattern"] for d in described if d["pattern"]), None)
        heads.append([f"{head['layer']}.{head['head']}", None if told is None else told[:LONGEST]])
    states = Counter(head["state"] for head in data["heads"])
    return {
        **{key: getattr(model, key) for key in ("name", "family", "n_layers", "n_heads", "content_hash")},
        "page": page,
        "counts": {state: states[state] for state in STATES},
        "describers": sorted(describers),
        "heads": heads,
    }


def _pack_head(head: HeadRecord, tokens: _Table, shared: _Table) -> Packed:
    """Return one head, its best description first; each of its rows is [source, saliency, target, logit, target, ...].

    What is pushed down stands in ``down``, by the same rows: [target, logit, target, ...]; rows by distinctness in
    ``distinct`` and, with what they push down, ``suppressing``; ``constant`` is [share, promoted, suppressed] likewise.
    """

    def listed(targets: Iterable[Target]) -> list[Any]:
        return [part for t in targets for part in (tokens[t.token_id, t.token], _number(t.logit))]

    def ordered(rows: Iterable[MappingRow], way: str) -> list[Any]:
        return [
            [tokens[row.token_id, row.token], _number(row.distinctness or 0.0), *listed(getattr(row, way))]
            for row in rows
        ]

    rows = [[tokens[row.token_id, row.token], _number(row.saliency), *listed(row.targets)] for row in head.salient]
    part = head.constant
    shares = head.inference
    return {
        "layer": head.layer,
        "head": head.head,
        "state": head.state,
        "card": None if head.card is None else _pack_card(head.card),
        "figures": _figures(rows),
        "rows": rows,
        "reading": None if head.reading == PAPER else head.reading.words,
        "distinct": ordered(head.distinct, "targets"),
        "suppressing": ordered(head.suppressing, "suppressed"),
        "constant": part and [_number(part.share), listed(part.promoted), listed(part.suppressed)],
        "down": [listed(row.suppressed) for row in head.salient if row.suppressed],
        "descriptions": [_pack_description(description, shared) for description in head.ranked_descriptions()],
        "relations": {operation: _pack_relation(relation) for operation, relation in head.relations.items()},
        "inference": [shares.of_source, shares.in_context] if shares else [],
        "figure": head.figure and _pack_figure(head.figure),
        "attention": None if head.attention is None else _pack_attention(head.attention),
        "evidence": [_pack_evidence(found) for found in head.evidence],
        "roles": [_pack_role(role) for role in head.roles],
        "provenance": {key: shared[to_json(value)] for key, value in head.provenance.to_json().items()},
        "link": head.neuronpedia,
    }


def _pack_card(card: Card) -> list[str | int | list[str]]:
    """Return the card as [headline, kind, the figure that it rests on, contradictions in words, rank of trust]."""
    return [card.headline, card.kind, card.basis, [found.words for found in card.contradictions], card.rank]


def _pack_description(description: DescriptionRecord, shared: _Table) -> Packed:
    return {
        "state": description.state,
        **{key: getattr(description, key) for key in ("inputs", "pattern", "grouped", "reasoning", "failure")},
        **{key: shared[to_json(getattr(description, key))] for key in ("llm", "prompt")},
        "role": description.role,
        "scores": [
            [measure, shared[to_json(judge)], *_pack_score(score)]
            for measure in ranked()
            for judge, score in description.scores.get(measure, {}).items()
        ],
    }


def _pack_role(role: RoleRecord) -> list[Any]:
    """Return a role as [number, sign, share, rows, claims]."""
    return [role.role, role.sign, _number(role.share), role.rows, role.claims]


def _pack_score(score: ScoreRecord) -> list[Any]:
    """Return a score as [value, low, high, wrong, n, failure, and as text with its interval, levels]."""
    figures = (score.value, score.low, score.high, score.wrong)
    packed = [None if figure is None else _number(figure) for figure in figures]
    return [*packed, score.n, score.failure, score.with_interval, score.levels]


def _pack_relation(relation: RelationRecord) -> list[Any]:
    """Return an operation as [score, suppression, and, where the model was run, that without and with context]."""
    run = relation.inference
    in_prompts = [run.of_source.score, run.in_context.score] if run else []
    return [_number(value) for value in (relation.score, relation.suppression, *in_prompts)]


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
        "values": [found.mean(name) for name in MAPPED],
    }


def _mean(figure: FigureRecord | None) -> float | None:
    return None if figure is None else figure.mean


def _pack_evidence(found: EvidenceRecord) -> list[Any]:
    """Return one piece of evidence as [kind, claim, count, rows, expected, effect, q, examples]."""
    numbers = (_number(value) for value in (found.expected, found.effect, found.q_value))
    return [found.kind, found.wording, found.count, found.rows, *numbers, found.examples]


def _pack_figure(found: HeadFigure) -> list[str | float | None]:
    """Return the figure as [words, share of each of `PARTS`]."""
    return [found.words, *(_number(getattr(found, name).share) for name in PARTS)]


def _figures(rows: list[list[Any]]) -> list[float | None]:
    """Return a head's values of FIGURES, None where its rows do not give one."""
    saliencies = [row[1] for row in rows if row[1] is not None]
    outputs = [row[2] for row in rows if len(row) > 2]
    logits = [row[3] for row in rows if len(row) > 2 and row[3] is not None]
    return [
        max(saliencies, default=None),
        _number(sum(logits) / len(logits)) if logits else None,
        _number(len(set(outputs)) / len(outputs)) if outputs else None,
    ]


def _number(value: float) -> float | None:
    """Round to four significant digits, more than the page shows; JSON has no NaN."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _finite(value: Any) -> Any:
    """Return plain nested data with the numbers that JSON cannot hold as text."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def to_json(value: Any) -> str:
    """Return `value` as JSON, what JSON does not know as text."""
    return json.dumps(_finite(value), ensure_ascii=False, default=str, separators=(",", ":"))
