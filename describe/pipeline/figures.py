"""The figures of a model's heads: which relate, copy or suppress words more than random heads do. No LLM is asked."""

from __future__ import annotations

from describe.catalog import Catalogue
from describe.figures import HeadFigure
from describe.head_record import Json
from describe.pipeline.common import Progress, silent
from describe.pipeline.extraction.random_heads import random_mappings
from describe.records import HeadId, ModelInfo

__all__ = ["figures", "figures_in_words"]


def figures(
    catalogue: Catalogue,
    model: str,
    info: ModelInfo,
    extraction_id: int,
    *,
    device: str = "auto",
    progress: Progress = silent,
) -> dict[HeadId, HeadFigure]:
    """The figures of the heads of an extraction, found and committed together where they are not there yet.

    None as long as heads of the model are missing from it: what stands out is asked of the whole model. Nor where the
    tokens that count are those of a file, of which the catalogue keeps the name alone.
    """
    saved = catalogue.saved_heads(extraction_id, complete=True)
    reading = catalogue.reading(extraction_id)
    if len(saved) < len(info.heads) or not (reading.tokens in ("all", "learnt") or reading.tokens.isdecimal()):
        return {}
    settings = _settings(len(saved))
    found = catalogue.figures.of_extraction(extraction_id, settings)
    if len(found) == len(saved):
        return found

    import numpy as np

    from describe.evidence.figures import HeadRows, model_figures, near_neighbours, word_keys
    from describe.weights import open_model
    from describe.weights.learnt import chosen_tokens

    heads = sorted(saved)
    random = random_mappings(catalogue, model, extraction_id, device=device, progress=progress)
    own = [HeadRows.of(catalogue.mapping(extraction_id, head)) for head in heads]
    drawn = [HeadRows.of(mapping) for mapping in random]
    weights = open_model(model)
    tokens = chosen_tokens(weights, reading.tokens, reading.largest).ids
    sources = np.concatenate([rows.sources for rows in (*own, *drawn)])
    near = near_neighbours(lambda places: weights.embed[tokens[places]].float().numpy(), tokens.numpy(), sources)
    made = dict(zip(heads, model_figures(own, drawn, word_keys(weights.tokens), near), strict=True))
    catalogue.figures.save(extraction_id, made, settings)
    return made


def figures_in_words(found: dict[HeadId, HeadFigure]) -> str:
    """How many heads stand out, beside how many random ones would, in a line."""
    if not found:
        return ""
    above, one = sum(bool(figure.above) for figure in found.values()), next(iter(found.values()))
    return (
        f"{above} of {len(found)} heads relate, copy or suppress words more than any of {one.random} random heads;"
        f" of these {one.random_above} would"
    )


def _settings(heads: int) -> Json:
    """Settings that figures depend on: how they are made, the random heads, and how many heads were tested together."""
    from describe.evidence import RANDOM
    from describe.evidence.figures import SETTINGS

    return {**SETTINGS, "random": RANDOM, "heads": heads}
