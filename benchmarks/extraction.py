"""Extraction of all heads of ``demo`` against the literal equations and against the machine's own floor.

    python -m benchmarks.extraction [--heads N] [--json PATH]

Everything runs in this process, with the same threads, one after another. The oracle is `tests/oracle.py` on tensors
read straight from the file, in float32 as ours. Two figures of it, as "one head by the equations" can mean two things:
with the source vectors x = MLP_0(norm(E)) computed for that head, as the equations say, and with x given. The floor is
as many multiply-adds as square matrix products; for a layer of Llama-3.1-8B a random checkpoint is written and removed.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from describe.pipeline.extraction import compute
from describe.pipeline.extraction.compute import Means, extract_layers
from describe.weights import HeadWeights, open_model
from tests import oracle
from tests.demo_oracle import DemoOracle
from tests.synthetic import Synthetic

CPU = torch.device("cpu")
LLAMA_8B = Synthetic(vocabulary=128_256, d=4096, layers=1, heads=32, groups=8, hidden=2048, d_head=128)


def forgotten(*_: object) -> None:
    """No source vectors are kept from one run to the next."""


def timed(work: Callable[[], Any]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def extract_all(weights: HeadWeights) -> None:
    """The work of extraction: source vectors, then every layer's salient operations, tensors read from the file."""
    for _ in extract_layers(weights, range(weights.info.n_layers), Means(CPU, "float32")):
        pass


def multiply_adds(weights: HeadWeights) -> float:
    """Multiply-adds of extraction in its factored form: first MLP, x W_V, z R^T, and the rows of M."""
    info, hidden = weights.info, weights.first_mlp.width
    mlp = 3 * info.vocab_size * info.d_model * hidden
    read = info.vocab_size * info.d_model * info.n_kv_heads * info.d_head
    written = info.vocab_size * info.n_heads * info.d_head**2
    rows = 90 * info.n_heads * info.d_model * (info.vocab_size + 2 * info.d_head)
    return float(mlp + info.n_layers * (read + written + rows))


def floor(operations: float) -> float:
    """Seconds that many multiply-adds take as square matrix products here."""
    size = 2048
    a, b = torch.randn(size, size), torch.randn(size, size)
    repeats = 30
    a @ b
    each = timed(lambda: [a @ b for _ in range(repeats)]) / repeats
    return operations / size**3 * each


def peak_memory(code: str) -> int:
    """Peak resident memory in MiB of a process that runs the code, set up as the command line sets its own up."""
    code = f"from describe.process import prepare_process\nprepare_process()\n{code}"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def help_seconds() -> float:
    """CPU seconds of ``headscribe --help``, the least of five."""
    least = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "app", "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        least = min(least, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return least


def large_layer() -> float:
    """Extraction of one layer with V, d and heads of Llama-3.1-8B against the floor; the MLP is a seventh of its own,
    so as not to outweigh the layer."""
    with tempfile.TemporaryDirectory(prefix="headscribe-8b-") as folder:
        weights = open_model(str(LLAMA_8B.write(Path(folder) / "model")))
        before = floor(multiply_adds(weights))
        seconds = timed(lambda: extract_all(weights))
        return seconds / statistics.mean([before, floor(multiply_adds(weights))])


def measure(n_heads: int) -> dict[str, float]:
    """All figures, in one run."""
    help_cpu = help_seconds()
    memory = peak_memory(
        "import tempfile\nfrom describe import pipeline\nfrom describe.catalog import Catalogue\n"
        "from describe.pipeline.extraction import compute\ncompute.load_vectors = lambda *_: None\n"
        "with tempfile.TemporaryDirectory() as folder, Catalogue(folder + '/c.db', create=True) as catalogue:\n"
        "    pipeline.extract(catalogue, 'demo', device='cpu', reading='paper')"
    )
    weights = open_model("demo")
    all_heads = weights.info.n_layers * weights.info.n_heads
    operations = multiply_adds(weights)
    extract_all(weights)  # once to warm up: threads, page cache, E read
    floors, ours, with_x, given_x = [floor(operations)], [], [], []
    literal = DemoOracle(torch.float32)
    x = literal.source_vectors()

    def literal_head(number: int, vectors: torch.Tensor | None) -> None:
        vectors = literal.source_vectors() if vectors is None else vectors
        oracle.salient(vectors, literal.w_vo(number % 30, number % 9), literal.embed, 90).logits.topk(5)

    for number in range(n_heads):
        ours.append(timed(lambda: extract_all(weights)))
        with_x.append(timed(lambda number=number: literal_head(number, None)))
        given_x.append(timed(lambda number=number: literal_head(number, x)))
        floors.append(floor(operations))
    seconds, least = statistics.median(ours), statistics.median(floors)
    of_8b = large_layer()
    return {
        "seconds, all heads": seconds,
        "oracle / ours, per head": statistics.median(with_x) * all_heads / seconds,
        "oracle with x given / ours, per head": statistics.median(given_x) * all_heads / seconds,
        "ours / floor of square products": seconds / least,
        "ours / floor, a layer of Llama-3.1-8B": of_8b,
        "peak memory of extraction, MiB": memory,
        "CPU seconds of headscribe --help": help_cpu,
    }


TARGETS = {
    "oracle / ours, per head": ">= 70",
    "ours / floor of square products": "<= 0.9 (without bfloat16 units: 1.25)",
    "ours / floor, a layer of Llama-3.1-8B": "<= 1.5",
    "peak memory of extraction, MiB": "< 2048",
    "CPU seconds of headscribe --help": "< 0.5",
}


def main() -> None:
    """Print the figures beside their targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--heads", type=int, default=5, help="heads given to the oracle, and runs of ours")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    vars(compute).update(load_vectors=forgotten, save_vectors=forgotten)
    figures = measure(arguments.heads)
    for name, value in figures.items():
        print(f"{name:40} {value:10.2f}   {TARGETS.get(name, '')}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
