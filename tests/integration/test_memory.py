"""``--memory`` holds for the process as the system measures it, where without it the process takes more."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.synthetic import Synthetic

MODEL = Synthetic(vocabulary=32_000, d=768, layers=2, heads=4, groups=2, hidden=256, d_head=64)
"""Source vectors and unembedding take 94 MiB each in float32."""

EXTRACT = """
import json, os, sys
from pathlib import Path
import psutil, torch
from describe import pipeline
from describe.catalog import Catalogue
from describe.weights import open_model

torch.set_num_threads(1)
small, model, folder, *extras = sys.argv[1:]
open_model(model)

def extract(extra):
    with Catalogue(f"{folder}/small-{extra}.db", create=True) as catalogue:  # what libraries load, once a process
        pipeline.extract(catalogue, small, reading="paper", device="cpu")
    allowed = psutil.Process().memory_info().rss + extra
    with Catalogue(f"{folder}/{extra}.db", create=True) as catalogue:
        result = pipeline.extract(catalogue, model, reading="paper", device="cpu", memory=str(allowed))
        record = next(catalogue.head_records(result.model, result.extraction_id))
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) * 1024
    tokens = [row.token_id for row in record.salient]
    print(json.dumps({"allowed": allowed, "peak": peak, "new": result.new, "tokens": tokens}), flush=True)

for extra in map(int, extras):  # each in a process of its own, for which nothing is imported again
    if os.fork() == 0:
        extract(extra)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc, which tells a process's peak")
def test_the_process_keeps_to_its_memory(tmp_path: Path) -> None:
    small = replace(MODEL, vocabulary=600, d=64, d_head=16).write(tmp_path / "small")
    model = MODEL.write(tmp_path / "model")
    words = [sys.executable, "-c", EXTRACT, str(small), str(model), str(tmp_path), str(70 * 2**20), str(2**34)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.stdout.count("\n") == 2, done.stderr
    little, much = map(json.loads, done.stdout.splitlines())
    assert little["new"] == much["new"] == 8
    assert little["peak"] <= little["allowed"]
    assert much["peak"] > much["allowed"] - 2**34 + 150 * 2**20, "there was something to save"
    assert little["tokens"] == much["tokens"]
