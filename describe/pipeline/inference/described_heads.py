"""``headscribe correlate --described``: does a described head write its salient mappings while the model runs?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from describe.catalog import Catalogue
from describe.check_records import DynamicHits
from describe.errors import InputError
from describe.operations import OURS
from describe.pipeline.common import Progress, find, silent
from describe.pipeline.inference.correlation import open_testbed, read_prompt_templates
from describe.records import HeadId, parse_heads

__all__ = ["check_described"]


def check_described(
    catalogue: Catalogue,
    model: str,
    *,
    heads: str = "all",
    reading: str | None = None,
    templates: Path | None = None,
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = silent,
) -> dict[HeadId, dict[str, Any]]:
    """Look for the salient mappings of described heads in what these heads write in prompts; committed by head.

    A mapping from a source to one of its targets counts when the target is among the first k of the head's own output.
    Returns for each head: ``k``, ``pairs``, and the shares ``of_source`` (as if it attended to the source alone) and
    ``in_context`` (as it attends), over all templates and for each.

    Raises `InputError` when none of the heads has a description, or something cannot be read or used.
    """
    from describe.inference import Asked

    texts = read_prompt_templates(templates)
    info, extraction_id = find(catalogue, model, reading)
    described = catalogue.answered_heads(extraction_id)
    wanted = [head for head in parse_heads(heads, info.n_layers, info.n_heads) if head in described]
    if not wanted:
        raise InputError(f"none of these heads has a description yet: run headscribe describe {model} --llm LLM")
    bed = open_testbed(model, device, dtype)
    settings = bed.settings | {"templates": texts, "versions": bed.versions}
    there = catalogue.checks.checked_heads(extraction_id, settings)
    missing = [head for head in wanted if head not in there]
    progress("described", 0, len(missing))
    for done, head in enumerate(missing, 1):
        salient = catalogue.mapping(extraction_id, head).salient
        pairs = [((row.token_id,), target.token_id) for row in salient for target in row.targets]
        hits = bed.hits(Asked.of(pairs, OURS.k(info)), texts, [head.layer])
        catalogue.checks.save_head(extraction_id, head, settings, _shares(hits, head))
        progress("described", done, len(missing))
    there = catalogue.checks.checked_heads(extraction_id, settings)
    return {head: there[head] for head in wanted}


def _shares(hits: DynamicHits, head: HeadId) -> dict[str, Any]:
    shares = {
        name: [counts.promoted[0][head.head] / hits.pairs for counts in templates]
        for name, templates in (("of_source", hits.of_source), ("in_context", hits.in_context))
    }
    each = [
        {"template": text, **{name: values[i] for name, values in shares.items()}}
        for i, text in enumerate(hits.templates)
    ]
    means = {name: sum(values) / len(values) for name, values in shares.items()}
    return {"k": hits.k, "pairs": hits.pairs, **means, "templates": each}
