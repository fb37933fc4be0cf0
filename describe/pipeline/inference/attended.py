"""``headscribe correlate --attended``: where a head does attend to a source on text, does it write its static targets?

The places are those of ``attend``: the contexts from which a head looks hardest, each run up to that place. What it
writes there is held against the targets that the weights give for the token at which it looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.head_record import Json
from describe.operations import OURS
from describe.pipeline.common import Progress, find, silent
from describe.pipeline.evidence import attention_of
from describe.pipeline.inference.correlation import Testbed, open_testbed
from describe.readings import Reading
from describe.records import HeadId, parse_heads

if TYPE_CHECKING:
    import torch

    from describe.attention import Context
    from describe.inference.prompts import Prompt
    from describe.maps import LayerView

__all__ = ["check_attended"]

CONTEXTS, TARGETS = 6, 5
"""The strongest contexts of a head that are run, and targets of a token that are looked for."""


def check_attended(
    catalogue: Catalogue,
    model: str,
    *,
    heads: str = "all",
    reading: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = silent,
) -> dict[HeadId, Json]:
    """Look for the static targets of what heads attend to in what they write there; committed by head.

    Returns for each head: ``k``, ``contexts``, ``attention`` (mean, to the token), and the shares of its targets among
    the first k tokens of the head's own output: ``of_source`` (as if it attended to the token alone), ``in_context``
    (as it attends), and ``exchanged``, as it attends with the targets of the token of another context: what no relation
    of source and target would give. Heads without two contexts whose tokens count are left out.

    Raises `InputError` when the model was not watched (``attend``), or something cannot be read or used.
    """
    info, extraction_id = find(catalogue, model, reading)
    wanted = parse_heads(heads, info.n_layers, info.n_heads)
    looks, made = attention_of(catalogue, model)
    bed = open_testbed(model, device, dtype)
    settings = bed.settings | {"attended": made["attention"], "contexts": CONTEXTS, "targets": TARGETS}
    settings |= {"versions": bed.versions}
    there = catalogue.checks.checked_heads(extraction_id, settings)
    missing = [head for head in wanted if head not in there and head in looks]
    if missing:
        places = {head: _places(bed, looks[head].contexts) for head in missing}
        targets = _targets(catalogue, model, extraction_id, bed, places, device, progress)
        for done, head in enumerate(missing, 1):
            found = _written(bed, head, places[head], targets[head], OURS.k(info))
            catalogue.checks.save_head(extraction_id, head, settings, found)
            progress("attended", done, len(missing))
        there = catalogue.checks.checked_heads(extraction_id, settings)
    return {head: there[head] for head in wanted if head in there and there[head]["contexts"] > 1}


@dataclass(frozen=True)
class _Place:
    """A prompt that ends where a head looks from; the token that it looks at, and the share of its attention there."""

    prompt: Prompt
    token: int
    attention: float


def _places(bed: Testbed, contexts: Sequence[Context]) -> list[_Place]:
    """The strongest contexts as prompts, behind whatever the tokenizer puts before any text."""
    from describe.inference.prompts import Prompt

    ids = {text: token for token, text in reversed(list(enumerate(bed.weights.tokens)))}
    before = tuple(bed.weights.start_ids(""))
    found = []
    for context in contexts:
        tokens = context.tokens[: context.query + 1]
        if context.tenth or not context.attended or any(token not in ids for token in tokens):
            continue
        key = context.attended[0]
        prompt = Prompt((*before, *(ids[token] for token in tokens)), len(before) + key.place)
        found.append(_Place(prompt, prompt.ids[prompt.source], key.attention))
    return found[:CONTEXTS]


def _targets(
    catalogue: Catalogue,
    model: str,
    extraction_id: int,
    bed: Testbed,
    places: dict[HeadId, list[_Place]],
    device: str,
    progress: Progress,
) -> dict[HeadId, dict[int, tuple[int, ...]]]:
    """The static targets of each token that a head looks at, by the reading of its mappings; none of tokens that do not
    count."""
    from describe.pipeline.common import choose_device
    from describe.pipeline.extraction.compute import Means
    from describe.pipeline.extraction.views import layer_views

    settings = catalogue.extraction_settings(extraction_id)
    dtype = str(settings.get("dtype", "float32"))
    means = Means(choose_device(device, dtype), dtype)
    layers = sorted({head.layer for head in places})
    found: dict[HeadId, dict[int, tuple[int, ...]]] = {}
    for layer, view in layer_views(model, bed.weights, Reading.of(settings), layers, means, progress):
        for head in (head for head in places if head.layer == layer):
            tokens = sorted({place.token for place in places[head]})
            found[head] = _static(bed, head, view, tokens)
    return found


def _static(bed: Testbed, head: HeadId, view: LayerView, tokens: Sequence[int]) -> dict[int, tuple[int, ...]]:
    import torch

    layer = bed.weights.layer(head.layer)
    at = {token: place for place, token in enumerate(view.sources.tolist())}
    known = [token for token in tokens if token in at]
    if not known:
        return {}
    sources = torch.tensor([at[token] for token in known], device=view.x.norms.device)
    value, output = (
        part.to(view.x.norms) for part in (layer.value[head.head * len(layer.value) // len(layer.output)], layer.output)
    )
    written = view.x.of(sources) @ value @ output[head.head]
    strongest = _strongest(written, view)
    return {token: tuple(view.targets[row].tolist()) for token, row in zip(known, strongest, strict=True)}


def _strongest(written: torch.Tensor, view: LayerView) -> torch.Tensor:
    """The places of the strongest targets of what is written (n, d), (n, k)."""
    import torch

    from describe.maps.blocks import blocks

    parts = blocks(view.unembed.shape[0], view.unembed.shape[1])
    logits = torch.cat([written @ view.unembed[part].to(written).mT for part in parts], dim=1)
    return logits.topk(min(TARGETS, logits.shape[1])).indices


def _written(bed: Testbed, head: HeadId, places: Sequence[_Place], targets: dict[int, tuple[int, ...]], k: int) -> Json:
    """How many of the targets the head writes, each at its own place and at the next one's."""
    from describe.inference import Asked

    places = [place for place in places if place.token in targets]
    if len({place.token for place in places}) < 2:
        return {"k": k, "contexts": 0}
    prompts = [place.prompt for place in places]
    # A context is held against the targets of the next one that looks at another token.
    others = [
        next(other.token for other in (*places[i + 1 :], *places[:i]) if other.token != place.token)
        for i, place in enumerate(places)
    ]
    shares = {}
    for name, tokens in (("own", [place.token for place in places]), ("exchanged", others)):
        pairs = [(i, target) for i, token in enumerate(tokens) for target in targets[token]]
        asked = Asked([prompt.ids for prompt in prompts], pairs, k)
        in_context, of_source = bed.hits_at(asked, prompts, head)
        shares[name] = (in_context / len(pairs), of_source / len(pairs))
    return {
        "k": k,
        "contexts": len(places),
        "attention": round(sum(place.attention for place in places) / len(places), 3),
        "of_source": shares["own"][1],
        "in_context": shares["own"][0],
        "exchanged": shares["exchanged"][0],
    }
