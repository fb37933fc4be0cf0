"""Several models in one catalogue, and the same over a Ray cluster: same results, whoever dies on the way."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psutil
import pytest
import torch

from describe import pipeline
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.pipeline.extraction.compute import Means
from describe.pipeline.extraction.engines import LOCAL, open_engine
from describe.pipeline.extraction.jobs import RankJob, opener
from tests.conftest import need
from tests.heads import head_records
from tests.synthetic import Synthetic

SMALL = Synthetic(vocabulary=1000, d=64, layers=3, heads=4, groups=2, hidden=96, d_head=16)
LARGER = Synthetic(vocabulary=12_000, d=256, layers=12, heads=8, groups=4, hidden=256, d_head=32)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("synthetic")
    return [str(SMALL.write(folder / "small")), str(LARGER.write(folder / "larger"))]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """An engine over a Ray cluster of this machine."""
    need(importlib.util.find_spec("ray") is not None, "ray: pip install 'headscribe[ray]'")
    with open_engine("ray") as engine:
        yield engine


def records(catalogue: Catalogue, results: list[pipeline.ExtractResult]) -> list[dict[str, Any]]:
    found = [record for each in results for record in head_records(catalogue, each.model, each.extraction_id)]
    for record in found:
        del record["provenance"]["extracted"]
    return found


@pytest.fixture(scope="module")
def expected(models: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """All heads of both models, computed here, with one thread as in the workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with Catalogue(str(tmp_path_factory.mktemp("local") / "c.db"), create=True) as catalogue:
        results = pipeline.extract_all(catalogue, models, reading="paper", device="cpu")
        assert [each.new for each in results] == [12, 96]
        assert [each.new for each in pipeline.extract_all(catalogue, models, reading="paper", device="cpu")] == [0, 0]
        found = records(catalogue, results)
    torch.set_num_threads(threads)
    return found


def test_several_models_and_one_that_is_none(
    models: list[str], expected: list[dict[str, Any]], headscribe: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    """A bad one is refused before anything is begun."""
    nowhere = str(tmp_path / "nowhere")
    done = headscribe("extract", models[0], nowhere)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"no model at '{nowhere}'" in done.stderr
    assert not (tmp_path / "catalogue.db").exists()
    with Catalogue(str(tmp_path / "none.db"), create=True) as catalogue:
        with pytest.raises(InputError, match="no model at"):
            pipeline.relations_all(catalogue, [models[0], nowhere], device="cpu")
        assert catalogue.models() == []
    done = headscribe("extract", models[0], models[1], "--heads", "0.1,2", "--memory", "3GiB")
    assert done.returncode == 0, done.stderr
    told = [line.split(" in ")[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert told == ["small: 5 heads", "larger: 9 heads"]


def test_a_cluster_finds_the_same(
    models: list[str], expected: list[dict[str, Any]], cluster: Any, tmp_path: Path
) -> None:
    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        results = pipeline.extract_all(catalogue, models, device="cpu", engine=cluster)
        assert records(catalogue, results) == expected


def test_a_killed_worker_changes_nothing(
    models: list[str], expected: list[dict[str, Any]], cluster: Any, tmp_path: Path
) -> None:
    """kill -9 of one that is computing layers; Ray gives its task to another."""
    killed: list[int] = []
    done = threading.Event()

    def kill() -> None:
        while not (killed or done.wait(0.05)):
            for process in psutil.Process().children(recursive=True):
                if "ray::_extract" in " ".join(_command(process)):
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)
                    return

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
            results = pipeline.extract_all(catalogue, models, device="cpu", engine=cluster)
            assert killed
            assert records(catalogue, results) == expected
    finally:
        done.set()
        thread.join()


def _command(process: psutil.Process) -> list[str]:
    try:
        found: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return found


def test_an_ended_driver_goes_on_where_it_was(
    models: list[str], expected: list[dict[str, Any]], cluster: Any, tmp_path: Path
) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with Catalogue(str(tmp_path / "c.db"), create=True) as catalogue:
        with pytest.raises(KeyboardInterrupt):
            pipeline.extract_all(catalogue, models, device="cpu", engine=cluster, progress=interrupt)
        results = pipeline.extract_all(catalogue, models, device="cpu", engine=cluster)
        assert sum(each.new for each in results) == 12 + 96 - 20
        assert records(catalogue, results) == expected


def test_a_cluster_ranks_the_same_and_knows_the_model(models: list[str], cluster: Any) -> None:
    opened, draw = opener(), torch.Generator().manual_seed(0)
    pairs = torch.randint(1000, (300, 2), generator=draw).tolist()
    info = opened(models[0]).info
    job = RankJob(models[0], info, (0, 1, 2), tuple((source, target, 10) for source, target in pairs), True)
    means = Means(torch.device("cpu"), "float64")
    ours, theirs = (
        {layer: hits for _, (layer, hits, _) in engine.rank([job], means, opened)} for engine in (LOCAL, cluster)
    )
    assert sorted(theirs) == [0, 1, 2]
    for layer, hits in ours.items():
        assert int(hits.top.sum()) > 0
        assert torch.equal(hits.top, theirs[layer].top)
        assert torch.equal(hits.bottom, theirs[layer].bottom)
    other = replace(job, info=replace(info, content_hash="0" * 64))
    with pytest.raises(InputError, match="a worker finds another model under"):
        list(cluster.rank([other], means, opened))
    with pytest.raises(InputError, match="no worker of the Ray cluster has a device 'mps'"):
        cluster.device("mps", "float32")


def test_engines_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def opening(name: str, address: str | None = None) -> None:
        with open_engine(name, address):
            pass

    with pytest.raises(InputError, match="no engine 'slurm': local or ray"):
        opening("slurm")
    with pytest.raises(InputError, match="--ray-address goes with --engine ray"):
        opening("local", "127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"--engine ray needs Ray: pip install 'headscribe\[ray\]'"):
        opening("ray")
