"""Checks that run the model, on ``demo``, against literal implementations in the same process.

    python -m benchmarks.inference [--pairs N] [--prompts N] [--json PATH]

Ranking: by the blocks in float32 first, against float64 throughout up to the same scan, as all pairs went before.
Correlation: the literal one runs every prompt twice, whole, the second time with the attention pattern forced onto
the source, and ranks as ours does; "full top-k" is the same with whole rows sorted. Ablation: the literal one runs
whole prompts at every step. Both run in batches, as ours do, and must give the same numbers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from describe.check_records import HitCounts
from describe.inference import (
    PAPER_TEMPLATES,
    Asked,
    Exam,
    Prompt,
    Runner,
    Template,
    accuracies,
    dynamic_hits,
    make_exam,
    open_runner,
    read_tasks,
)
from describe.inference.dynamic import hits_of
from describe.maps import Unembedding, head_hits
from describe.maps.counting import SIGNS, Sides
from describe.operations import load_operations
from describe.records import HeadId
from describe.weights import HeadWeights, open_model
from tests import inference_oracle

CPU = torch.device("cpu")
OPERATION = "country_to_capital"
RANKED = "word_to_antonym"


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and what it gave."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def operation_pairs(weights: HeadWeights, most: int, name: str = OPERATION) -> Asked:
    """The pairs of an operation that are single tokens on both sides."""
    (chosen,) = (operation for operation in load_operations()[0] if operation.name == name)
    ids = [(weights.token_id(f" {s}"), weights.token_id(f" {t}")) for s, t in chosen.pairs]
    return Asked.of([((s,), t) for s, t in ids if s is not None and t is not None][:most], 10)


def ours(weights: HeadWeights, runner: Runner, asked: Asked, unembedding: Unembedding) -> list[Any]:
    """Dynamic hits in every template."""
    templates = [Template.parse(text) for text in PAPER_TEMPLATES]
    prompts = [one.prompts(asked.sources, weights.start_ids, weights.token_ids) for one in templates]
    return [dynamic_hits(runner, asked, batch, unembedding) for batch in prompts]


def prompts(weights: HeadWeights, asked: Asked, text: str) -> list[Prompt]:
    """The prompts of a template."""
    return Template.parse(text).prompts(asked.sources, weights.start_ids, weights.token_ids)


def two_runs(weights: HeadWeights, model: Any, asked: Asked) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """z (L, H, S, dh) in context and with the pattern forced, by two whole runs of the prompts of each template.

    Prompts of a template have one length here, so nothing is padded.
    """
    found = []
    for text in PAPER_TEMPLATES:
        prompts = Template.parse(text).prompts(asked.sources, weights.start_ids, weights.token_ids)
        ids, source = torch.tensor([prompt.ids for prompt in prompts]), prompts[0].source
        found.append((inference_oracle.batch_reads(model, ids), inference_oracle.batch_forced(model, ids, source)))
    return found


def ranked(runner: Runner, asked: Asked, z: torch.Tensor, unembedding: Unembedding) -> HitCounts:
    """Counts as ours are made."""
    hits = [
        head_hits(read.double(), runner.output(layer).double(), asked.sought(CPU), unembedding)
        for layer, read in enumerate(z)
    ]
    return HitCounts(
        tuple(tuple(hit.top.sum(1).tolist()) for hit in hits), tuple(tuple(hit.bottom.sum(1).tolist()) for hit in hits)
    )


def in_float64(runner: Runner, asked: Asked, z: torch.Tensor, unembedding: Unembedding) -> HitCounts:
    """Counts with what heads write in float64 for every pair, and no first look through W_O."""
    sought, sides = asked.sought(CPU), ([], [])
    for layer, read in enumerate(z.double()):
        output = runner.output(layer).double()
        group = torch.arange(len(output)) // (len(output) // len(read))
        rows = (read[group] @ output).flatten(0, 1)
        row = (torch.arange(len(output))[:, None] * read.shape[1] + sought.source).flatten()
        n = len(output)
        for sign, side in zip(SIGNS, sides, strict=True):
            every = Sides(
                rows,
                row,
                torch.full_like(row, sign),
                sought.target.repeat(n),
                sought.k.repeat(n),
                row.new_zeros(len(row)),
                0,
            )
            side.append(tuple(every.hits(unembedding).view(n, -1).sum(1).tolist()))
    return HitCounts(tuple(sides[0]), tuple(sides[1]))


def sorted_whole(runner: Runner, asked: Asked, z: torch.Tensor) -> HitCounts:
    """Counts by the whole projection and full top-k, in float32."""
    source, target = torch.tensor(asked.pairs).T
    sides: tuple[list[Any], list[Any]] = ([], [])
    for layer, read in enumerate(z):
        scores = read @ runner.output(layer) @ runner.unembed.T
        for largest, side in zip((True, False), sides, strict=True):
            best = scores.topk(asked.k, dim=-1, largest=largest).indices[:, source]
            side.append(tuple((best == target[:, None]).any(-1).sum(1).tolist()))
    return HitCounts(tuple(sides[0]), tuple(sides[1]))


def whole_steps(model: Any, exam: Exam, removals: list[list[HeadId]]) -> list[float]:
    """Accuracies with whole prompts run at every step, prompts of one length."""
    ids = torch.tensor([prompt.ids for prompt in exam.prompts])
    said = [inference_oracle.batch_predictions(model, ids, [tuple(head) for head in removed]) for removed in removals]
    right = [sum(t in answer for t, answer in zip(row, exam.answers, strict=True)) for row in said]
    return [count / len(exam.prompts) for count in right]


def measure(n_pairs: int, n_prompts: int, steps: int) -> dict[str, float]:
    """All figures, in one run."""
    weights = open_model("demo")
    runner = open_runner("demo", weights.info, CPU, torch.float32)
    model = runner.model
    asked, unembedding = operation_pairs(weights, n_pairs), Unembedding(runner.unembed, CPU)
    ours(weights, runner, Asked(asked.sources[:4], [pair for pair in asked.pairs if pair[0] < 4], 10), unembedding)
    fast, found = timed(lambda: ours(weights, runner, asked, unembedding))
    running, read = timed(lambda: two_runs(weights, model, asked))
    ranking, literal = timed(lambda: [[ranked(runner, asked, z, unembedding) for z in both] for both in read])
    sorting, full = timed(lambda: [[sorted_whole(runner, asked, z) for z in both] for both in read])
    many = operation_pairs(weights, n_pairs, RANKED)
    attended = runner.attend(prompts(weights, many, PAPER_TEMPLATES[0]))
    quick, hits = timed(lambda: [hits_of(runner, many, attended, range(weights.info.n_layers), unembedding)])
    both = (attended.in_context, attended.of_source)
    slow, before = timed(lambda: [[in_float64(runner, many, z, unembedding) for z in both]])
    exam, removals = ablation(weights, n_prompts, steps)
    stepping, last = timed(lambda: accuracies(runner, exam, removals))
    whole, every = timed(lambda: whole_steps(model, exam, removals))
    return {
        "pairs, in four templates": len(asked.pairs),
        "correlation, seconds": fast,
        "ranking in float64 / ranking": slow / quick,
        "cells that differ from float64's": differing(hits, before),
        "two runs and our ranking / ours": (running + ranking) / fast,
        "two runs and full top-k / ours": (running + sorting) / fast,
        "cells that differ": differing(found, literal),
        "cells that differ from float32's full top-k": differing(found, full),
        "prompts of the ablation": len(exam.prompts),
        "tokens of a prompt": len(exam.prompts[0].ids),
        "ablation, seconds": stepping,
        "whole runs / last steps": whole / stepping,
        "accuracies that differ": sum(a != b for a, b in zip(last, every, strict=True)),
    }


def differing(found: list[Any], other: list[Any]) -> int:
    """How many counts are not the same."""
    sides = [
        [side for both in counts for hits in both for side in (hits.promoted, hits.suppressed)]
        for counts in (found, other)
    ]
    flat = [[count for side in of for row in side for count in row] for of in sides]
    return sum(a != b for a, b in zip(*flat, strict=True))


def ablation(weights: HeadWeights, n_prompts: int, steps: int) -> tuple[Exam, list[list[HeadId]]]:
    """Our task of the operation, and heads to remove one after another."""
    (chosen,) = (operation for operation in load_operations()[0] if operation.name == OPERATION)
    exam = make_exam(
        read_tasks()[OPERATION],
        chosen.pairs,
        lambda word: weights.token_id(f" {word}"),
        weights.start_ids,
        weights.token_ids,
        n_prompts,
    )
    draw = torch.randperm(len(weights.info.heads), generator=torch.Generator().manual_seed(0)).tolist()
    order = [weights.info.heads[i] for i in draw]
    return exam, [order[:number] for number in range(steps + 1)]


TARGETS = {
    "ranking in float64 / ranking": ">= 1.6",
    "cells that differ from float64's": "0",
    "two runs and our ranking / ours": ">= 1.8",
    "whole runs / last steps": ">= 6",
    "cells that differ": "0",
    "accuracies that differ": "0",
}


def main() -> None:
    """Print the figures beside their targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200, help="pairs looked for, at most")
    parser.add_argument("--prompts", type=int, default=100, help="prompts of the ablation's task, at most")
    parser.add_argument("--steps", type=int, default=15, help="heads removed, one after another")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    figures = measure(arguments.pairs, arguments.prompts, arguments.steps)
    for name, value in figures.items():
        print(f"{name:46} {value:10.2f}   {TARGETS.get(name, '')}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
