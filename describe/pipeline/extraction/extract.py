"""``headscribe extract``: the salient mappings of models' heads, from their weights into the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.head_record import CountedTokens
from describe.pipeline.common import N_HELD_OUT, N_SALIENT, Progress, known, silent
from describe.pipeline.extraction.asked import AskedReading
from describe.pipeline.extraction.engines import LOCAL, Engine
from describe.pipeline.extraction.jobs import Job, opener
from describe.pipeline.extraction.memory import parse_memory
from describe.readings import DEFAULT, PAPER
from describe.records import HeadId, HeadMapping, MappingRow, ModelInfo, Target, parse_heads
from describe.versions import versions
from describe.weights import check_files, content_hash, locate

if TYPE_CHECKING:
    import torch

    from describe.maps import LayerReading, SalientOperations
    from describe.pipeline.extraction.compute import Means
    from describe.weights import HeadWeights

__all__ = ["ExtractResult", "extract", "extract_all", "named"]


@dataclass(frozen=True)
class ExtractResult:
    """Which model was extracted, where its heads are, and how many were new.

    Attributes:
        note: why it could not be read as was asked, and how it was read instead; or nothing.
    """

    model: ModelInfo
    extraction_id: int
    heads: list[HeadId]
    new: int
    note: str = ""


@dataclass(frozen=True)
class _Run:
    """The job of a result, and the heads to be committed of it."""

    job: Job
    result: ExtractResult
    missing: list[HeadId]


def extract(
    catalogue: Catalogue,
    model: str,
    *,
    heads: str = "all",
    reading: str = DEFAULT,
    tokens: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    memory: str | None = None,
    progress: Progress = silent,
) -> ExtractResult:
    """`extract_all` of one model, on this machine."""
    return extract_all(
        catalogue,
        [model],
        heads=heads,
        reading=reading,
        tokens=tokens,
        device=device,
        dtype=dtype,
        memory=memory,
        progress=progress,
    )[0]


def extract_all(
    catalogue: Catalogue,
    models: Sequence[str],
    *,
    heads: str = "all",
    reading: str = DEFAULT,
    tokens: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    memory: str | None = None,
    engine: Engine = LOCAL,
    progress: Progress = silent,
) -> list[ExtractResult]:
    """Read the salient mappings of models' heads into the catalogue; heads that are there are not read again.

    Args:
        models: each MODEL as on the command line.
        heads: a selection as `describe.records.parse_heads` reads it, the same of each model.
        reading: by which one. An extraction by it that a catalogue has is gone on with, by the tokens that count there.
        tokens: which count, as `Reading.tokens` has it; by default those of the extraction that is there, or of the
            reading.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        dtype: the precision to compute in, ``float32`` or ``float64``.
        memory: what a process that computes may take, such as ``8GiB``; by default a share of what is free.
        engine: where to compute.

    Raises `InputError` for a model or selection that cannot be read, before anything is changed.
    """
    asked = AskedReading(reading, tokens, dtype)
    if engine is not LOCAL and asked.standard != PAPER:
        raise InputError("--engine ray reads heads by the reading paper alone: leave out --engine or --reading")
    allowed = None if memory is None else parse_memory(memory)
    models = list(dict.fromkeys(models))
    there = [_there(catalogue, model, heads, asked) for model in models]
    todo = [model for model, found in zip(models, there, strict=True) if found is None]
    new = {}
    if todo:
        for model in todo:
            check_files(locate(model))
        from describe.pipeline.extraction.compute import Means

        means = Means(engine.device(device, dtype), dtype, allowed)
        opened = opener()
        wanted = []
        for model in todo:
            info = opened(model).info
            wanted.append(parse_heads(heads, info.n_layers, info.n_heads))
            if engine is LOCAL:
                means.plan(opened(model), layers=1)
        runs = [
            _begin(catalogue, model, opened(model), chosen, asked, means)
            for model, chosen in zip(todo, wanted, strict=True)
        ]
        for run in runs:
            _count_tokens(catalogue, run, opened)
        _extract(catalogue, runs, engine, means, opened, progress)
        new = {run.job.model: run.result for run in runs}
    return [new[model] if found is None else found for model, found in zip(models, there, strict=True)]


def _there(catalogue: Catalogue, model: str, heads: str, asked: AskedReading) -> ExtractResult | None:
    """The result where the catalogue holds all heads asked for; no weights are read to tell."""
    location = locate(model)
    found = known(catalogue, location.name, content_hash(location))
    if found is None:
        return None
    model_id, info = found
    wanted = parse_heads(heads, info.n_layers, info.n_heads)
    extraction_id = catalogue.find_extraction(model_id, asked.settings(asked.kept(catalogue, model_id), info))
    saved = set() if extraction_id is None else catalogue.saved_heads(extraction_id, complete=True)
    if extraction_id is None or not saved.issuperset(wanted):
        return None
    return ExtractResult(info, extraction_id, wanted, 0)


def _begin(
    catalogue: Catalogue,
    model: str,
    weights: HeadWeights,
    wanted: list[HeadId],
    asked: AskedReading,
    means: Means,
) -> _Run:
    used = versions("torch", "transformers", "gguf", "safetensors") | {"device": means.device.type}
    info = weights.info
    model_id = catalogue.register_model(info)
    kept = asked.kept(catalogue, model_id)
    reading, why = asked.usable(kept), ""
    if reading != PAPER and kept not in catalogue.readings(model_id):
        from describe.pipeline.extraction.views import readable

        able, why = readable(weights, reading)
        kept, reading = replace(kept, source=able.source, openings=able.openings), able
    extraction_id = catalogue.begin_extraction(model_id, asked.settings(kept, info), used)
    saved = catalogue.saved_heads(extraction_id, complete=True)
    missing = [head for head in wanted if head not in saved]
    job = Job(model, info, tuple(dict.fromkeys(head.layer for head in missing)), reading=reading)
    note = f"read by {kept.words}: {why}" if why else ""
    return _Run(job, ExtractResult(info, extraction_id, wanted, len(missing), note), missing)


def _count_tokens(catalogue: Catalogue, run: _Run, opened: Callable[[str], HeadWeights]) -> None:
    """Commit which tokens count, where not all do and that is not told yet."""
    extraction_id, reading = run.result.extraction_id, run.job.reading
    if reading.tokens == "all" or not run.missing or catalogue.counted_tokens(extraction_id) is not None:
        return
    from describe.weights.learnt import chosen_tokens

    found = chosen_tokens(opened(run.job.model), reading.tokens, reading.largest)
    left_out = [{"reason": one.reason, "count": one.count, "examples": one.examples} for one in found.left_out]
    catalogue.save_counted_tokens(extraction_id, CountedTokens.of(count=len(found.ids), left_out=left_out))


def _extract(
    catalogue: Catalogue,
    runs: list[_Run],
    engine: Engine,
    means: Means,
    opened: Callable[[str], HeadWeights],
    progress: Progress,
) -> None:
    """Commit head by head what the engine finds."""
    done, total = 0, sum(len(run.missing) for run in runs)
    progress("extract", done, total)
    for number, (layer, found) in engine.extract([run.job for run in runs], means, opened, progress):
        run = runs[number]
        for head in run.missing:
            if head.layer == layer:
                tokens = opened(run.job.model).tokens
                catalogue.save_head(run.result.extraction_id, named(found, head, head.head, tokens))
                done += 1
                progress("extract", done, total)


def named(found: SalientOperations | LayerReading, head: HeadId, place: int, tokens: list[str]) -> HeadMapping:
    """One head's part of a layer's result, at its ``place`` there, token ids with their text."""
    from describe.maps import LayerReading

    if isinstance(found, LayerReading):
        from describe.pipeline.extraction.direct import direct_mapping

        return direct_mapping(found, head, place, tokens)

    def targets(ids: torch.Tensor, logits: torch.Tensor) -> list[tuple[Target, ...]]:
        rows = zip(ids[place].tolist(), logits[place].tolist(), strict=True)
        return [tuple(Target(t, tokens[t], z) for t, z in zip(*row, strict=True)) for row in rows]

    sources, saliency = found.sources[place].tolist(), found.saliency[place].tolist()
    promoted, suppressed = targets(found.targets, found.logits), targets(found.suppressed, found.suppressed_logits)
    columns = zip(sources, saliency, promoted, suppressed, strict=True)
    rows = tuple(MappingRow(source, tokens[source], *rest) for source, *rest in columns)
    last = N_SALIENT + N_HELD_OUT
    return HeadMapping(head, rows[:N_SALIENT], held_out=rows[N_SALIENT:last], sampled=rows[last:])
