"""One function per command: read the catalogue, call the pure part, commit. The command line, the app and notebooks
call these. Importing this module imports no torch; extracting does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from describe.catalog import Catalogue
from describe.errors import CatalogueError, InputError
from describe.records import Description, HeadId, HeadMapping, MappingRow, ModelInfo, Target, parse_heads
from describe.versions import versions
from describe.weights import content_hash, locate, model_name

if TYPE_CHECKING:
    import torch

    from describe.llm import LLM, Request
    from describe.maps import SalientOperations
    from describe.weights import HeadWeights

__all__ = ["DescribeResult", "ExtractResult", "Progress", "describe", "export", "extract", "find", "head_record"]

N_SALIENT, N_TARGETS = 30, 5
"""The paper's numbers: salient tokens of a head, and targets of each."""


class Progress(Protocol):
    """Told how far a stage is: called with its name, the heads done and the heads to do."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class ExtractResult:
    """Which model was extracted, where its heads are, and how many were new."""

    model: ModelInfo
    extraction_id: int
    heads: list[HeadId]
    new: int


@dataclass(frozen=True)
class DescribeResult:
    """What describing came to: outcomes of all the heads asked for, and whether an interrupt cut it short."""

    model: ModelInfo
    extraction_id: int
    labeller_id: int
    heads: list[HeadId]
    new: int
    interrupted: bool
    failures: dict[HeadId, str] = field(default_factory=dict)
    missing: list[HeadId] = field(default_factory=list)


def extract(
    catalogue: Catalogue,
    model: str,
    *,
    heads: str = "all",
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = _silent,
) -> ExtractResult:
    """Read the salient mappings of a model's heads into the catalogue; heads that are there are not read again.

    Args:
        model: MODEL as on the command line.
        heads: a selection as `describe.records.parse_heads` reads it.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        dtype: the precision to compute in, ``float32`` or ``float64``.

    Raises `InputError` for a model or selection that cannot be read, before anything is changed.
    """
    if dtype not in ("float32", "float64"):
        raise InputError(f"cannot compute in '{dtype}': use float32 or float64 (checkpoints may be stored in any)")
    settings = {
        "salient": N_SALIENT,
        "targets": N_TARGETS,
        "first_mlp": True,
        "biases": "of the first MLP and its norm only",
        "dtype": dtype,
    }
    location = locate(model)
    known = _known(catalogue, location.name, content_hash(location))
    if known is not None:
        model_id, info = known
        wanted = parse_heads(heads, info.n_layers, info.n_heads)
        extraction_id = catalogue.find_extraction(model_id, settings)
        saved = set() if extraction_id is None else catalogue.saved_heads(extraction_id)
        if extraction_id is not None and saved.issuperset(wanted):
            return ExtractResult(info, extraction_id, wanted, 0)

    import torch

    from describe.weights import open_model

    where = _device(device, dtype)
    weights = open_model(model)
    info = weights.info
    wanted = parse_heads(heads, info.n_layers, info.n_heads)
    extraction_id = catalogue.begin_extraction(
        catalogue.register_model(info),
        settings,
        versions("torch", "transformers", "gguf", "safetensors") | {"device": where.type},
    )
    missing = [head for head in wanted if head not in catalogue.saved_heads(extraction_id)]
    _extract_layers(catalogue, extraction_id, weights, missing, where, getattr(torch, dtype), progress)
    return ExtractResult(info, extraction_id, wanted, len(missing))


def _extract_layers(
    catalogue: Catalogue,
    extraction_id: int,
    weights: HeadWeights,
    heads: list[HeadId],
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress,
) -> None:
    """Layer by layer: read, compute, commit head by head."""
    from describe.maps import salient_operations, source_vectors

    progress("extract", 0, len(heads))
    x = source_vectors(weights.embed, weights.first_mlp, device, dtype)
    unembed = weights.unembed.to(device, dtype)
    layers: dict[int, list[HeadId]] = {}
    for head in heads:
        layers.setdefault(head.layer, []).append(head)
    done = 0
    for layer, in_layer in layers.items():
        found = salient_operations(x, weights.layer(layer), unembed, N_SALIENT, N_TARGETS)
        for head in in_layer:
            catalogue.save_head(extraction_id, _named(found, head, weights.tokens))
            done += 1
            progress("extract", done, len(heads))


def _named(found: SalientOperations, head: HeadId, tokens: list[str]) -> HeadMapping:
    """One head's part of a layer's result, token ids with their text."""
    columns = (found.sources, found.saliency, found.targets, found.logits)
    sources, saliency, targets, logits = (column[head.head].tolist() for column in columns)
    return HeadMapping(
        head,
        tuple(
            MappingRow(
                source, tokens[source], value, tuple(Target(t, tokens[t], z) for t, z in zip(ts, zs, strict=True))
            )
            for source, value, ts, zs in zip(sources, saliency, targets, logits, strict=True)
        ),
    )


def _device(name: str, dtype: str) -> torch.device:
    """The device to compute on. Raises `InputError` when this machine does not have it."""
    import torch

    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if has["cuda"] else "mps" if has["mps"] and dtype == "float32" else "cpu"
    kind = name.partition(":")[0]
    if not has.get(kind, False):
        present = ", ".join(device for device, there in has.items() if there)
        raise InputError(f"there is no device '{name}' here; there is: {present}")
    if kind == "mps" and dtype == "float64":
        raise InputError("mps cannot compute in float64: use --device cpu")
    return torch.device(name)


def describe(
    catalogue: Catalogue,
    model: str,
    llm: LLM,
    *,
    request: Request,
    heads: str = "all",
    prompt: str | None = None,
    concurrency: int = 8,
    retry_failed: bool = False,
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = _silent,
) -> DescribeResult:
    """Describe a model's heads by an LLM, extracting first what is missing; what has an outcome is not asked again.

    Failures are kept as failures and asked again only with ``retry_failed``. Every outcome is committed when it comes
    in. Raises `InputError` when the model, the selection or the LLM cannot be used.
    """
    from describe.labelling import DEFAULT_PROMPT, load_template
    from describe.llm import identity

    if concurrency < 1:
        raise InputError("--concurrency must be at least 1")
    template = load_template(prompt or DEFAULT_PROMPT)
    settings = request.provenance() | identity(llm)
    extracted = extract(catalogue, model, heads=heads, device=device, dtype=dtype, progress=progress)
    labeller = catalogue.register_labeller(str(llm), template.name, template.text, settings)
    outcomes = catalogue.described_heads(extracted.extraction_id, labeller)
    pending = [h for h in extracted.heads if h not in outcomes or (retry_failed and outcomes[h] is not None)]
    made_by = versions("openai")
    done = 0

    def commit(head: HeadId, outcome: Description) -> None:
        nonlocal done
        catalogue.save_description(extracted.extraction_id, head, labeller, outcome, made_by)
        outcomes[head] = outcome.failure
        done += 1
        progress("describe", done, len(pending))

    def load(head: HeadId) -> HeadMapping:
        return catalogue.mapping(extracted.extraction_id, head)

    async def run() -> bool:
        from describe.labelling import describe_heads
        from describe.llm import connect

        async with connect(llm, request, concurrency) as client:
            return await describe_heads(client, template, pending, load, commit, concurrency)

    progress("describe", 0, len(pending))
    finished = asyncio.run(run()) if pending else True
    return DescribeResult(
        model=extracted.model,
        extraction_id=extracted.extraction_id,
        labeller_id=labeller,
        heads=extracted.heads,
        new=done,
        interrupted=not finished,
        failures={head: cause for head in extracted.heads if (cause := outcomes.get(head)) is not None},
        missing=[head for head in extracted.heads if head not in outcomes],
    )


def find(catalogue: Catalogue, model: str) -> tuple[ModelInfo, int]:
    """A model of the catalogue and its newest extraction, by MODEL; its files are read only to tell namesakes apart.

    Raises `CatalogueError` when the catalogue does not hold it.
    """
    try:
        model_id, info = catalogue.find_model(model_name(model))
    except CatalogueError:
        if not Path(model).expanduser().exists():
            raise
        model_id, info = catalogue.find_model(model_name(model), content_hash(locate(model)))
    return info, catalogue.latest_extraction(model_id)


def head_record(catalogue: Catalogue, model: str, head: HeadId) -> dict[str, Any]:
    """Everything known of one head, in the JSON form of one head. Raises `InputError` when it is not there."""
    info, extraction_id = find(catalogue, model)
    parse_heads(str(head), info.n_layers, info.n_heads)
    record = next(catalogue.head_records(info, extraction_id, only=head), None)
    if record is None:
        raise CatalogueError(f"head {head} of {info.name} is not in the catalogue yet: run headscribe extract {model}")
    return record


def export(catalogue: Catalogue, model: str, form: str, path: Path) -> int:
    """Write a model's heads to a file in one of the formats of `describe.catalog.export`. Returns how many."""
    from describe.catalog.export import export as write

    info, extraction_id = find(catalogue, model)
    return write(info, catalogue.head_records(info, extraction_id), form, path)


def _known(catalogue: Catalogue, name: str, digest: str) -> tuple[int, ModelInfo] | None:
    try:
        return catalogue.find_model(f"{name}@{digest}")
    except CatalogueError:
        return None
