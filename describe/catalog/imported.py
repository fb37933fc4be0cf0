"""Conditions on a head from a file: those of its record for each key, and that its parts agree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from describe.catalog.checks import ablation, removal_by_head
from describe.catalog.stated_claims import with_claims
from describe.head_record import DescriptionProvenance, HeadRecord, RelationsProvenance, ScoreProvenance
from describe.sizes import check_sizes
from describe.text import shortened

__all__ = ["check"]


def check(found: Any) -> HeadRecord:
    """The record of a head in the JSON form of one head. Raises ValueError: what is wrong, and where."""
    try:
        head = HeadRecord.model_validate(found)
    except ValidationError as error:
        raise ValueError(_told(error)) from None
    made, shape = head.provenance, head.provenance.shape
    check_sizes(shape.to_json())
    for name, place, limit in (("layer", head.layer, shape.n_layers), ("head", head.head, shape.n_heads)):
        if place >= limit:
            raise ValueError(f"{name} {place} is outside the model, which has {limit}")
    for token_id in _token_ids(head):
        if token_id >= shape.vocab_size:
            raise ValueError(f"token_id {token_id} is outside the vocabulary of {shape.vocab_size} tokens")
    if "placebo" in made.extraction:
        raise ValueError("it is the head of a placebo, not of a model")
    if head.evidence and made.evidence is None:
        raise ValueError("provenance.evidence is missing: the settings that the evidence was found with")
    for one in head.worded:
        if any(number > len(one.evidence) for statement in one.statements for number in statement.evidence):
            raise ValueError(f"worded by {shortened(one.llm)}: a statement names evidence that is not there")
    if (head.figure is None) != (made.figure is None):
        raise ValueError("figure and provenance.figure, the settings that it was found with, must both be there")
    _check_roles(head)
    _check_attention(head)
    for where, labeller in _labellers(head):
        if hashlib.sha256(labeller.template.encode("utf-8", "surrogatepass")).hexdigest() != labeller.template_hash:
            raise ValueError(f"{where}.template_hash is not that of its template")
    _check_relations(head, made.relations)
    for where, k in _ks(head):
        if k > shape.vocab_size:
            raise ValueError(f"{where} is {k}, and the vocabulary has {shape.vocab_size} tokens")
    return with_claims(head)


def _check_roles(head: HeadRecord) -> None:
    """Roles need to be told of in the provenance, and are of rows that are there."""
    if head.roles and head.provenance.roles is None:
        raise ValueError("provenance.roles is missing: the settings that the roles were found with")
    if len({role.role for role in head.roles}) < len(head.roles):
        raise ValueError("two roles have the same number")
    for role in head.roles:
        for part, places, rows in (
            ("rows", role.rows, head.salient),
            ("held_out", role.held_out, head.held_out.next),
        ):
            if any(place >= len(rows) for place in places):
                raise ValueError(f"role {role.role}: {part} names a row that the head does not have")


def _check_attention(head: HeadRecord) -> None:
    """Where a head looks needs to be told of in the provenance, and at tokens that are there."""
    if head.attention is None:
        return
    if head.provenance.attention is None:
        raise ValueError("provenance.attention is missing: how the model was run to see where the head looks")
    for part in ("contexts", "held_out"):
        for number, context in enumerate(getattr(head.attention, part)):
            places = [context.query, context.cut or 0, *(attended.place for attended in context.attended)]
            if max(places) >= len(context.tokens):
                raise ValueError(f"attention.{part}[{number}] looks at a token that is not there")


def _check_relations(head: HeadRecord, made: RelationsProvenance | None) -> None:
    """Every operation must be told of in the provenance, and what was checked of it must be there in full."""
    correlate = made.correlate if made else None
    ablate = made.ablate if made else None
    for name, found in head.relations.items():
        for known, there, missing in (
            (made and made.operations, True, "provenance.relations"),
            (correlate and correlate.operations, found.inference is not None, "provenance.relations.correlate"),
            (ablate and ablate.operations, found.ablation is not None, "provenance.relations.ablate"),
        ):
            if there and name not in (known or ()):
                raise ValueError(f"'{shortened(name)}' has a value in relations, but {missing} does not tell of it")
        if found.inference is not None and correlate is not None:
            templates = len(correlate.operations[name].found.templates)
            for side in (found.inference.in_context, found.inference.of_source):
                if not len(side.promoted) == len(side.suppressed) == templates:
                    raise ValueError(f"inference of '{shortened(name)}' does not have a count for each template")
    for name, removed in ablate.operations.items() if ablate is not None else ():
        try:
            dict(removal_by_head(ablation(removed.found.to_json())))
        except Exception as error:  # whatever a made-up curve breaks
            raise ValueError(f"the ablation of '{shortened(name)}' in provenance is not complete") from error


def _labellers(head: HeadRecord) -> Iterable[tuple[str, DescriptionProvenance | ScoreProvenance]]:
    """Where a prompt template is named, with what is said of it."""
    yield from ((f"worded[{i}].provenance", worded.provenance) for i, worded in enumerate(head.worded))
    for i, description in enumerate(head.descriptions):
        yield f"descriptions[{i}].provenance", description.provenance
        for measure, judged in description.scores.items():
            yield from ((f"descriptions[{i}].scores.{measure}", score.provenance) for score in judged.values())


def _ks(head: HeadRecord) -> Iterable[tuple[str, int]]:
    """Every number of tokens among which a target may be, and where it stands."""
    if head.inference is not None:
        yield "inference.k", head.inference.k
    made = head.provenance.relations
    for name, scored in made.operations.items() if made else ():
        yield f"k of '{shortened(name)}'", scored.k
    for name, about in made.correlate.operations.items() if made and made.correlate else ():
        yield f"k of '{shortened(name)}' in prompts", about.found.k


def _token_ids(head: HeadRecord) -> Iterable[int]:
    rows = [*head.salient, *head.distinct, *head.suppressing, *head.held_out.next, *head.held_out.sample]
    yield from (row.token_id for row in rows)
    listed = [targets for row in rows for targets in (row.targets, row.suppressed)]
    if head.constant is not None:
        listed += [head.constant.promoted, head.constant.suppressed]
    yield from (target.token_id for targets in listed for target in targets)


def _told(error: ValidationError) -> str:
    """The first thing that is wrong, in a line: ``salient[3].targets[0].logit: Input should be a finite number``."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{shortened(part)}" for part in first["loc"])
    unknown = first["type"] in ("extra_forbidden", "unexpected_keyword_argument")
    said = first["msg"].removeprefix("Value error, ").replace("Tuple", "List").replace("tuple", "list")  # JSON's word
    what = "it is not known here (from a newer headscribe?)" if unknown else said
    return f"{where.lstrip('.') or 'the head'}: {what}"
