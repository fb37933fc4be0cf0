"""A small catalogue that has something of everything that is exported of a head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import select

from describe.attention import Attended, Context, HeadAttention, Spread, TokenPair
from describe.catalog import Catalogue, schema
from describe.catalog.checks import plain
from describe.catalog.roles import Role
from describe.check_records import Ablation, DynamicHits, HitCounts
from describe.figures import PARTS, FigurePart, HeadFigure
from describe.head_record import CountedTokens
from describe.head_record.query_key import QueryKeyRecord
from describe.readings import DIRECT, PAPER
from describe.records import (
    Claim,
    ConstantPart,
    Description,
    Evidence,
    HeadId,
    HeadMapping,
    LayerScores,
    MappingRow,
    ModelInfo,
    Score,
    Statement,
    Target,
    WordedCard,
)

__all__ = ["MODEL", "OTHER", "VERSIONS", "attend", "connect", "direct_mapping", "look", "mapping", "whole_catalogue"]

MODEL = ModelInfo("openai-community/gpt2", "ab" * 32, "gpt2", 2, 2, 2, 8, 4, 500)
OTHER = replace(MODEL, name="tiny", content_hash="cd" * 32, n_heads=3, n_kv_heads=1)
VERSIONS = {"headscribe": "0.1.0", "torch": "2"}
OPERATION = {"name": "copying", "content_hash": "0" * 64, "category": "algorithmic", "direction": "a word to itself"}


def whole_catalogue(where: Path, models: tuple[ModelInfo, ...] = (MODEL, OTHER)) -> Catalogue:
    """A catalogue of these models, each with mappings, descriptions, scores, evidence, relations and checks; the last
    is read directly."""
    catalogue = Catalogue(str(where), create=True)
    for model in models:
        _fill(catalogue, model)
    return catalogue


def mapping(head: HeadId, first: int = 0) -> HeadMapping:
    """Mappings of a head, different for every ``first``."""

    def rows(start: int, number: int) -> tuple[MappingRow, ...]:
        return tuple(
            MappingRow(token, f" t{token}", 2.5 - n / 7, _targets(token, 1.0), _targets(token + 9, -1.0))
            for n, token in enumerate(range(start, start + number))
        )

    start = first + 10 * head.layer + 5 * head.head
    return HeadMapping(head, rows(start, 3), held_out=rows(start + 50, 2), sampled=rows(start + 70, 2))


def direct_mapping(head: HeadId) -> HeadMapping:
    """The same heads read directly: with the strengths of targets, rows by distinctness, and a constant part."""
    plain = mapping(head)
    salient = tuple(
        replace(row, targets=_with_z(row.targets), suppressed=_with_z(row.suppressed)) for row in plain.salient
    )
    distinct = tuple(replace(row, distinctness=9.5 - n) for n, row in enumerate(salient[::-1]))
    distinct = (replace(distinct[0], variants=(" T", "t")), *distinct[1:])
    constant = ConstantPart(_targets(3, 1.0), _targets(5, -1.0), 0.125)
    suppressing = distinct[1:] if head.head else ()
    return replace(plain, salient=salient, distinct=distinct, suppressing=suppressing, constant=constant)


def _with_z(targets: tuple[Target, ...]) -> tuple[Target, ...]:
    return tuple(replace(target, logit=round(target.logit, 2), z=target.token_id / 7) for target in targets)


def _targets(first: int, sign: float) -> tuple[Target, ...]:
    return tuple(Target(first + n, f" t{first + n}", sign * (3 - n / 3)) for n in range(2))


def _fill(catalogue: Catalogue, model: ModelInfo) -> None:
    model_id = catalogue.register_model(model)
    reading = DIRECT if model is OTHER else PAPER
    settings = {"salient": 3, "dtype": "float32"} | reading.settings()
    extraction = catalogue.begin_extraction(model_id, settings, VERSIONS)
    labellers = [
        catalogue.register_labeller(llm, "salient-1", f"Say what {llm} sees", {"seed": 0})
        for llm in ("statistics", "openai:gpt-5-mini")
    ]
    if reading is DIRECT:
        left_out = {"reason": "rarer tokens", "count": 200, "examples": (" a\ud800", '"')}
        catalogue.save_counted_tokens(extraction, CountedTokens.of(count=300, left_out=(left_out,)))
    for head in model.heads:
        catalogue.save_head(extraction, direct_mapping(head) if reading is DIRECT else mapping(head))
        found = Evidence("n", "inputs", "numbers", 27, 30, 0.09, 1.9, 1e-20, 1e-17, ('" 1"', '" 2"'))
        catalogue.evidence.save(extraction, head, {"level": 0.01}, [found] * head.head)
        shares = {"k": 10, "pairs": 6, "of_source": 0.5, "in_context": 0.25}
        shares |= {"templates": [{"template": "<X>", "of_source": 0.5, "in_context": 0.25}]}
        catalogue.checks.save_head(extraction, head, {"templates": ["<X>"]}, shares)
        for number, labeller in enumerate(labellers):
            catalogue.save_description(extraction, head, labeller, _outcome(head, number), VERSIONS)
        _split(catalogue, extraction, head, found, labellers[1])
        worded = WordedCard(tuple(Statement(f"{place} of {head}", (1, 2)) for place in ("the line", "one", "two")))
        catalogue.worded.save(extraction, head, labellers[1], worded, ("one thing", "another"), (3, 1), VERSIONS)
    catalogue.figures.save(extraction, {head: _figure(head) for head in model.heads}, {"version": 1})
    _score(catalogue, extraction)
    _relate(catalogue, model_id, model)
    attend(catalogue, model_id, model)


def attend(catalogue: Catalogue, model_id: int, model: ModelInfo) -> None:
    """Where heads look: the first head of a layer at the token before, the others nowhere in particular."""
    run = catalogue.attention.begin_run(model_id, {"tokens": 512}, True, VERSIONS)
    found = {"documents": {"text": 2, "random": 1}, "tokens": 512, "sources": {"a <b> & c": 2}, "heads": 4, "same": 4}
    catalogue.attention.finish(run, [look(head) for head in model.heads], found | {"seconds": 1.5})


def connect(catalogue: Catalogue, extraction: int, model: ModelInfo, key: str = "\n<b>") -> None:
    """The pairs of tokens that queries and keys connect, by the weights, of every head; of the strongest this key."""
    weaker = {"query": " d", "key": " e", "logit": 2.0}
    pairs = ({"query": " c", "key": key, "logit": 4.5}, weaker)
    figures = {"peak": 9.5, "random_peak": 5.25, "agreement": 0.375, "random_agreement": 0.125}
    found = QueryKeyRecord.of(offset=1, pairs=pairs, at_offset=(weaker,), agreement_at_offsets=None, **figures)
    catalogue.query_key.save(extraction, dict.fromkeys(model.heads, found), {"version": 1, "key": key})


def look(head: HeadId) -> HeadAttention:
    kinds = () if head.head else ("previous-token", "first-token sink")
    share = 0.0625 if head.head else 0.75
    text = {"first": Spread(0.125, 0.03125, 0.0625), "previous": Spread(share, None, 0.0625)}
    context = Context(0, (" a", "\n<b>", " c", " d"), 2, 3, (Attended(1, 0.75), Attended(2, 0.125)), "prose")
    pair = TokenPair(" d", "\n<b>", 3, 0.75, 0.5)
    figures = {"text": text, "random": {"induction": Spread(None, None, None)}}
    contexts = (context, replace(context, tenth=3))
    return HeadAttention(head.layer, head.head, kinds, (kinds, kinds[:1]), figures, (pair,), contexts, (context,))


def _figure(head: HeadId) -> HeadFigure:
    """A head of layer 1 relates words, the others do nothing that random heads do not."""
    counts = {"relates": (6, 6)} if head.layer else {}
    parts = {name: FigurePart(*counts.get(name, (0, 6)), 0.0, 0.125, 0.001, 0.004) for name in PARTS}
    return HeadFigure("saliency", 256, 0, **parts)


def _split(catalogue: Catalogue, extraction: int, head: HeadId, found: Evidence, labeller: int) -> None:
    """Two roles of some heads, one of them described; one role of the others, not tested yet."""
    roles = [Role("promotes", (0, 2), (1,), 0.625, 6.5, 0.05), Role("suppresses", (1,), (0,), 0.375, 5.0, 0.05)]
    roles = roles if head.head else [Role("promotes", (0, 1, 2), (0, 1), 1.0, 6.5, 1.0)]
    catalogue.roles.save(extraction, head, roles, {"draws": 19}, VERSIONS)
    if head.head:
        for number in (1, 2):
            catalogue.roles.save_evidence(extraction, head._replace(role=number), {"level": 0.01}, [found])
        outcome = Description("odd numbers", "their halves", "seen")
        catalogue.save_description(extraction, head._replace(role=2), labeller, outcome, VERSIONS)


def _outcome(head: HeadId, number: int) -> Description:
    if head.head == 0 and number:
        return Description(failure="refusal", detail="it would not", reply="No.", usage={"calls": 2})
    if head.layer == 1 and number:
        return Description("Unclear", "Unclear", "nothing in common", unclear=True, usage={"calls": 1})
    said = f'{{"pattern": "numbers of {head}"}}'
    claims = (Claim("n", "inputs", "numbers", 27, 30, 0.09),) * (1 - number)
    return Description(
        "numbers", f"the number after {head}", "they rise", False, claims, reply=said, prompt_hash="1" * 64
    )


def _score(catalogue: Catalogue, extraction: int) -> None:
    """Two judges; one of them twice, so that the newer of its scores counts."""
    description, head = schema.description, schema.head
    query = select(description.c.id).join(head).where(head.c.extraction_id == extraction, ~description.c.unclear)
    judges = [catalogue.register_labeller(llm, "judge-1", "Judge it", {"k": 1}) for llm in ("statistics", "a:judge")]
    with catalogue.engine.connect() as connection:
        ids = list(connection.execute(query).scalars())
    for place, id_ in enumerate(ids):
        for judge in judges:
            value = 0.5 + place / 50
            score = Score("detection", value, value - 0.1, value + 0.1, 0.5, 20, found={"balanced_accuracy": 0.7})
            catalogue.scores.save(id_, judge, score, {"seed": 0}, VERSIONS)
        catalogue.scores.save(id_, judges[1], Score("likelihood", 1.25, n=20), {"seed": 0}, VERSIONS)
        failed = Score("detection", None, failure="timeout", detail="late")
        catalogue.scores.save(id_, judges[0], failed, {"seed": 1}, VERSIONS)


def _relate(catalogue: Catalogue, model_id: int, model: ModelInfo) -> None:
    run = catalogue.relations.begin_run(model_id, {"k": None}, True, VERSIONS)
    about = OPERATION | {"pairs": [["a", "a"]]}
    relation = catalogue.relations.begin_relation(run, about, 10, 40, True)
    for layer in range(model.n_layers):
        scores = [0.5 - 0.1 * head - layer / 30 for head in range(model.n_heads)]
        catalogue.relations.save_layer(layer, {relation: LayerScores(scores, [0.0, *scores[1:]], 0.5)})
    operation = catalogue.relations.operation_id(about)

    def counts(up: int) -> tuple[HitCounts, ...]:
        grid = tuple(tuple(up + layer + head for head in range(model.n_heads)) for layer in range(model.n_layers))
        return (HitCounts(grid, grid), HitCounts(grid, grid))

    hits = DynamicHits(10, 40, ("<X>", "the <X>"), counts(3), counts(7), 0.25)
    correlated = catalogue.checks.begin_run(model_id, "correlate", {"templates": 2}, True, VERSIONS)
    catalogue.checks.save(correlated, operation, "single", plain(hits))
    ablated = catalogue.checks.begin_run(model_id, "ablate", {"seeds": 2}, True, VERSIONS)
    removed = Ablation(
        36, ("0.0", "1.1"), (1, 2), 0.92, (0.5, 0.1), ((0.9, 0.8), (0.91, 0.85)), {"other": (0.8, (0.8, 0.7))}, 1.5
    )
    catalogue.checks.save(ablated, operation, "ablation", plain(removed))
