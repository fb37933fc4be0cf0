"""``headscribe stability``: how far the descriptions of one head agree, and which of them is the most central."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.pipeline.common import Progress, find, silent
from describe.pipeline.description_groups import Floats, Group, Said, Stable, all_said, grouped, save_stable, stable
from describe.pipeline.llm_stage.limits import Batching, Limits, Terms
from describe.pipeline.llm_stage.run import StageResult
from describe.pipeline.stability_by_llm import Comparing
from describe.records import HeadId, ModelInfo, parse_heads
from describe.versions import versions

if TYPE_CHECKING:
    from describe.llm import LLM, Request

__all__ = ["StabilityResult", "Stable", "agreements", "stability", "to_compare"]

PROMPT, METHOD = (
    "agreement-1",
    """How far two descriptions of a head agree: the cosine of their sentences' vectors.

A vector is the mean of the last hidden states of the embedding model over the sentence, less the mean of all
descriptions' vectors, which they share whatever they say. Two abstentions agree (1), an abstention and a description do
not (0). A description's own agreement is its mean over the others of its head; the representative has the most.
""",
)
WORDS = "shared-words-1"


@dataclass(frozen=True, kw_only=True)
class StabilityResult(StageResult):
    """The agreement of each head or role that has two descriptions or more; ``single``: those that have one.

    ``heads`` are in order; one that is described by what it promotes and by what it suppresses comes twice. ``judge``:
    who compared.
    """

    judge: str
    heads: list[tuple[HeadId, Stable]]
    single: list[HeadId]


def stability(
    catalogue: Catalogue,
    model: str,
    *,
    embedding: str | None = None,
    judge: LLM | None = None,
    request: Request | None = None,
    template: str | None = None,
    heads: str = "all",
    reading: str | None = None,
    concurrency: int = 8,
    limits: Limits | None = None,
    batch: Batching | None = None,
    retry_failed: bool = False,
    fresh: bool = False,
    progress: Progress = silent,
) -> StabilityResult:
    """Compare all descriptions of each head that are in the catalogue: other seeds, prompts and LLMs side by side.

    By the ``embedding`` model, or by a ``judge``: an LLM that is asked whether two descriptions say the same, or
    ``statistics``, which looks at the words that they share. What heads promote and what they suppress is compared
    apart. Each head's figures are committed with its descriptions, as scores; an LLM's the moment they are there, and
    what it was paid for is not asked again, unless ``fresh``.

    ``reading``: of heads read by this one, as `find` takes it.

    Raises `InputError` when no head has two descriptions, or model, judge or template cannot be used.
    """
    if (embedding is None) == (judge is None):
        raise InputError("name what compares descriptions: --embedding MODEL, or --judge LLM")
    if template is not None and (judge is None or not judge.kind.asks):
        raise InputError("only an LLM as --judge takes a --judge-prompt: nobody else is asked")
    if batch is not None and (judge is None or not judge.kind.asks):
        raise InputError("only an LLM as --judge can be asked in a --batch: nobody else is asked")
    from describe.llm import Request

    descriptions = to_compare(catalogue, model, heads, reading)
    if judge is None or not judge.kind.asks:
        return _by_machine(catalogue, descriptions, embedding, progress)
    terms = Terms(concurrency, limits or Limits(), batch, retry_failed, fresh, progress)
    return _by_llm(catalogue, descriptions, judge, request or Request(), template, terms)


@dataclass(frozen=True)
class ToCompare:
    """Descriptions to be compared: all of an extraction, and in which groups of two or more those ``asked`` for are.

    Attributes:
        groups: all such groups, ``single``: the heads and roles asked for that have one description.
    """

    model: ModelInfo
    extraction_id: int
    said: list[Said]
    groups: list[Group]
    asked: list[Group]
    single: list[HeadId]


def to_compare(catalogue: Catalogue, model: str, heads: str, reading: str | None = None) -> ToCompare:
    """The descriptions compared of these heads. Raises `InputError` when none of them has two descriptions."""
    info, extraction_id = find(catalogue, model, reading)
    wanted = set(parse_heads(heads, info.n_layers, info.n_heads))
    said = all_said(catalogue, extraction_id)
    groups = grouped(said)
    asked = [group for group in groups if group.unit._replace(role=0) in wanted]
    several = [group for group in asked if len(group.own) > 1]
    if not several:
        raise InputError(f"no head of {info.name} has two descriptions yet: describe again with another --seed")
    single = [group.unit for group in asked if len(group.own) == 1]
    return ToCompare(info, extraction_id, said, [group for group in groups if len(group.own) > 1], several, single)


def _by_llm(
    catalogue: Catalogue, found: ToCompare, judge: LLM, request: Request, template: str | None, terms: Terms
) -> StabilityResult:
    """Have an LLM compare the descriptions of each group, and each of these with one of another head."""
    comparing = Comparing(catalogue, found.extraction_id, found.said, found.groups, judge, request, template, terms)
    tasks = comparing.tasks(found.asked)
    ran = comparing.stage.run(tasks, f"another run has {judge} compare these descriptions: let it finish")
    causes = [(group, ran.records[group.suppressed].outcomes.get(group.unit, "missing")) for group in found.asked]
    return StabilityResult(
        model=found.model,
        extraction_id=found.extraction_id,
        judge=str(judge),
        heads=sorted(
            ((group.unit, comparing.found(group)) for group, cause in causes if cause is None), key=lambda one: one[0]
        ),
        single=found.single,
        failures={str(group.unit): cause for group, cause in causes if cause not in (None, "missing")},
        missing=[str(group.unit) for group, cause in causes if cause == "missing"],
        **ran.result(),
    )


def _by_machine(
    catalogue: Catalogue, descriptions: ToCompare, embedding: str | None, progress: Progress
) -> StabilityResult:
    """By the vectors of an embedding model, or without one by the words that descriptions share."""
    said = descriptions.said
    sentences = [one.sentence for one in said]
    progress("compare", 0, len(sentences))
    unclear = [one.unclear for one in said]
    settings: dict[str, Any]
    if embedding is None:
        from describe.scoring import WORDS_METHOD, shared_words

        agree, settings = _among(unclear, shared_words([text for text in sentences if text])), {"version": 1}
        name, prompt, method = "statistics", WORDS, WORDS_METHOD
    else:
        from describe.inference.embedding import embed
        from describe.weights import content_hash, locate

        location = locate(embedding)
        agree, settings = agreements(embed(embedding, sentences), unclear), {"embedding": content_hash(location)}
        name, prompt, method = f"embedding:{location.name}", PROMPT, METHOD
    progress("compare", len(sentences), len(sentences))
    judge = catalogue.register_labeller(name, prompt, method, settings)
    made_by = versions(*(("torch", "transformers") if embedding else ()), "numpy")
    found = []
    for group in descriptions.asked:
        outside = float(agree[np.ix_(group.own, group.others)].mean()) if group.others else None
        of_group = stable(agree[np.ix_(group.own, group.own)], outside, [said[place].id for place in group.own])
        found.append((group.unit, of_group))
        compared = {"descriptions": list(of_group.descriptions), "others": len(group.others)}
        save_stable(catalogue, judge, of_group, settings | compared, made_by)
    return StabilityResult(
        model=descriptions.model,
        extraction_id=descriptions.extraction_id,
        judge=name,
        heads=found,
        single=descriptions.single,
    )


def agreements(vectors: Floats, unclear: Sequence[bool]) -> Floats:
    """The agreement of every two descriptions, (n, n), of vectors (n, d); ``unclear`` says which are abstentions."""
    said = ~np.array(unclear, dtype=bool)
    centred = vectors[said] - vectors[said].mean(0) if said.any() else vectors[said]
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
    return _among(unclear, unit @ unit.T)


def _among(unclear: Sequence[bool], agree: Floats) -> Floats:
    """The agreement ``agree`` of those that say something, with the abstentions among them."""
    abstains = np.array(unclear, dtype=bool)
    found = np.zeros((len(abstains), len(abstains)))
    found[np.ix_(abstains, abstains)] = 1.0
    found[np.ix_(~abstains, ~abstains)] = agree
    return found
