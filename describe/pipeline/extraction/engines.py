"""Where it is computed: in this process, or by a Ray cluster. Either gives the same results, in whatever order.

An engine computes and returns; what comes of it is committed by who asked, so that workers need no catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from describe.errors import InputError
from describe.pipeline.common import Progress, choose_device, silent
from describe.pipeline.extraction.jobs import Job, Opener, RankJob
from describe.readings import PAPER

if TYPE_CHECKING:
    import torch

    from describe.pipeline.extraction.compute import Found, Means, Ranked, Ranking
    from describe.weights import HeadWeights

__all__ = ["LOCAL", "Engine", "Local", "open_engine"]


class Engine(Protocol):
    """Computes jobs and yields, with the number of the job in the sequence, each layer as it is done."""

    def device(self, name: str, dtype: str) -> torch.device:
        """The device to compute on. Raises `InputError` when there is no such thing."""
        ...

    def extract(
        self, jobs: Iterable[Job], means: Means, opened: Opener, progress: Progress = silent
    ) -> Iterator[tuple[int, Found]]:
        """The rows of layers' heads. ``opened`` gives the weights of MODEL on this machine; ``progress`` is told of
        stages that come before a layer."""
        ...

    def rank(self, jobs: Iterable[RankJob], means: Means, opened: Opener) -> Iterator[tuple[int, Ranked]]:
        """Which pairs the heads of layers implement and suppress."""
        ...


class Local:
    """One model after another and one layer after another, in this process."""

    def device(self, name: str, dtype: str) -> torch.device:
        return choose_device(name, dtype)

    def extract(
        self, jobs: Iterable[Job], means: Means, opened: Opener, progress: Progress = silent
    ) -> Iterator[tuple[int, Found]]:
        for number, job in enumerate(jobs):
            if job.layers:
                yield from ((number, found) for found in _layers(job, means, opened(job.model), progress))

    def rank(self, jobs: Iterable[RankJob], means: Means, opened: Opener) -> Iterator[tuple[int, Ranked]]:
        from describe.pipeline.extraction.compute import Ranking

        for number, job in enumerate(jobs):
            if job.layers:
                ranking = Ranking(opened(job.model), job, means)
                yield from ((number, found) for found in _ranked(ranking, job, means, opened(job.model)))


def _layers(job: Job, means: Means, weights: HeadWeights, progress: Progress) -> Iterator[Found]:
    if job.reading == PAPER:
        from describe.pipeline.extraction.compute import extract_layers

        return extract_layers(weights, job.layers, means)
    from describe.pipeline.extraction.direct import direct_layers

    return direct_layers(job.model, weights, job.reading, job.layers, means, progress, job.beside)


def _ranked(ranking: Ranking, job: RankJob, means: Means, weights: HeadWeights) -> Iterator[Ranked]:
    if job.reading == PAPER:
        yield from map(ranking.layer, job.layers)
        return
    from describe.pipeline.extraction.views import stream_sources

    for layer, vectors in stream_sources(weights, job.reading, ranking.tokens, job.layers, means):
        yield ranking.layer(layer, vectors[:])


LOCAL = Local()

ENGINES = ("local", "ray")


@contextmanager
def open_engine(name: str, ray_address: str | None = None) -> Iterator[Engine]:
    """An engine by its name, let go of at the end.

    Raises `InputError` for an unknown name, an address without Ray, and as `ray_engine.ray_cluster` does.
    """
    if name not in ENGINES:
        raise InputError(f"there is no engine '{name}': {' or '.join(ENGINES)}")
    if name == "local":
        if ray_address is not None:
            raise InputError("--ray-address goes with --engine ray")
        yield LOCAL
        return
    from describe.pipeline.extraction.ray_engine import ray_cluster

    with ray_cluster(ray_address) as cluster:
        yield cluster
