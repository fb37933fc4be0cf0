"""The evidence of heads: put into words by ``--llm statistics``, or into the prompts that ask for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from describe.attention import HeadAttention
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.head_record import Json
from describe.labelling import Template
from describe.labelling.looks import ATTENTION, LOOKS, shuffled_looks
from describe.pipeline.common import Progress, find_model, silent
from describe.pipeline.extraction.random_heads import random_mappings
from describe.records import Description, Evidence, HeadId, HeadMapping

__all__ = ["Loader", "material", "state", "statistics_method", "statistics_settings"]

ATTENTION_PROMPT = "attention-1"
"""The prompt that shows where a head looks; statistics say by this name that they are to do so too."""

Loader = Callable[[HeadId], HeadMapping]
"""How to read a head as a template needs it."""


def attention_of(
    catalogue: Catalogue, model: str, *, shuffled: bool = False
) -> tuple[dict[HeadId, HeadAttention], Json]:
    """Where each head looks, and the settings that say so; ``shuffled``: placebos, which look elsewhere.

    Raises `InputError` where the model was not run.
    """
    model_id, info = find_model(catalogue, model)
    run = catalogue.attention.provenance(model_id)
    if run is None:
        raise InputError(f"it is not known where the heads of {info.name} look: run headscribe attend {model}")
    run_id, made = run
    found = {head: record.of_id(*head[:2]) for head, record in catalogue.attention.records(run_id).items()}
    looks = {head: shuffled_looks(one, 0) for head, one in found.items()} if shuffled else found
    return looks, {"shows": ATTENTION, "attention": made.settings}


def statistics_method(prompt: str | None) -> Template:
    """The method, in the place of a prompt.

    ``prompt``: None for its mappings, `ATTENTION_PROMPT` for where it looks. Raises `InputError` when another is named,
    or the dictionaries are not installed.
    """
    from describe.evidence import METHOD, NAME, grammar_versions
    from describe.evidence.attention import LOOKS_METHOD, LOOKS_NAME

    if prompt == ATTENTION_PROMPT:
        return Template(LOOKS_NAME, LOOKS_METHOD, frozenset(LOOKS))
    if prompt is not None:
        raise InputError(f"--llm statistics takes no --prompt but {ATTENTION_PROMPT}: it asks nobody")
    grammar_versions()
    return Template(NAME, METHOD)


def statistics_settings(catalogue: Catalogue, extraction_id: int) -> dict[str, Any]:
    """Settings that evidence depends on: thresholds, dictionaries, and how many heads were tested together."""
    from describe.evidence import SETTINGS, grammar_versions

    packages = {name: made_by for name, made_by in grammar_versions().items() if name not in ("headscribe", "python")}
    return {**SETTINGS, "packages": packages, "heads": len(catalogue.saved_heads(extraction_id))}


def state(
    catalogue: Catalogue,
    model: str,
    extraction_id: int,
    heads: list[HeadId],
    settings: dict[str, Any],
    commit: Callable[[HeadId, Description], None],
    *,
    own: int,
    device: str = "auto",
    progress: Progress = silent,
) -> None:
    """Test all extracted heads of a model together, then commit evidence and description of those asked for.

    ``own``: the extraction of the model's own heads, among which placebos of another one are tested.
    """
    from describe.evidence import describe_evidence, significant

    if not heads:
        return
    random = random_mappings(catalogue, model, own, device=device, progress=progress)
    evidence = _tested(catalogue, model, extraction_id, own, random)
    suppress: set[HeadId] = set()
    if any(head.role for head in heads):
        from describe.pipeline.role_rows import evidence_of_roles

        of_roles, suppress = evidence_of_roles(catalogue, model, extraction_id, random)
        evidence |= of_roles
    for head in heads:
        if not head.role:
            catalogue.evidence.save(extraction_id, head, settings, significant(evidence[head]))
        commit(head, describe_evidence(evidence[head], suppresses=head in suppress))


def material(
    catalogue: Catalogue,
    model: str,
    extraction_id: int,
    template: Template,
    *,
    own: int | None = None,
    keep: bool = True,
) -> tuple[Loader, dict[str, Any]]:
    """How to read a head as a template needs it, and the settings that its prompt comes to depend on.

    Heads are tested first where the template asks for evidence and the catalogue has none of these heads together;
    ``keep`` commits what is found. ``own``: the extraction of the model's own heads, where these are placebos.
    """
    own = extraction_id if own is None else own

    def plain(head: HeadId) -> HeadMapping:
        return catalogue.mapping(extraction_id, head, suppressed="suppressed" in template.uses, distinct=False)

    shows = {"shows": "suppressed"} if "suppressed" in template.uses and "rows" not in template.uses else {}
    if template.uses & LOOKS:
        looks, made = attention_of(catalogue, model, shuffled=extraction_id != own)
        return lambda head: replace(plain(head), attention=looks[head._replace(role=0)]), made
    if "evidence" not in template.uses:
        return plain, shows
    settings = statistics_settings(catalogue, own)
    found = _significant(catalogue, model, extraction_id, own, settings, keep)
    return (
        lambda head: replace(plain(head), evidence=tuple(found[head._replace(role=0)])),
        shows | {"evidence": settings},
    )


def _significant(
    catalogue: Catalogue, model: str, extraction_id: int, own: int, settings: dict[str, Any], keep: bool
) -> dict[HeadId, list[Evidence]]:
    """The significant evidence of all extracted heads, from the catalogue or tested now."""
    from describe.evidence import significant

    found = catalogue.evidence.of_extraction(extraction_id, settings)
    missing = catalogue.saved_heads(extraction_id) - set(found)
    if missing:
        random = random_mappings(catalogue, model, own, keep=keep)
        tested = _tested(catalogue, model, extraction_id, own, random)
        for head in sorted(missing):
            found[head] = significant(tested[head])
            if keep:
                catalogue.evidence.save(extraction_id, head, settings, found[head])
    return found


def _tested(
    catalogue: Catalogue, model: str, extraction_id: int, own: int, random: list[HeadMapping]
) -> dict[HeadId, list[Evidence]]:
    """The evidence of all heads of an extraction; placebos each in the place of the model's own head."""
    from describe.evidence import model_evidence, placebo_evidence
    from describe.pipeline.vocabulary import vocabulary_of
    from describe.weights import open_model

    def mappings(extraction: int) -> list[HeadMapping]:
        saved = catalogue.saved_heads(extraction)
        return [catalogue.mapping(extraction, head, suppressed=False) for head in sorted(saved)]

    vocabulary = vocabulary_of(open_model(model).tokens)
    if extraction_id == own:
        return model_evidence(vocabulary, mappings(own), random)
    return placebo_evidence(vocabulary, mappings(own), mappings(extraction_id), random)
