"""``headscribe correlate``: static scores against what heads do while the model runs."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from describe.catalog import Catalogue
from describe.catalog.checks import dynamic_hits as as_hits
from describe.catalog.checks import plain
from describe.check_records import DynamicHits
from describe.errors import InputError
from describe.operations import OURS, Operation, Problem, Profile, load_operations
from describe.pipeline.common import Progress, choose_device, silent
from describe.pipeline.operations.relations import Scoring, Settings, as_row, score_settings
from describe.records import MIN_PAIRS, HeadId, ModelInfo, OperationScores, parse_heads
from describe.versions import versions

if TYPE_CHECKING:
    import torch

    from describe.inference import Asked, Correlation, Runner
    from describe.inference.prompts import Prompt
    from describe.maps import Unembedding
    from describe.weights import HeadWeights

__all__ = [
    "CorrelateResult",
    "Testbed",
    "check_precision",
    "choose_operations",
    "correlate",
    "open_testbed",
    "read_prompt_templates",
]

Sources = Literal["single", "multi"]
PRECISIONS = ("float32", "float64", "bfloat16")


@dataclass(frozen=True)
class CorrelateResult:
    """The correlations of the operations asked for, and what could not be used.

    Attributes:
        too_few: of the operations without correlations, how many pairs count in the model's vocabulary.
    """

    model: ModelInfo
    correlations: list[Correlation]
    templates: list[str]
    too_few: dict[str, int]
    problems: list[Problem] = field(default_factory=list)
    new: int = 0


class Testbed:
    """A model to be run, loaded only when the first result is missing.

    Attributes:
        weights: its tokens and shape.
        settings: what every result of a run depends on.
        versions: what a run is made by.
    """

    def __init__(self, model: str, weights: HeadWeights, device: torch.device, dtype: str) -> None:
        self._model, self._device, self._dtype = model, device, dtype
        self._runner: Runner | None = None
        self._unembedding: Unembedding | None = None
        self.weights = weights
        self.settings = {"dtype": dtype, "biases": "as the model runs, the value bias included"}
        self.versions = versions("torch", "transformers", "accelerate", "gguf", "safetensors") | {"device": device.type}

    @property
    def runner(self) -> Runner:
        """The model, loaded."""
        import torch

        from describe.inference import open_runner

        if self._runner is None:
            self._runner = open_runner(self._model, self.weights.info, self._device, getattr(torch, self._dtype))
        return self._runner

    @property
    def unembedding(self) -> Unembedding:
        """The model's unembedding, ready to rank by."""
        from describe.maps import Unembedding

        if self._unembedding is None:
            self._unembedding = Unembedding(self.runner.unembed, self._device)
        return self._unembedding

    def hits_at(self, asked: Asked, prompts: Sequence[Prompt], head: HeadId) -> tuple[int, int]:
        """How many of the targets one head promotes at the ends of prompts: as it attends, and as if to the source
        alone."""
        from describe.inference import dynamic_hits

        found = dynamic_hits(self.runner, asked, prompts, self.unembedding, [head.layer])
        in_context, of_source = (counts.promoted[0][head.head] for counts in found)
        return in_context, of_source

    def hits(self, asked: Asked, templates: Sequence[str], layers: Sequence[int] | None = None) -> DynamicHits:
        """The pairs looked for in what the heads write, template by template."""
        from describe.inference import Template, dynamic_hits

        started = time.perf_counter()
        found = []
        for text in templates:
            prompts = Template.parse(text).prompts(asked.sources, self.weights.start_ids, self.weights.token_ids)
            found.append(dynamic_hits(self.runner, asked, prompts, self.unembedding, layers))
        in_context, of_source = zip(*found, strict=True)
        seconds = time.perf_counter() - started
        return DynamicHits(asked.k, len(asked.pairs), tuple(templates), in_context, of_source, seconds)


def check_precision(dtype: str) -> None:
    """Raises `InputError` for a precision that no model is run in."""
    if dtype not in PRECISIONS:
        raise InputError(f"cannot run a model in '{dtype}': use {', '.join(PRECISIONS)}")


def open_testbed(model: str, device: str, dtype: str) -> Testbed:
    """A model to be run. Raises `InputError` for a model, device or precision that cannot be used."""
    check_precision(dtype)
    where = choose_device(device, "float64")  # what heads write is ranked in float64

    from describe.weights import open_model

    return Testbed(model, open_model(model), where, dtype)


def read_prompt_templates(path: Path | None) -> list[str]:
    """The templates of a file, by default the paper's. Raises `InputError` when it holds none."""
    from describe.inference import PAPER_TEMPLATES, read_templates

    return list(PAPER_TEMPLATES) if path is None else read_templates(path)


def choose_operations(operations: Path | None, only: Sequence[str]) -> tuple[list[Operation], list[Operation]]:
    """The operations of a directory, and those ``only`` asked for; all where none are named.

    Raises `InputError` for one that there is not.
    """
    every = load_operations(operations)[0]
    if unknown := sorted(set(only) - {operation.name for operation in every}):
        raise InputError(f"there is no operation '{unknown[0]}'")
    return every, [operation for operation in every if not only or operation.name in only]


def correlate(
    catalogue: Catalogue,
    model: str,
    *,
    operations: Path | None = None,
    only: Sequence[str] = (),
    profile: Profile = OURS,
    k: int | None = None,
    first_mlp: bool = True,
    templates: Path | None = None,
    heads: str = "all",
    multi_token: bool = False,
    pairs: int | None = None,
    seed: int = 0,
    reading: str = "paper",
    device: str = "auto",
    dtype: str = "float32",
    progress: Progress = silent,
) -> CorrelateResult:
    """Correlate static with dynamic scores of every valid operation, each committed when it is there, and scored
    statically first where that is missing.

    Args:
        operations: a directory of operations; by default the 20 that headscribe brings.
        only: correlate these operations.
        profile: k, the first MLP, and the prompt for sources of several tokens.
        k, first_mlp: as in `relations`; k counts for dynamic scores too.
        templates: a file of prompt templates; by default the paper's four.
        heads: over which heads, as `describe.records.parse_heads` reads it.
        multi_token: entities of several tokens as well, read at their last token.
        pairs: look for a random sample (by ``seed``) of so many pairs of each operation; by default for all.
        reading: by which the static scores are computed.
        dtype: the precision the model runs in; what heads write is ranked in float64.

    Raises `InputError` for what cannot be read or used.
    """
    if pairs is not None and pairs < MIN_PAIRS:
        raise InputError(f"--pairs must be at least {MIN_PAIRS}: an operation with fewer is not valid")
    texts = read_prompt_templates(templates)
    several = [profile.multi_template] if profile.multi_template and templates is None else texts
    wanted = choose_operations(operations, only)[1]
    bed = open_testbed(model, device, dtype)
    info = bed.weights.info
    chosen = parse_heads(heads, info.n_layers, info.n_heads)
    scoring = Scoring(operations, profile, k, first_mlp, reading)
    static = scoring.run(catalogue, model, device, progress)
    counted: Settings = {"pairs": pairs, "seed": None if pairs is None else seed}
    of_run = score_settings(info, profile, k)["k"]
    counted |= {} if of_run is None else {"k": of_run}
    usual = templates is None and pairs is None and dtype == "float32" and of_run is None
    asked: dict[Sources, list[str]] = {"multi": several, "single": texts} if multi_token else {"single": texts}
    parts = {
        part: _Part.begin(catalogue, bed, prompts, counted, usual and prompts == texts)
        for part, prompts in asked.items()
    }
    scores = {found.name: found for found in static.operations if found.valid}
    valid = {
        catalogue.relations.operation_id(as_row(operation)): operation
        for operation in wanted
        if operation.name in scores
    }
    found, new = _Work(catalogue, bed, parts, pairs, seed).complete(valid, scores, progress)
    few = {row.name: row.pairs_used for row in static.operations if not row.valid}
    return CorrelateResult(
        model=static.model,
        correlations=_correlations(found, valid, scores, chosen),
        templates=texts,
        too_few={operation.name: few[operation.name] for operation in wanted if operation.name in few},
        problems=static.problems,
        new=new,
    )


def _correlations(
    found: dict[Sources, dict[int, DynamicHits]],
    operations: dict[int, Operation],
    scores: dict[str, OperationScores],
    heads: list[HeadId],
) -> list[Correlation]:
    from describe.inference import correlations

    return [
        row
        for part, by_operation in found.items()
        for operation_id, hits in sorted(by_operation.items(), key=lambda item: operations[item[0]].name)
        for row in correlations(scores[operations[operation_id].name], hits, part, heads)
    ]


@dataclass(frozen=True)
class _Part:
    """Sources of one kind: the run that they belong to, and their prompts."""

    run_id: int
    templates: list[str]

    @classmethod
    def begin(
        cls, catalogue: Catalogue, bed: Testbed, templates: list[str], counted: Settings, standard: bool
    ) -> _Part:
        """Enter their run where it is new."""
        model_id = catalogue.register_model(bed.weights.info)
        settings = bed.settings | {"templates": templates} | counted
        run_id = catalogue.checks.begin_run(model_id, "correlate", settings, standard, bed.versions)
        return cls(run_id, templates)


@dataclass(frozen=True)
class _Work:
    """Operations to look for in the same prompts."""

    catalogue: Catalogue
    bed: Testbed
    parts: dict[Sources, _Part]
    most: int | None
    seed: int

    def complete(
        self,
        operations: dict[int, Operation],
        scores: dict[str, OperationScores],
        progress: Progress,
    ) -> tuple[dict[Sources, dict[int, DynamicHits]], int]:
        """The stored part, and the part that was lacking, committed by operation; how many were new."""
        asked = {
            (part, operation_id): found
            for part in self.parts
            for operation_id, operation in operations.items()
            if (found := self._asked(operation, part, scores[operation.name].k)) is not None
        }
        there = self._there(operations)
        missing = [key for key in asked if key[1] not in there[key[0]]]
        progress("correlate", 0, len(missing))
        for done, (part, operation_id) in enumerate(missing, 1):
            hits = self.bed.hits(asked[part, operation_id], self.parts[part].templates)
            self.catalogue.checks.save(self.parts[part].run_id, operation_id, part, plain(hits))
            progress("correlate", done, len(missing))
        return self._there(operations), len(missing)

    def _there(self, operations: dict[int, Operation]) -> dict[Sources, dict[int, DynamicHits]]:
        """Whatever the catalogue has of them."""
        return {
            part: {i: as_hits(found) for i, found in self.catalogue.checks.load(of.run_id, part, operations).items()}
            for part, of in self.parts.items()
        }

    def _asked(self, operation: Operation, part: Sources, k: int) -> Asked | None:
        """The pairs to look for: sources of one token, or of several; None where there are too few."""
        from describe.inference import Asked

        weights = self.bed.weights
        pairs: list[tuple[tuple[int, ...], int]] = []
        for source, target in operation.pairs:
            known, wanted = weights.token_id(f" {source}"), weights.token_id(f" {target}")
            if wanted is not None and (known is not None) == (part == "single"):
                ids = (known,) if known is not None else tuple(weights.token_ids(f" {source}"))
                pairs.append((ids, wanted))
        pairs = list(dict.fromkeys(pairs))
        if self.most is not None and self.most < len(pairs):
            drawn = random.Random(self.seed).sample(range(len(pairs)), self.most)  # noqa: S311  (not a secret)
            pairs = [pairs[i] for i in sorted(drawn)]
        return Asked.of(pairs, k) if len(pairs) >= MIN_PAIRS else None


def correlation_rows(found: Sequence[Correlation]) -> list[dict[str, Any]]:
    """The correlations as rows of plain data, for JSON, CSV and tables."""
    return [
        {
            "operation": row.operation,
            "category": row.category,
            "side": row.side,
            "sources": row.sources,
            "k": row.k,
            "pairs": row.pairs,
            "points": row.points,
            "r_without_context": row.of_source.r,
            "p_without_context": row.of_source.p,
            "r_with_context": row.in_context.r,
            "p_with_context": row.in_context.p,
            "largest_static_score": row.largest,
        }
        for row in found
    ]
