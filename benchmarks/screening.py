"""How many logits a low precision decides, and the time, for the targets of one layer's heads of `demo`.

    python -m benchmarks.screening

Rows are what the heads of a layer write of their salient tokens, as extraction has them; the product in float32 over
the whole vocabulary stands beside, without any ranking.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from benchmarks.extraction import timed
from describe.maps import SourceVectors, source_vectors
from describe.maps.blocks import BLOCK, blocks
from describe.maps.salient import saliencies
from describe.maps.screening import CHUNK, WIDER, Screening, largest
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


def screened(written: torch.Tensor, unembed: torch.Tensor, screens: tuple[torch.dtype, ...]) -> Screening:
    """All logits of these rows looked at, in blocks as extraction takes them."""
    found = Screening(written, TARGETS, screens)
    width = max(written.shape)
    for block in blocks(len(unembed), width, max(WIDER * BLOCK, 8 * CHUNK * width), CHUNK):
        found.take(unembed[block], block.start)
    return found


def measure() -> dict[str, dict[str, float]]:
    """Seconds, the time against the product alone, and the share of logits decided, by precision."""
    weights = open_model("demo")
    x = source_vectors(weights.embed, weights.first_mlp, torch.device("cpu"), torch.float32)
    unembed = weights.unembed[:].float()
    written = written_rows(x, LAYER)
    product = min(timed(lambda: written @ unembed.mT) for _ in range(3))
    figures = {"the product alone, float32": {"seconds": product, "ratio": 1.0, "decided": 0.0}}
    for name, screens in SCREENS.items():
        seconds = min(timed(lambda screens=screens: screened(written, unembed, screens)) for _ in range(3))
        computed = screened(written, unembed, screens).computed
        decided = 1 - computed / (2 * len(written) * len(unembed))
        figures[name] = {"seconds": seconds, "ratio": seconds / product, "decided": decided}
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    figures = measure()
    print(f"{'':28} {'seconds':>8} {'of product':>10} {'decided':>9}")
    for name, row in figures.items():
        print(f"{name:28} {row['seconds']:8.3f} {row['ratio']:10.2f} {row['decided']:9.3%}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
