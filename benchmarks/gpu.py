"""Extraction and relation scores of a model with the shapes of Llama-3.1-8B on a GPU, within a time limit.

    python -m benchmarks.gpu [--device cuda] [--limit 300] [--layers 4] [--json PATH]

A random checkpoint of so many layers is written to a temporary folder and removed (2 GB, and 0.1 GB a layer; the first
MLP, which all layers share, is whole). Each part says how long it took, with all that it waits for; a part that would
begin after ``--limit`` seconds is left out and named. Copies between the device and this machine are counted by torch's
profiler, over one layer. For one head the rows are held to the equations, written out on the device in float64.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.extraction import LLAMA_8B
from describe.maps import SourceVectors
from describe.maps.low_precision import quickest
from describe.pipeline.extraction.compute import Means, Ranking, kept_sources, kept_unembed, salient_layers
from describe.pipeline.extraction.jobs import RankJob
from describe.weights import HeadWeights, open_model

SHAPE = replace(LLAMA_8B, hidden=14_336)
"""Llama-3.1-8B's, but for the number of layers."""

LAYERS_OF_8B = 32
OPERATIONS, PAIRS_OF_EACH, K = 20, 150, 10


class Clock:
    """Seconds of each part, while there is time left."""

    def __init__(self, device: torch.device, limit: float) -> None:
        self._device, self._end = device, time.perf_counter() + limit
        self.seconds: dict[str, float] = {}
        self.left_out: list[str] = []

    def part(self, name: str, work: Callable[[], Any]) -> Any:
        """The result of ``work``; None where the time is over."""
        if time.perf_counter() > self._end:
            self.left_out.append(name)
            return None
        started = time.perf_counter()
        found = work()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.seconds[name] = time.perf_counter() - started
        print(f"{name:52} {self.seconds[name]:9.2f} s", flush=True)
        return found


def copies(work: Callable[[], Any]) -> dict[str, int]:
    """How many copies between this machine and the device, by direction, while ``work`` is done."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        work()
    names = {"Memcpy HtoD": "to the device", "Memcpy DtoH": "to this machine"}
    return {
        said: sum(event.count for event in seen.key_averages() if event.key.startswith(name))
        for name, said in names.items()
    }


def agreement(weights: HeadWeights, x: SourceVectors, layer: int, device: torch.device) -> float:
    """The share of targets of a layer's first head that are those of the equations in float64, in their order."""
    found = next(salient_layers(weights, x, weights.unembed.to(device, torch.float32), [layer], _plan(weights, device)))
    one = found[1]
    read = weights.layer(layer)
    w_vo = read.value[0].to(device, torch.float64) @ read.output[0].to(device, torch.float64)
    rows = x.of(one.sources[0].to(x.norms.device)).to(device, torch.float64) @ w_vo
    best = torch.full((len(rows), 0), 0.0, device=device, dtype=torch.float64)
    ids = best.long()
    for start in range(0, weights.info.vocab_size, 1 << 14):  # a sixteenth of U in float64 at a time
        logits = rows @ weights.unembed[start : start + (1 << 14)].to(device, torch.float64).mT
        best = torch.cat([best, logits], dim=1)
        ids = torch.cat([ids, torch.arange(start, start + logits.shape[1], device=device).expand_as(logits)], dim=1)
        best, order = best.topk(one.targets.shape[-1], dim=1)
        ids = ids.gather(1, order)
    return float((ids.cpu() == one.targets[0]).double().mean())


def _plan(weights: HeadWeights, device: torch.device) -> Any:
    return Means(device, "float32").plan(weights, 1)


def pairs(vocabulary: int) -> tuple[tuple[int, int, int], ...]:
    """As many pairs as the operations have, of random tokens."""
    draw = torch.Generator().manual_seed(0)
    both = torch.randint(vocabulary, (OPERATIONS * PAIRS_OF_EACH, 2), generator=draw)
    return tuple((source, target, K) for source, target in both.tolist())


def measure(model: Path, device: torch.device, limit: float) -> dict[str, Any]:
    """All figures of a checkpoint."""
    weights = open_model(str(model))
    layers = list(range(weights.info.n_layers))
    means = Means(device, "float32")
    plan = means.plan(weights, len(layers))
    clock = Clock(device, limit)
    x = clock.part("source vectors of the whole vocabulary", lambda: kept_sources(weights, means, plan))
    unembed = clock.part("the unembedding, to the device", lambda: kept_unembed(weights, means, plan))
    if x is None or unembed is None:
        return {"left out": clock.left_out}

    def salient(some: list[int]) -> None:
        for _ in salient_layers(weights, x, unembed, some, plan):
            pass

    def ranked(some: list[int]) -> None:
        for layer in some:
            ranking.layer(layer)

    clock.part("extraction, the first layer", lambda: salient(layers[:1]))
    clock.part("extraction, the other layers", lambda: salient(layers[1:]))
    found: dict[str, Any] = {
        "copies of a layer": clock.part("copies counted", lambda: copies(lambda: salient(layers[:1])))
    }
    found["targets as in float64"] = clock.part("one head in float64", lambda: agreement(weights, x, 1, device))
    job = RankJob(str(model), weights.info, tuple(layers), triples=pairs(weights.info.vocab_size), first_mlp=True)
    ranking = clock.part("relations made ready", lambda: Ranking(weights, job, means))
    if ranking is not None:
        clock.part("relations, the first layer", lambda: ranked(layers[:1]))
        clock.part("relations, the other layers", lambda: ranked(layers[1:]))
    seconds = clock.seconds
    for name in ("extraction", "relations"):
        if f"{name}, the other layers" in seconds:
            found[f"{name}, a layer"] = seconds[f"{name}, the other layers"] / (len(layers) - 1)
            found[f"{name}, all {LAYERS_OF_8B} layers at that rate"] = LAYERS_OF_8B * found[f"{name}, a layer"]
    if device.type == "cuda":
        found["peak memory of the device, GiB"] = torch.cuda.max_memory_allocated(device) / 2**30
    return found | {"plan": str(plan), "seconds": seconds, "left out": clock.left_out}


def main() -> None:
    """Measure, print, and write as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the program")
    parser.add_argument("--limit", type=float, default=300, help="seconds after which no further part begins")
    parser.add_argument("--layers", type=int, default=4, help="layers of the checkpoint, at least two")
    parser.add_argument("--small", action="store_true", help="a sixteenth of each dimension, to try the program")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no GPU here: --device cpu --small tries the program")
    shape = replace(SHAPE, layers=max(2, arguments.layers))
    if arguments.small:
        shape = replace(shape, vocabulary=8016, d=256, heads=8, groups=2, hidden=896, d_head=32)
    with tempfile.TemporaryDirectory(prefix="headscribe-gpu-") as folder:
        started = time.perf_counter()
        model = shape.write(Path(folder) / "model")
        print(f"{shape}, written in {time.perf_counter() - started:.0f} s", flush=True)
        found = measure(model, device, arguments.limit)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    figures = {"device": name, "looks first in": str(quickest(device.type)), "torch": torch.__version__} | found
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
