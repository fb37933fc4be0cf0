"""``headscribe extract``: the salient mappings of models' heads, from their weights into the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.pipeline.common import N_HELD_OUT, N_SALIENT, N_TARGETS, Progress, known, silent, steps
from describe.pipeline.extraction.engines import LOCAL, Engine
from describe.pipeline.extraction.jobs import Job, opener
from describe.pipeline.extraction.memory import parse_memory
from describe.readings import DEFAULT, PAPER, Reading, reading_named
from describe.records import HeadId, HeadMapping, MappingRow, ModelInfo, Target, parse_heads
from describe.versions import versions
from describe.weights import check_files, content_hash, locate

if TYPE_CHECKING:
    import torch

    from describe.maps import SalientOperations
    from describe.pipeline.extraction.compute import Means
    from describe.weights import HeadWeights

__all__ = ["ExtractResult", "extract", "extract_all", "named"]


@dataclass(frozen=True)
class ExtractResult:
    """Which model was extracted, where its heads are, and how many were new."""

    model: ModelInfo
    extraction_id: int
    heads: list[HeadId]
    new: int


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
    settings, asked = extraction_settings(dtype), _Asked(reading_named(reading), tokens)
    if engine is not LOCAL and asked.standard != PAPER:
        raise InputError("--engine ray reads heads by the reading paper alone: leave out --engine or --reading")
    allowed = None if memory is None else parse_memory(memory)
    models = list(dict.fromkeys(models))
    there = [_there(catalogue, model, heads, settings, asked) for model in models]
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
            _begin(catalogue, model, opened(model).info, chosen, settings, asked, means)
            for model, chosen in zip(todo, wanted, strict=True)
        ]
        _extract(catalogue, runs, engine, means, opened, progress)
        new = {run.job.model: run.result for run in runs}
    return [new[model] if found is None else found for model, found in zip(models, there, strict=True)]


@dataclass(frozen=True)
class _Asked:
    """The reading asked for; ``tokens``: which are to count, if that was said."""

    named: Reading
    tokens: str | None

    @property
    def standard(self) -> Reading:
        """The reading where the catalogue has no such one of the model."""
        return self.named if self.tokens is None else replace(self.named, tokens=self.tokens)

    def of(self, catalogue: Catalogue, model_id: int) -> Reading:
        """The reading of a model: the catalogue's newest of the same name and tokens, or else the standard one."""
        found = [reading for reading in catalogue.readings(model_id) if reading.name == self.named.name]
        same = [reading for reading in found if self.tokens in (None, reading.tokens)]
        return same[-1] if same else self.standard


def _there(
    catalogue: Catalogue, model: str, heads: str, settings: dict[str, Any], asked: _Asked
) -> ExtractResult | None:
    """The result where the catalogue holds all heads asked for; no weights are read to tell."""
    location = locate(model)
    found = known(catalogue, location.name, content_hash(location))
    if found is None:
        return None
    model_id, info = found
    wanted = parse_heads(heads, info.n_layers, info.n_heads)
    settings = settings | steps(info.family) | asked.of(catalogue, model_id).settings()
    extraction_id = catalogue.find_extraction(model_id, settings)
    saved = set() if extraction_id is None else catalogue.saved_heads(extraction_id, complete=True)
    if extraction_id is None or not saved.issuperset(wanted):
        return None
    return ExtractResult(info, extraction_id, wanted, 0)


def _begin(
    catalogue: Catalogue,
    model: str,
    info: ModelInfo,
    wanted: list[HeadId],
    settings: dict[str, Any],
    asked: _Asked,
    means: Means,
) -> _Run:
    used = versions("torch", "transformers", "gguf", "safetensors") | {"device": means.device.type}
    model_id = catalogue.register_model(info)
    reading = asked.of(catalogue, model_id)
    settings = settings | steps(info.family) | reading.settings()
    extraction_id = catalogue.begin_extraction(model_id, settings, used)
    saved = catalogue.saved_heads(extraction_id, complete=True)
    missing = [head for head in wanted if head not in saved]
    job = Job(model, info, tuple(dict.fromkeys(head.layer for head in missing)), reading=reading)
    return _Run(job, ExtractResult(info, extraction_id, wanted, len(missing)), missing)


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
    for number, (layer, found) in engine.extract([run.job for run in runs], means, opened):
        run = runs[number]
        for head in run.missing:
            if head.layer == layer:
                tokens = opened(run.job.model).tokens
                catalogue.save_head(run.result.extraction_id, named(found, head, head.head, tokens))
                done += 1
                progress("extract", done, total)


def named(found: SalientOperations, head: HeadId, place: int, tokens: list[str]) -> HeadMapping:
    """One head's part of a layer's result, at its ``place`` there, token ids with their text."""

    def targets(ids: torch.Tensor, logits: torch.Tensor) -> list[tuple[Target, ...]]:
        rows = zip(ids[place].tolist(), logits[place].tolist(), strict=True)
        return [tuple(Target(t, tokens[t], z) for t, z in zip(*row, strict=True)) for row in rows]

    sources, saliency = found.sources[place].tolist(), found.saliency[place].tolist()
    promoted, suppressed = targets(found.targets, found.logits), targets(found.suppressed, found.suppressed_logits)
    columns = zip(sources, saliency, promoted, suppressed, strict=True)
    rows = tuple(MappingRow(source, tokens[source], *rest) for source, *rest in columns)
    last = N_SALIENT + N_HELD_OUT
    return HeadMapping(head, rows[:N_SALIENT], held_out=rows[N_SALIENT:last], sampled=rows[last:])


def extraction_settings(dtype: str) -> dict[str, Any]:
    """Settings of a head's mappings. Raises `InputError` for a precision we do not compute in."""
    if dtype not in ("float32", "float64"):
        raise InputError(f"cannot compute in '{dtype}': use float32 or float64 (checkpoints may be stored in any)")
    return {
        "salient": N_SALIENT,
        "targets": N_TARGETS,
        "first_mlp": True,
        "biases": "of the first MLP and its norm only",
        "dtype": dtype,
    }
