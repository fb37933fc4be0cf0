"""Time and memory of extraction as a model grows, at the size of Llama-3.1-70B, and over two Ray workers.

    python -m benchmarks.scale [growth] [ray] [llama-70b [--hidden N]] [--memory 8GiB] [--folder DIR] [--json PATH]

Without a name: growth and ray. Checkpoints are random, written to a temporary folder and removed, or kept in
``--folder``. Each extraction is a process of its own, of which the peaks are taken: of its resident memory, pages of
mapped files included, which the system may take back; and of the anonymous memory that is its own, looked at every
20 ms.
``llama-70b`` writes 8 GB and computes 1e14 multiply-adds, nine tenths of them in the first MLP; it says beforehand how
long that takes here. With ``--hidden`` the MLP has fewer units, and the time of the whole one is stated from that.
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
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.extraction import floor, timed
from tests.synthetic import Synthetic

LLAMA_70B = Synthetic(vocabulary=128_256, d=8192, layers=2, heads=64, groups=8, hidden=28_672, d_head=128)
LLAMA_70B_LAYERS = 80
BASE = Synthetic(vocabulary=32_768, d=1024, layers=4, heads=8, groups=4, hidden=2048, d_head=64)
FOR_RAY = Synthetic(vocabulary=49_152, d=1024, layers=24, heads=16, groups=4, hidden=2048, d_head=64)

GROWN = {
    "as it is": BASE,
    "V doubled": replace(BASE, vocabulary=2 * BASE.vocabulary),
    "d doubled": replace(BASE, d=2 * BASE.d),
    "L doubled": replace(BASE, layers=2 * BASE.layers),
    "heads doubled": replace(BASE, heads=2 * BASE.heads, groups=2 * BASE.groups),
    "MLP doubled": replace(BASE, hidden=2 * BASE.hidden),
}

CHILD = """
import json, sys, time
from pathlib import Path
from describe.process import prepare_process
prepare_process()
from describe import pipeline
from describe.catalog import Catalogue
from describe.pipeline.extraction import compute as computing

def status(name):
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) / 1024

noted = {}
plan, sources = computing.Means.plan, computing.source_vectors

def noting_plan(*arguments, **how):
    noted["before"] = status("VmRSS")
    found = plan(*arguments, **how)
    noted["plan"] = str(found)
    return found

def noting_sources(*arguments, **how):
    started = time.perf_counter()
    found = sources(*arguments, **how)
    noted["sources"] = time.perf_counter() - started
    return found

computing.Means.plan, computing.source_vectors = noting_plan, noting_sources
computing.load_vectors = computing.save_vectors = lambda *_: None  # nothing is kept from one run to the next
model, memory, catalogue = sys.argv[1], sys.argv[2] or None, sys.argv[3]
marks = []
with Catalogue(catalogue, create=True) as opened:
    started = time.perf_counter()
    progress = lambda *_: marks.append(time.perf_counter())
    pipeline.extract(opened, model, device="cpu", memory=memory, reading="paper", progress=progress)
noted["layers"] = marks[-1] - marks[0] - noted["sources"]
noted["resident"] = status("VmHWM")
print(json.dumps(noted))
"""


@dataclass(frozen=True)
class Measured:
    """Of one extraction: seconds of the source vectors and of all layers; MiB before it began, and at most, resident
    and of its own; and its plan."""

    sources: float
    layers: float
    before: float
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
    return Measured(**found, own=own)


def _own_memory(pid: int) -> float:
    """Anonymous resident memory in MiB; 0 when the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 2**10 for line in lines if line.startswith("RssAnon")), 0.0)


def growth(folder: Path, _: argparse.Namespace) -> dict[str, Any]:
    """Time and memory of extraction, each dimension doubled in turn."""
    print("growth, from", BASE)
    print(f"{'':14} {'sources s':>10} {'a layer s':>10} {'own MiB':>10} {'floor s':>10} {'ours / floor':>13}")
    found = {}
    for name, shape in GROWN.items():
        model = shape.write(folder / name.replace(" ", "-"))
        runs = [measure(model) for _ in range(3)]
        best = min(runs, key=lambda run: run.sources + run.layers)
        of_sources, of_layer = shape.multiply_adds
        least = floor(of_sources + shape.layers * of_layer)
        own = max(run.own for run in runs) - best.before
        seconds, layer = best.sources + best.layers, best.layers / shape.layers
        print(f"{name:14} {best.sources:10.2f} {layer:10.2f} {own:10.0f} {least:10.2f} {seconds / least:13.2f}")
        found[name] = asdict(best) | {"own": own, "floor": least}
    return found


def over_ray(folder: Path, _: argparse.Namespace) -> dict[str, Any]:
    """Two workers of one thread each against this process with two threads."""
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.pipeline.extraction.engines import LOCAL, Engine, open_engine

    model = str(FOR_RAY.write(folder / "ray"))
    torch.set_num_threads(2)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the workers, as Ray sets it too

    def extract(engine: Engine) -> None:
        with tempfile.TemporaryDirectory() as place, Catalogue(f"{place}/c.db", create=True) as catalogue:
            pipeline.extract_all(catalogue, [model], reading="paper", device="cpu", engine=engine)

    started = time.perf_counter()
    with open_engine("ray") as cluster:
        start = time.perf_counter() - started
        first = timed(lambda: extract(cluster))
        both: dict[str, list[float]] = {"local": [], "ray": []}
        for _ in range(3):
            both["local"].append(timed(lambda: extract(LOCAL)))
            both["ray"].append(timed(lambda: extract(cluster)))
    local, ray = (statistics.median(both[name]) for name in ("local", "ray"))
    print(f"\nover Ray, {FOR_RAY}\n  local {local:.1f} s, Ray {ray:.1f} s: {ray / local - 1:+.1%}")
    print(f"  the cluster's start {start:.1f} s; its first extraction, in which workers import torch, {first:.1f} s")
    return {"local": both["local"], "ray": both["ray"], "start": start, "first": first}


def llama_70b(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Two layers with the shapes of Llama-3.1-70B, within so much memory."""
    memory, shape = asked.memory, replace(LLAMA_70B, hidden=asked.hidden)
    whole = LLAMA_70B.hidden / shape.hidden
    of_sources, of_layer = shape.multiply_adds
    print(f"\nat the size of Llama-3.1-70B, {shape}, within {memory}")
    print(f"  multiply-adds: {of_sources:.2e} for the source vectors, {of_layer:.2e} for each layer")
    print(f"  as square products here: {floor(of_sources) / 60:.1f} min and {floor(of_layer) / 60:.1f} min", flush=True)
    model = folder / "llama-70b"
    if not model.exists():
        print(f"  written in {timed(lambda: shape.write(model)):.0f} s", flush=True)
    found = measure(model, memory)
    layer = found.layers / shape.layers
    sources = whole * found.sources
    stated = "" if whole == 1 else f" (measured with {shape.hidden} units: {found.sources / 60:.1f} min)"
    print(f"  source vectors {sources / 60:.1f} min{stated}, a layer {layer / 60:.2f} min")
    print(f"  all {LLAMA_70B_LAYERS} layers: {(sources + LLAMA_70B_LAYERS * layer) / 3600:.2f} h on this machine")
    print(f"  peak: resident {found.resident / 1024:.2f} GiB, of its own {found.own / 1024:.2f} GiB; {found.plan}")
    return asdict(found)


Part = Callable[[Path, argparse.Namespace], dict[str, Any]]
PARTS: dict[str, Part] = {"growth": growth, "ray": over_ray, "llama-70b": llama_70b}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="growth, ray or llama-70b (default: the first two)")
    parser.add_argument("--memory", default="8GiB", help="what llama-70b may take")
    parser.add_argument("--hidden", type=int, default=LLAMA_70B.hidden, help="units of the first MLP of llama-70b")
    parser.add_argument("--folder", type=Path, help="keep the checkpoints here")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.parts) - set(PARTS)):
        parser.error(f"no part '{unknown[0]}': {', '.join(PARTS)}")
    figures = {}
    with tempfile.TemporaryDirectory(prefix="headscribe-scale-") as temporary:
        for name in arguments.parts or ["growth", "ray"]:
            folder = Path(arguments.folder or temporary)
            figures[name] = PARTS[name](folder, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
