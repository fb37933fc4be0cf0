"""Time and memory of extraction as a model grows, at the size of Llama-3.1-70B, and over two Ray workers.

    python -m benchmarks.scale [--growth] [--ray] [--llama-70b] [--memory 8GiB] [--folder DIR]

Checkpoints are random, written to a temporary folder and removed. Each extraction is a process of its own, of which the
peaks are taken: of its resident memory as the system counts it (``ru_maxrss``, pages of mapped files included, which
the system may take back), and of its own, anonymous memory, looked at every 20 ms. ``--llama-70b`` writes 8 GB and
computes 1e14 multiply-adds: it says how many, and how long that takes here, before it begins.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.synthetic import Synthetic

LLAMA_70B = Synthetic(vocabulary=128_256, d=8192, layers=2, heads=64, groups=8, hidden=28_672, d_head=128)
LLAMA_70B_LAYERS = 80
BASE = Synthetic(vocabulary=16_384, d=512, layers=4, heads=8, groups=4, hidden=2048, d_head=64)

CHILD = """
import json, resource, sys, time
from pathlib import Path
from describe import pipeline
from describe.catalog import Catalogue
from describe.pipeline import computing
times = {}
whole = computing.source_vectors
def timed(*arguments, **how):
    started = time.perf_counter()
    found = whole(*arguments, **how)
    times["sources"] = time.perf_counter() - started
    return found
computing.source_vectors = timed
model, memory, catalogue = sys.argv[1], sys.argv[2] or None, sys.argv[3]
from describe.weights import open_model
plan = computing.Means.plan
def noted(self, weights, layers):
    found = plan(self, weights, layers)
    times["plan"] = str(found)
    return found
computing.Means.plan = noted
with Catalogue(catalogue, create=True) as opened:
    started = time.perf_counter()
    pipeline.extract(opened, model, device="cpu", memory=memory)
    times["seconds"] = time.perf_counter() - started
times["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
print(json.dumps(times))
"""


@dataclass(frozen=True)
class Measured:
    """Seconds of an extraction, of its source vectors alone, and MiB at most: resident, and of its own."""

    seconds: float
    sources: float
    resident: float
    own: float
    plan: str


def measure(model: Path, memory: str = "") -> Measured:
    """Extract a model in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", CHILD, str(model), memory, f"{folder}/c.db"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            own = 0.0
            while child.poll() is None:
                own = max(own, _own_memory(child.pid))
                time.sleep(0.02)
            assert child.stdout is not None
            found = json.loads(child.stdout.read())
    return Measured(found["seconds"], found["sources"], found["rss"], own, found["plan"])


def _own_memory(pid: int) -> float:
    """Anonymous resident memory in MiB; 0 when the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 2**10 for line in lines if line.startswith("RssAnon")), 0.0)
