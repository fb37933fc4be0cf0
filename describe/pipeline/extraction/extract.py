"""``headscribe extract``: the salient mappings of models' heads, from their weights into the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.head_record import CountedTokens
from describe.pipeline.common import Progress, known, silent
from describe.pipeline.extraction.asked import AskedReading
from describe.pipeline.extraction.engines import LOCAL, Engine
from describe.pipeline.extraction.jobs import Job, opener
from describe.pipeline.extraction.memory import parse_memory
from describe.pipeline.extraction.naming import named
from describe.pipeline.extraction.random_heads import random_beside
from describe.readings import PAPER
from describe.records import HeadId, ModelInfo, parse_heads
from describe.versions import versions
from describe.weights import check_files, content_hash, locate

if TYPE_CHECKING:
    from describe.pipeline.extraction.compute import Means
    from describe.weights import HeadWeights

__all__ = ["ExtractResult", "extract", "extract_all"]


@dataclass(frozen=True)
class ExtractResult:
    """Which model was extracted, where its heads are, and how many were new.

    Attributes:
        note: how it was read, where that is not as was asked, or not by the default reading; or nothing.
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
    reading: str | None = None,
    tokens: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    memory: str | None = None,
    random: bool = False,
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
        random=random,
        progress=progress,
    )[0]


def extract_all(
    catalogue: Catalogue,
    models: Sequence[str],
    *,
    heads: str = "all",
    reading: str | None = None,
    tokens: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    memory: str | None = None,
    random: bool = False,
    engine: Engine = LOCAL,
    progress: Progress = silent,
) -> list[ExtractResult]:
    """Read the salient mappings of models' heads into the catalogue; heads that are there are not read again.

    Args:
        models: each MODEL as on the command line.
        heads: a selection as `describe.records.parse_heads` reads it, the same of each model.
        reading: by which one; None as `describe.readings.unnamed` chooses for each model, and on an engine that reads
            by the paper's alone, by that. An extraction by it that a catalogue has is gone on with, by the tokens that
            count there.
        tokens: which count, as `Reading.tokens` has it; by default those of the extraction that is there, or of the
            reading.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        dtype: the precision to compute in, ``float32`` or ``float64``.
        memory: what a process that computes may take, such as ``8GiB``; by default a share of what is free.
        random: draw the `random_mappings` of models that are run in the same go, where all heads are asked for.
        engine: where to compute.

    Raises `InputError` for a model or selection that cannot be read, before anything is changed.
    """
    if engine is not LOCAL:
        if reading not in (None, PAPER.name) or tokens is not None:
            raise InputError(
                "--engine ray reads heads by the reading paper alone, over all tokens: leave out --engine, or --reading"
                " and --tokens"
            )
        reading = PAPER.name
    asked = AskedReading(reading, tokens, dtype)
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
            _begin(catalogue, model, opened(model), chosen, asked, means, random=random)
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
    kept = asked.kept(catalogue, model_id)
    extraction_id = catalogue.find_extraction(model_id, asked.settings(kept, info))
    saved = set() if extraction_id is None else catalogue.saved_heads(extraction_id, complete=True)
    if extraction_id is None or not saved.issuperset(wanted):
        return None
    return ExtractResult(info, extraction_id, wanted, 0, asked.note(kept))


def _begin(
    catalogue: Catalogue,
    model: str,
    weights: HeadWeights,
    wanted: list[HeadId],
    asked: AskedReading,
    means: Means,
    *,
    random: bool,
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
    together = random and reading.source == "stream" and missing and len(wanted) == len(info.heads)
    beside = random_beside(catalogue, weights, extraction_id, means) if together else None
    job = Job(model, info, tuple(dict.fromkeys(head.layer for head in missing)), reading=reading, beside=beside)
    note = f"read by {kept.words}: {why}" if why else asked.note(kept)
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
