"""Relation scores of all 20 operations on ``demo`` against full projection and full top-k.

    python -m benchmarks.relations [--heads N] [--everywhere] [--json PATH]

The oracle projects every distinct source word of a head once, for all operations together, and takes the full top-k and
bottom-k of each row, in float32 with the same threads as ours. It is timed on N heads and compared with ours per head;
``--everywhere`` runs it, in float64, on all 270 heads and compares every cell (about 20 minutes on two cores).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.extraction import peak_memory, timed
from describe.maps import Pairs, Unembedding, relation_hits
from describe.operations import load_operations
from describe.records import MIN_PAIRS
from describe.weights import HeadWeights, open_model
from tests.demo_oracle import DemoOracle

CPU = torch.device("cpu")


def select(weights: HeadWeights, copies: int = 1) -> list[tuple[int, int, int]]:
    """(source, target, k) of all valid pairs; ``copies`` > 1 repeats every operation under other names."""
    chosen = []
    for operation in load_operations()[0]:
        ids = [(weights.token_id(f" {s}"), weights.token_id(f" {t}")) for s, t in operation.pairs]
        valid = [(s, t, 1 if operation.copying else 10) for s, t in ids if s is not None and t is not None]
        chosen += valid * copies if len(valid) >= MIN_PAIRS else []
    return chosen


def as_pairs(chosen: list[tuple[int, int, int]], vectors: torch.Tensor) -> Pairs:
    """The pairs, by distinct source, with these vectors of the whole vocabulary."""
    place = {token: i for i, token in enumerate(dict.fromkeys(source for source, _, _ in chosen))}
    return Pairs(
        vectors=vectors[torch.tensor(list(place))].double(),
        source=torch.tensor([place[source] for source, _, _ in chosen]),
        target=torch.tensor([target for _, target, _ in chosen]),
        k=torch.tensor([k for _, _, k in chosen]),
    )


def literal(pairs: Pairs, w_vo: torch.Tensor, unembed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Top and bottom hits (P,) by full projection of each distinct source and full top-k."""
    k = int(pairs.k.max())
    best: list[list[torch.Tensor]] = [[], []]
    for rows in pairs.vectors.to(unembed.dtype).split(512):
        scores = rows @ w_vo @ unembed.T
        for i, largest in enumerate((True, False)):
            best[i].append(scores.topk(k, dim=1, largest=largest).indices)
    among = torch.arange(k) < pairs.k[:, None]
    hits = [((torch.cat(side)[pairs.source] == pairs.target[:, None]) & among).any(1) for side in best]
    return hits[0], hits[1]


def ours(weights: HeadWeights, by_layer: tuple[Pairs, Pairs]) -> list[Any]:
    """All layers, tensors read from the file."""
    unembedding = Unembedding(weights.unembed, CPU)
    return [relation_hits(by_layer[layer > 0], weights.layer(layer), unembedding) for layer in range(30)]


def measure(n_heads: int) -> dict[str, float]:
    """All figures but the comparison everywhere, in one run."""
    memory = peak_memory(
        "import tempfile\nfrom describe import pipeline\nfrom describe.catalog import Catalogue\n"
        "with tempfile.TemporaryDirectory() as folder, Catalogue(folder + '/c.db', create=True) as catalogue:\n"
        "    pipeline.relations(catalogue, 'demo', device='cpu')"
    )
    weights, oracle = open_model("demo"), DemoOracle(torch.float32)
    x = DemoOracle().source_vectors()
    chosen, thrice = select(weights), select(weights, copies=3)
    by_layer = (as_pairs(chosen, weights.embed), as_pairs(chosen, x))
    found = ours(weights, by_layer)  # warms up
    times, slow, shared, differing = [], [], [], 0
    for number in range(n_heads):
        layer, head = 1 + number * 29 // n_heads, number % 9
        times.append(timed(lambda: ours(weights, by_layer)))
        w_vo = oracle.w_vo(layer, head)
        started = time.perf_counter()
        top, bottom = literal(by_layer[1], w_vo, oracle.embed)
        slow.append(time.perf_counter() - started)
        differing += int((found[layer].top[head] != top).sum() + (found[layer].bottom[head] != bottom).sum())
        shared.append(timed(lambda: ours(weights, (as_pairs(thrice, weights.embed), as_pairs(thrice, x)))))
    seconds = statistics.median(times)
    return {
        "seconds, 20 operations, all heads": seconds,
        "oracle / ours, per head": statistics.median(slow) * 270 / seconds,
        "pairs that differ from the oracle (float32)": differing,
        "time with every operation three times / once": statistics.median(shared) / seconds,
        "distinct sources": len(by_layer[1].vectors),
        "pairs": len(chosen),
        "peak memory, MiB": memory,
    }


def everywhere() -> int:
    """How many pairs differ from the oracle in float64, over all heads and both sides."""
    weights, oracle = open_model("demo"), DemoOracle()
    chosen = select(weights)
    by_layer = (as_pairs(chosen, oracle.embed), as_pairs(chosen, oracle.source_vectors()))
    differing = 0
    for layer, found in enumerate(ours(weights, by_layer)):
        for head in range(9):
            top, bottom = literal(by_layer[layer > 0], oracle.w_vo(layer, head), oracle.embed)
            differing += int((found.top[head] != top).sum() + (found.bottom[head] != bottom).sum())
        print(f"layer {layer}: {differing} pairs differ so far", flush=True)
    return differing


TARGETS = {
    "oracle / ours, per head": ">= 40",
    "pairs that differ from the oracle (float32)": "(0 in float64: --everywhere)",
    "peak memory, MiB": "< 1536",
}


def main() -> None:
    """Print the figures beside their targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--heads", type=int, default=3, help="heads given to the oracle, and runs of ours")
    parser.add_argument("--everywhere", action="store_true", help="compare every cell with the oracle instead")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    if arguments.everywhere:
        print(f"pairs that differ from the oracle anywhere: {everywhere()}")
        return
    figures = measure(arguments.heads)
    for name, value in figures.items():
        print(f"{name:46} {value:10.2f}   {TARGETS.get(name, '')}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
