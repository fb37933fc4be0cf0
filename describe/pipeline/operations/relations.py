"""``headscribe relations``: how strongly every head implements each predefined operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from describe.catalog import Catalogue
from describe.errors import InputError
from describe.operations import OURS, Operation, Problem, Profile, load_operations
from describe.pipeline.common import Progress, silent, steps
from describe.pipeline.extraction.engines import LOCAL, Engine
from describe.pipeline.extraction.jobs import RankJob, opener
from describe.pipeline.extraction.memory import parse_memory
from describe.readings import DIRECT, PAPER, Reading, reading_named
from describe.records import MIN_PAIRS, LayerScores, ModelInfo, OperationScores
from describe.versions import versions

if TYPE_CHECKING:
    from describe.pipeline.extraction.compute import Means
    from describe.weights import HeadWeights

__all__ = [
    "SCORED",
    "RelationsResult",
    "Scoring",
    "Settings",
    "as_row",
    "known_scores",
    "relations",
    "relations_all",
    "score_settings",
]

Settings = dict[str, Any]
"""Settings of a run, as the catalogue keeps them."""

SCORED = {"paper": PAPER, "direct": replace(DIRECT, centred=False, gains=False, tokens="all")}
"""Readings as operations are scored by them."""


@dataclass(frozen=True)
class RelationsResult:
    """The scores of the operations asked for, and what could not be used."""

    model: ModelInfo
    operations: list[OperationScores]
    problems: list[Problem] = field(default_factory=list)
    new_layers: int = 0


@dataclass(frozen=True)
class _Selected:
    """An operation with its pairs as token ids, and the k they count with."""

    operation: Operation
    pairs: list[tuple[int, int]]
    k: int

    @property
    def valid(self) -> bool:
        """There are enough pairs for a score."""
        return len(self.pairs) >= MIN_PAIRS


@dataclass(frozen=True)
class _Run:
    """A model's run: its operations by where they are kept; the valid ones that are not whole, and in which layers."""

    model: str
    info: ModelInfo
    run_id: int
    selected: dict[int, _Selected]
    pending: dict[int, _Selected]
    missing: tuple[int, ...]
    first_mlp: bool


@dataclass(frozen=True)
class Scoring:
    """How operations are scored statically, for what follows from scores; fields as the arguments of `relations`."""

    operations: Path | None = None
    profile: Profile = OURS
    k: int | None = None
    first_mlp: bool = True
    reading: str = "paper"

    def run(self, catalogue: Catalogue, model: str, device: str, progress: Progress) -> RelationsResult:
        """The scores of a model; those that are missing are computed and committed."""
        return relations(
            catalogue,
            model,
            operations=self.operations,
            k=self.k,
            first_mlp=self.first_mlp,
            profile=self.profile,
            reading=self.reading,
            device=device,
            progress=progress,
        )


def relations(
    catalogue: Catalogue,
    model: str,
    *,
    operations: Path | None = None,
    k: int | None = None,
    first_mlp: bool = True,
    both_first_tokens: bool = False,
    profile: Profile = OURS,
    reading: str = "paper",
    device: str = "auto",
    memory: str | None = None,
    progress: Progress = silent,
) -> RelationsResult:
    """`relations_all` of one model, on this machine."""
    return relations_all(
        catalogue,
        [model],
        operations=operations,
        k=k,
        first_mlp=first_mlp,
        both_first_tokens=both_first_tokens,
        profile=profile,
        reading=reading,
        device=device,
        memory=memory,
        progress=progress,
    )[0]


def relations_all(
    catalogue: Catalogue,
    models: Sequence[str],
    *,
    operations: Path | None = None,
    k: int | None = None,
    first_mlp: bool = True,
    both_first_tokens: bool = False,
    profile: Profile = OURS,
    reading: str = "paper",
    device: str = "auto",
    memory: str | None = None,
    engine: Engine = LOCAL,
    progress: Progress = silent,
) -> list[RelationsResult]:
    """Relation and suppression score of every head for every valid operation, committed layer by layer.

    Args:
        models: each MODEL as on the command line.
        operations: a directory of operations; by default the 20 that headscribe brings.
        k: how near the top a target must be; by default as the profile has it for the model and the operation.
        first_mlp: read sources through the first MLP in all layers but the first; else the embeddings everywhere.
        both_first_tokens: a word of several tokens counts by its first one, instead of not at all.
        profile: k, and for which models the first MLP is left out.
        reading: what heads read: by ``direct`` the stream at the source token, its mean left in and U as it is, with
            which scores go best with what heads write in prompts.
        memory: what a process that computes may take, such as ``8GiB``; by default a share of what is free.
        engine: where to compute.

    Raises `InputError` for a model, directory or device that cannot be used, before anything is changed.
    """
    if k is not None and k < 1:
        raise InputError("--k must be at least 1")
    read_by = SCORED[reading_named(reading).name]
    if read_by != PAPER and (engine is not LOCAL or not first_mlp):
        raise InputError(f"--reading {reading} goes with neither --engine ray nor --no-first-mlp")
    allowed = None if memory is None else parse_memory(memory)
    chosen, problems = load_operations(operations)
    where = engine.device(device, "float64")

    from describe.pipeline.extraction.compute import Means

    means, opened = Means(where, "float64", allowed), opener()
    models = list(dict.fromkeys(models))
    scored = [score_settings(opened(model).info, profile, k, first_mlp) for model in models]
    settings = [made | _fixed(read_by, both_first_tokens) for made in scored]
    selected = [
        [_select(operation, opened(model), made, profile) for operation in chosen]
        for model, made in zip(models, settings, strict=True)
    ]
    if engine is LOCAL:
        for model, found in zip(models, selected, strict=True):
            means.plan_ranking(opened(model), _triples(found))
    runs = [
        _begin(catalogue, opened(model).info, model, found, made, means)
        for model, found, made in zip(models, selected, settings, strict=True)
    ]
    _score(catalogue, runs, read_by, engine, means, opened, progress)
    return [_result(catalogue, run, problems) for run in runs]


def score_settings(model: ModelInfo, profile: Profile, k: int | None, first_mlp: bool = True) -> Settings:
    """k and the first MLP as a run's settings have them: None stands for k as headscribe has it for this model, so
    that a profile that has the same goes on with the same run."""
    of_profile, ours = ([which.k(model, copying) for copying in (False, True)] for which in (profile, OURS))
    return {
        "k": k if k is not None or of_profile == ours else of_profile,
        "first_mlp": first_mlp and profile.first_mlp(model),
    }


def _fixed(reading: Reading, both_first_tokens: bool = False) -> Settings:
    """The settings that do not depend on the model."""
    biases = "of the first MLP and its norm only"
    return {"both_first_tokens": both_first_tokens, "min_pairs": MIN_PAIRS, "biases": biases} | reading.settings()


def known_scores(
    catalogue: Catalogue, model: ModelInfo, profile: Profile, reading: str, operations: Path | None
) -> list[OperationScores]:
    """The scores of a model of the catalogue by a profile and a reading, of these operations as far as they are whole;
    nothing is computed."""
    settings = score_settings(model, profile, None) | _fixed(SCORED[reading]) | steps(model.family)
    run_id = catalogue.relations.find_run(catalogue.register_model(model), settings)
    if run_id is None:
        return []
    wanted = {operation.name for operation in load_operations(operations)[0]}
    found = [one for one in catalogue.relations.scores(run_id) if one.name in wanted]
    whole = [one for one in found if len(one.layers) == model.n_layers or not one.valid]
    return whole if any(one.valid for one in whole) else []


def _select(operation: Operation, weights: HeadWeights, settings: Settings, profile: Profile) -> _Selected:
    """The pairs that count for this vocabulary: each word, with a leading space, is one token."""

    def token(word: str) -> int | None:
        found = weights.token_id(f" {word}")
        return weights.first_token(f" {word}") if found is None and settings["both_first_tokens"] else found

    ids = [(token(source), token(target)) for source, target in operation.pairs]
    pairs = list(dict.fromkeys((s, t) for s, t in ids if s is not None and t is not None))
    k = settings["k"] if isinstance(settings["k"], int) else profile.k(weights.info, operation.copying)
    return _Selected(operation, pairs, k)


def _triples(selected: Iterable[_Selected]) -> tuple[tuple[int, int, int], ...]:
    """Source, target and k of all pairs of the valid operations, one operation after another."""
    return tuple((source, target, found.k) for found in selected if found.valid for source, target in found.pairs)


def _begin(
    catalogue: Catalogue, info: ModelInfo, model: str, chosen: list[_Selected], settings: Settings, means: Means
) -> _Run:
    """A run of a model, and which layers are not scored yet."""
    settings = settings | steps(info.family)
    relations = catalogue.relations
    run_id = relations.begin_run(
        catalogue.register_model(info),
        settings,
        standard=settings["k"] is None
        and settings["first_mlp"]
        and not settings["both_first_tokens"]
        and Reading.of(settings) == PAPER,
        versions=versions("torch", "transformers", "gguf", "safetensors") | {"device": means.device.type},
    )
    selected = {
        relations.begin_relation(run_id, as_row(found.operation), found.k, len(found.pairs), found.valid): found
        for found in chosen
    }
    pending = {
        relation_id: found
        for relation_id, found in selected.items()
        if found.valid and len(relations.saved_layers([relation_id])) < info.n_layers
    }
    saved = relations.saved_layers(list(pending))
    missing = tuple(layer for layer in range(info.n_layers) if layer not in saved) if pending else ()
    return _Run(model, info, run_id, selected, pending, missing, settings["first_mlp"])


def _result(catalogue: Catalogue, run: _Run, problems: list[Problem]) -> RelationsResult:
    """The stored results of a run."""
    scores = catalogue.relations.scores(run.run_id, only=set(run.selected))
    return RelationsResult(run.info, scores, problems, len(run.missing))


def as_row(operation: Operation) -> dict[str, Any]:
    """An operation as the catalogue keeps it."""
    return {
        "name": operation.name,
        "content_hash": operation.content_hash,
        "category": operation.category,
        "direction": operation.direction,
        "pairs": operation.pairs,
    }


def _score(
    catalogue: Catalogue,
    runs: list[_Run],
    reading: Reading,
    engine: Engine,
    means: Means,
    opened: Callable[[str], HeadWeights],
    progress: Progress,
) -> None:
    """Commit all operations of a layer at once, as the engine finds them. A source of several operations is projected
    once."""
    runs = [run for run in runs if run.missing]
    if not runs:
        return

    import torch

    done, total = 0, sum(len(run.missing) for run in runs)
    progress("relations", done, total)
    jobs = [
        RankJob(run.model, run.info, run.missing, _triples(run.pending.values()), run.first_mlp, reading=reading)
        for run in runs
    ]
    for number, (layer, hits, seconds) in engine.rank(jobs, means, opened):
        pending = runs[number].pending
        sizes = [len(found.pairs) for found in pending.values()]
        top, bottom = (
            torch.stack([part.double().mean(1) for part in torch.split(side, sizes, dim=1)])
            for side in (hits.top, hits.bottom)
        )
        catalogue.relations.save_layer(
            layer,
            {
                relation_id: LayerScores(top[i].tolist(), bottom[i].tolist(), seconds * sizes[i] / sum(sizes))
                for i, relation_id in enumerate(pending)
            },
        )
        done += 1
        progress("relations", done, total)
