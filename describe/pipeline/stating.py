"""``headscribe describe --llm statistics``: descriptions from the evidence alone, without an LLM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.labelling import Template
from describe.records import Description, HeadId

__all__ = ["state", "statistics_method"]


def statistics_method(prompt: str | None) -> tuple[Template, dict[str, Any]]:
    """The method, in the place of a prompt, and what its results depend on.

    Raises `InputError` when a prompt is named, or the dictionaries are not installed.
    """
    from describe.evidence import METHOD, SETTINGS, grammar_versions

    if prompt is not None:
        raise InputError("--llm statistics takes no --prompt: it asks nobody")
    packages = {name: made_by for name, made_by in grammar_versions().items() if name not in ("headscribe", "python")}
    return Template("evidence-1", METHOD), {**SETTINGS, "packages": packages}


def state(
    catalogue: Catalogue,
    model: str,
    extraction_id: int,
    heads: list[HeadId],
    settings: dict[str, Any],
    commit: Callable[[HeadId, Description], None],
) -> None:
    """Test all extracted heads of a model together, then commit evidence and description of those asked for."""
    from describe.evidence import Vocabulary, describe_evidence, model_evidence, significant
    from describe.weights import open_model

    mappings = [catalogue.mapping(extraction_id, head) for head in sorted(catalogue.saved_heads(extraction_id))]
    evidence = model_evidence(Vocabulary(open_model(model).tokens), mappings)
    for head in heads:
        catalogue.evidence.save(extraction_id, head, settings, significant(evidence[head]))
        commit(head, describe_evidence(evidence[head]))
