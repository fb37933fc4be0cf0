"""How much a low precision decides, and the time, for targets, saliency and relation scores of one layer of `demo`.

    python -m benchmarks.screening

Rows are what the heads of the layer write of their salient tokens, as extraction has them; the product in float32 over
the whole vocabulary stands beside, without any ranking. All in one process, in turn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.extraction import timed
from benchmarks.relations import as_pairs, select
from describe.maps import SourceVectors, Unembedding, relation_hits, source_vectors
from describe.maps.blocks import BLOCK, blocks
from describe.maps.low_precision import CHUNK, Columns, RoundedRows
from describe.maps.saliency import most_salient, saliencies
from describe.maps.screening import WIDER, Screening, largest
from describe.pipeline.common import N_HELD_OUT, N_SALIENT
from describe.weights import open_model

ROWS, TARGETS, LAYER = 90, 10, 20
SCREENS = {
    "bfloat16, then float32": (torch.bfloat16, torch.float32),
    "float32": (torch.float32,),
}


def written_rows(x: SourceVectors, layer: int) -> torch.Tensor:
    """The most salient rows of each head of a layer as it writes them, (heads * ROWS, d)."""
    weights = open_model("demo").layer(layer)
    value, output = weights.value.float(), weights.output.float()
    sources = largest(saliencies(x, value, output), ROWS)[1]
    group = len(output) // len(value)
    return torch.cat([x.of(rows) @ value[head // group] @ output[head] for head, rows in enumerate(sources)])


def screened(written: torch.Tensor, unembed: RoundedRows, screens: tuple[torch.dtype, ...]) -> Screening:
    """All logits of these rows looked at, in blocks as extraction takes them, U at hand in bfloat16 as it has it."""
    found = Screening(written, TARGETS, screens)
    width = max(written.shape)
    for block in blocks(len(unembed.whole), width, max(WIDER * BLOCK, 8 * CHUNK * width), CHUNK):
        found.take(unembed[block], block.start, unembed.low[block])
    return found


Figures = dict[str, dict[str, float]]
"""Of each way its seconds, the time against the first way, and the share of all numbers decided without computing them
again."""


def compared(ways: dict[str, tuple[Callable[[], object], float]]) -> Figures:
    """The ways, each with the share that it decides, timed in turn; the least of three times."""
    seconds = {name: float("inf") for name in ways}
    for _ in range(3):
        for name, (way, _) in ways.items():
            seconds[name] = min(seconds[name], timed(way))
    first = next(iter(seconds.values()))
    return {name: {"seconds": seconds[name], "ratio": seconds[name] / first, "decided": ways[name][1]} for name in ways}


def of_targets(x: SourceVectors, unembed: torch.Tensor) -> Figures:
    """The largest and smallest logits of a layer's rows, beside the product alone."""
    written = written_rows(x, LAYER)
    every, rounded = 2 * len(written) * len(unembed), RoundedRows(unembed, Columns(unembed, torch.bfloat16))
    return compared(
        {"the product alone, float32": (lambda: written @ unembed.mT, 0.0)}
        | {
            name: (
                lambda screens=screens: screened(written, rounded, screens),
                1 - screened(written, rounded, screens).computed / every,
            )
            for name, screens in SCREENS.items()
        }
    )


def of_saliency(x: SourceVectors) -> Figures:
    """The most salient tokens of a layer's heads, beside all saliencies in float32, unranked."""
    weights = open_model("demo").layer(LAYER)
    value, output = weights.value.float(), weights.output.float()
    every = len(output) * len(x.norms)
    return compared(
        {"all saliencies, float32": (lambda: saliencies(x, value, output), 0.0)}
        | {
            f"{str(dtype).removeprefix('torch.')}, then float64": (
                lambda dtype=dtype: most_salient(x, value, output, N_SALIENT + N_HELD_OUT, screens=(dtype,)),
                1 - most_salient(x, value, output, N_SALIENT + N_HELD_OUT, screens=(dtype,)).computed / every,
            )
            for dtype in (torch.bfloat16, torch.float32)
        }
    )


def of_relations(unembed: torch.Tensor) -> Figures:
    """Whether targets are among the k largest or smallest of their rows, 20 operations, all heads of a layer."""
    weights = open_model("demo")
    layer, chosen = weights.layer(LAYER), select(weights)
    pairs = as_pairs(chosen, weights.embed)
    through = source_vectors(pairs.vectors, weights.first_mlp, torch.device("cpu"), torch.float64)
    pairs = replace(pairs, vectors=through.of(slice(None)))
    every = 2 * len(chosen) * len(layer.output) * len(unembed)
    ways = {}
    for name, screens in reversed(SCREENS.items()):
        unembedding = Unembedding(unembed, torch.device("cpu"), screens=screens)
        relation_hits(pairs, layer, unembedding)
        ways[f"{name}, then float64"] = (
            lambda unembedding=unembedding: relation_hits(pairs, layer, unembedding),
            1 - unembedding.computed / every,
        )
    return compared(ways)


def measure() -> dict[str, Figures]:
    """Targets, saliency and relation scores."""
    weights = open_model("demo")
    x = source_vectors(weights.embed, weights.first_mlp, torch.device("cpu"), torch.float32)
    unembed = weights.unembed[:].float()
    return {
        "targets": of_targets(x, unembed),
        "saliency": of_saliency(x.rounded()),
        "relation scores": of_relations(unembed),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    figures = measure()
    print(f"{'':42} {'seconds':>8} {'of first':>9} {'decided':>10}")
    for part, rows in figures.items():
        print(part)
        for name, row in rows.items():
            print(f"  {name:40} {row['seconds']:8.3f} {row['ratio']:9.2f} {row['decided']:10.4%}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
