"""The paper's experiments on a GPU, within a time limit, as one JSON file.

    python -m benchmarks.paper_gpu MODEL [--dtype bfloat16|float32] [--minutes M] [--catalog FILE] [--json PATH]

The experiments go from the cheapest to the dearest. Where the time is up, the one that runs ends after its current
step; what it had of single operations is in the file as well, and the same command with the same catalogue goes on.
Needs neither a web app nor an LLM's client: heads are described by statistics.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from describe.catalog import Catalogue
from describe.llm import Request, parse_llm
from describe.operations.published import published_source
from describe.pipeline.inference.ablation import ablation_rows
from describe.pipeline.inference.correlation import correlation_rows
from describe.pipeline.paper.experiments import EXPERIMENTS, compared, paper
from describe.pipeline.paper.records import Findings, Subject
from describe.pipeline.stored_checks import known_checks
from describe.records import ModelInfo
from describe.versions import versions
from describe.weights import open_model

EVERY = 5.0
"""Seconds between two lines of progress."""

ORDER = ("static", "known", "universality", "multi-token", "correlation", "causal", "descriptions")


class TimeUpError(Exception):
    """The time limit is reached."""


@dataclass
class Clock:
    """Progress of a pipeline that ends it, between two steps, when the time is up.

    Attributes:
        end: by `time.monotonic`; ``last``: how far each stage is.
    """

    end: float
    last: dict[str, tuple[int, int]] = field(default_factory=dict)
    told: float = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if total:
            self.last[stage] = (done, total)
            if now > self.told + EVERY or done == total:
                self.told = now
                print(f"{self.end - now:6.0f} s left  {stage:12} {done}/{total}", flush=True)
        if now > self.end:
            raise TimeUpError


def measure(
    model: str,
    place: str,
    *,
    operations: Path,
    dtype: str,
    device: str,
    minutes: float,
    experiments: Sequence[str],
    placebos: int,
) -> dict[str, Any]:
    """Everything that came out within so many minutes."""
    clock = Clock(time.monotonic() + 60 * minutes)
    done: list[Findings] = []
    seconds: dict[str, float] = {}
    cut: str | None = None
    with Catalogue(place, create=True) as catalogue:
        subject = Subject(
            catalogue=catalogue,
            model=model,
            llm=parse_llm("statistics"),
            request=Request(),
            operations=operations,
            device=device,
            dtype=dtype,
            placebos=placebos,
            progress=clock,
        )
        for name in (one for one in ORDER if one in experiments):
            started = time.monotonic()
            try:
                done += paper(subject, [name])
            except TimeUpError:
                cut = name
            seconds[name] = round(time.monotonic() - started, 2)
            if cut:
                break
        return (
            _setting(device, dtype, minutes)
            | {"model": model, "seconds": seconds, "cut_off": cut, "progress": clock.last}
            | _found(catalogue, model, done)
        )


def _found(catalogue: Catalogue, model: str, done: Sequence[Findings]) -> dict[str, Any]:
    """Tables of what is done, and what the catalogue has of single operations of all checks."""
    model_id, info = _known(catalogue, model)
    checks = known_checks(catalogue, model_id, info.n_layers)
    against = compared(info, done)
    return {
        "info": asdict(info),
        "experiments": {
            findings.experiment: {
                "tables": {table.name: table.as_dicts() for table in findings.tables},
                "figures": dict(findings.figures),
                "missing": dict(findings.missing),
            }
            for findings in done
        },
        "operations": {
            "correlations": correlation_rows(checks.correlations),
            "ablations": ablation_rows(checks.ablations, "zero"),
            "tasks": checks.tasks,
        },
        "published": against.as_dicts() if against else None,
        "source": published_source(),
    }


def _known(catalogue: Catalogue, model: str) -> tuple[int, ModelInfo]:
    """The model, entered where the time was up before."""
    info = open_model(model).info
    return catalogue.register_model(info), info


def _setting(device: str, dtype: str, minutes: float) -> dict[str, Any]:
    cuda = torch.cuda.is_available() and device in ("auto", "cuda")
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "peak_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if cuda else None,
        "dtype": dtype,
        "minutes": minutes,
        "versions": versions("torch", "transformers"),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run, and write the file, whole or in part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="demo, a directory, a .gguf file, or a hub id")
    parser.add_argument("--operations", type=Path, default=Path("all"), help="a directory, or all of headscribe's")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--device", default="auto", help="auto: CUDA where there is one")
    parser.add_argument("--minutes", type=float, default=10, help="the time limit")
    parser.add_argument("--catalog", default="paper_gpu.db", help="where results are kept; the same one goes on")
    parser.add_argument("--experiments", default=",".join(ORDER), help=f"of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--placebos", type=int, default=30, help="placebo heads of each kind that are described")
    parser.add_argument("--json", type=Path, default=Path("paper_gpu.json"), help="the file to write")
    arguments = parser.parse_args(argv)
    found = measure(
        arguments.model,
        arguments.catalog,
        operations=arguments.operations,
        dtype=arguments.dtype,
        device=arguments.device,
        minutes=arguments.minutes,
        experiments=arguments.experiments.split(","),
        placebos=arguments.placebos,
    )
    arguments.json.write_text(json.dumps(found, indent=1, default=str) + "\n", encoding="utf-8")
    print(f"seconds: {found['seconds']}; cut off: {found['cut_off']}; written: {arguments.json}")


if __name__ == "__main__":
    main()
