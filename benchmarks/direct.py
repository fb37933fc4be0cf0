"""The mathematics of the reading ``direct`` on ``demo``, against the paper's reading and against the literal equations.

    python -m benchmarks.direct [--heads N] [--json PATH]

Everything runs in this process, with the same threads, one after another, over the tokens that ``demo`` has learnt.
Heads read x with its mean off: what they read changes no time here, and running the model for the stream vectors is
measured by itself, in a process of its own. Distinctness has its own time, with the spreads by which z is computed; the
rest is held against the paper's reading over the same tokens, each the median of three times in turn. The oracle forms
M (n, n) of one head, divides it and sorts its rows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.extraction import CPU, timed
from describe.maps import (
    LayerView,
    RowCounts,
    SourceVectors,
    own_heads,
    random_heads_of,
    read_layer,
    reading,
    salient_operations,
    source_vectors,
)
from describe.maps.coordinates import HeadCoordinates
from describe.maps.distinct import Standing, standing
from describe.maps.roles import singular_values
from describe.weights import LayerWeights, open_model
from describe.weights.learnt import chosen_tokens
from describe.weights.words import word_numbers

RANDOM = 256
TIMES = 3

STREAM = """
import resource, time, torch
from describe.process import prepare_process
prepare_process()
from describe.pipeline.extraction.compute import Means
from describe.pipeline.extraction.views import layer_views
from describe.readings import DIRECT
from describe.weights import open_model
weights, means = open_model("demo"), Means(torch.device("cpu"), "float32")
started = time.perf_counter()
for _ in layer_views("demo", weights, DIRECT, range(weights.info.n_layers), means):
    pass
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def stream_vectors() -> tuple[float, float]:
    """Seconds of the stream vectors of all layers, none kept before, and the process's peak of memory in MiB."""
    with tempfile.TemporaryDirectory() as cache:
        found = subprocess.run(
            [sys.executable, "-c", STREAM],
            env={**os.environ, "XDG_CACHE_HOME": cache},
            capture_output=True,
            text=True,
            check=True,
        )
    seconds, peak = found.stdout.split()
    return float(seconds), float(peak)


def literal_distinct(view: LayerView, layer: LayerWeights, head: int) -> torch.Tensor:
    """The 30 rows of one head that promote the most distinctly, by the equations, in float32."""
    per_group = len(layer.output) // len(layer.value)
    cells = view.x.of(slice(None)) @ (layer.value[head // per_group] @ layer.output[head]) @ view.unembed[:].mT
    for dim in (0, 1):
        cells -= cells.mean(dim=dim, keepdim=True)
        cells /= cells.std(dim=dim, keepdim=True, unbiased=False)
    return cells.amax(dim=1).argsort(descending=True)[:30]


def measure(n_heads: int) -> dict[str, float]:
    """All figures, in one run."""
    stream, peak = stream_vectors()
    weights = open_model("demo")
    ids = chosen_tokens(weights).ids
    embed = weights.embed[ids]
    x = source_vectors(embed, weights.first_mlp, CPU, torch.float32).vectors[:]
    mean = x.mean(dim=0)
    x -= mean
    view = LayerView(
        SourceVectors(x, x.norm(dim=1)), ids, weights.unembed[ids], ids, mean, word_numbers(weights.tokens, ids)
    )
    layers = [weights.layer(layer) for layer in range(weights.info.n_layers)]
    spectra = torch.stack([singular_values(layer, head, x[0]) for layer in layers for head in range(len(layer.output))])

    spreads = 0.0

    def timed_standing(head: HeadCoordinates) -> Standing:
        nonlocal spreads
        started = time.perf_counter()
        found = standing(head)
        spreads += time.perf_counter() - started
        return found

    def direct(distinct: int) -> tuple[float, float]:
        """Seconds, and those of the spreads in them."""
        before = spreads
        seconds = timed(
            lambda: [read_layer(view, own_heads(view, layer), RowCounts(30, 30, 30, distinct, 10)) for layer in layers]
        )
        return seconds, spreads - before

    def random(distinct: int) -> None:
        read_layer(view, random_heads_of(view, spectra[:RANDOM], seed=0), RowCounts(30, 0, 0, distinct, 10))

    def paper_rows() -> None:
        vectors = source_vectors(embed, weights.first_mlp, CPU, torch.float32)
        for layer in layers:
            salient_operations(vectors, layer, view.unembed, 60, 5, sample=30)

    vars(reading).update(standing=timed_standing)
    for warm in (paper_rows, lambda: direct(0)):
        warm()
    papers, rests = [], []
    for _ in range(TIMES):
        papers.append(timed(paper_rows))
        whole, of_spreads = direct(0)
        rests.append(whole - of_spreads)
    paper, rest = statistics.median(papers), statistics.median(rests)
    distinctness = direct(30)[0] - rest
    literal = timed(lambda: [literal_distinct(view, layers[head], head % 9) for head in range(n_heads)]) / n_heads
    return {
        "tokens": len(ids),
        "stream vectors of all layers, seconds": stream,
        "peak memory of that, MiB": peak,
        "paper, seconds": paper,
        "direct without distinctness / paper": rest / paper,
        "distinctness, all heads, seconds": distinctness,
        "oracle / distinctness, per head": literal * len(spectra) / distinctness,
        f"{RANDOM} random heads by saliency, seconds": timed(lambda: random(0)),
        f"{RANDOM} random heads by both, seconds": timed(lambda: random(30)),
    }


TARGETS = {
    "stream vectors of all layers, seconds": "< 60",
    "peak memory of that, MiB": "< 2048",
    "direct without distinctness / paper": "<= 1.3",
    "distinctness, all heads, seconds": "< 60",
}


def main() -> None:
    """Print the figures beside their targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--heads", type=int, default=2, help="heads given to the oracle")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    figures = measure(arguments.heads)
    for name, value in figures.items():
        print(f"{name:45} {value:10.2f}   {TARGETS.get(name, '')}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
