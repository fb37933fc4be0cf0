"""Computing on a Ray cluster: every worker opens the model itself, computes some layers and sends them back one by one.

Ray schedules, and gives a task to another worker when one dies. The layers of a model are split among the workers, so
that each computes the source vectors once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from describe.errors import HeadscribeError, InputError
from describe.pipeline.computing import Found, Means, Ranked, extract_layers, rank_layers
from describe.pipeline.engines import Job, Opener, RankJob
from describe.pipeline.memory import room

if TYPE_CHECKING:
    import torch

    from describe.weights import HeadWeights

__all__ = ["OverRay", "ray_cluster"]

DEATHS = 3
"""So many times a task whose worker died is given to another one."""


@contextmanager
def ray_cluster(address: str | None) -> Iterator[OverRay]:
    """An engine over the cluster at an address, or over one of its own on this machine that ends with the block.

    Raises `InputError` when Ray is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise InputError("--engine ray needs Ray: pip install 'headscribe[ray]'") from error
    own: dict[str, Any] = {"include_dashboard": False} if address is None else {"address": address}
    try:
        ray.init(**own, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except Exception as error:  # Ray raises many kinds
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"there is no Ray cluster at {address or 'this machine'}: {line}") from error
    try:
        yield OverRay(own_machine=address is None)
    finally:
        ray.shutdown()


class OverRay:
    """Spreads the layers of models over a cluster; the results are those of `describe.pipeline.engines.Local`."""

    def __init__(self, *, own_machine: bool) -> None:
        self._own_machine = own_machine

    @cached_property
    def _resources(self) -> dict[str, float]:
        import ray

        found: dict[str, float] = ray.cluster_resources()
        return found

    def device(self, name: str, dtype: str) -> torch.device:
        """The device of the workers. Raises `InputError` when no worker has one."""
        import torch

        has_cuda = self._resources.get("GPU", 0) >= 1
        kind = ("cuda" if has_cuda else "cpu") if name == "auto" else name.partition(":")[0]
        if kind not in ("cpu", "cuda") or (kind == "cuda" and not has_cuda):
            raise InputError(f"no worker of the Ray cluster has a device '{name}'")
        return torch.device(kind)

    def extract(self, jobs: Iterable[Job], means: Means, opened: Opener) -> Iterator[tuple[int, Found]]:
        """The salient operations of layers, in whatever order they are done."""
        yield from self._spread(_extract, jobs, means)

    def rank(self, jobs: Iterable[RankJob], means: Means, opened: Opener) -> Iterator[tuple[int, Ranked]]:
        """Which pairs the heads of layers implement and suppress, likewise."""
        yield from self._spread(_rank, jobs, means)

    def _spread(self, work: Callable[..., Any], jobs: Iterable[Job], means: Means) -> Iterator[tuple[int, Any]]:
        import ray

        workers = max(1, int(self._resources.get("GPU" if means.device.type == "cuda" else "CPU", 1)))
        if self._own_machine and means.memory is None and means.device.type == "cpu":
            means = replace(means, memory=room(None, means.device) // workers)
        needs = {"num_gpus": 1} if means.device.type == "cuda" else {"num_cpus": 1}
        task = ray.remote(work).options(num_returns="streaming", max_retries=DEATHS, **needs)
        streams = {}
        for number, job in enumerate(jobs):
            for layers in _shares(job.layers, workers):
                streams[task.remote(replace(job, layers=layers), means)] = number
        while streams:
            ready, _ = ray.wait(list(streams), num_returns=1)
            for stream in ready:
                try:
                    found = ray.get(next(stream))
                except StopIteration:
                    del streams[stream]
                except ray.exceptions.RayTaskError as error:
                    raise error.cause if isinstance(error.cause, HeadscribeError) else error from None
                else:
                    number = streams[stream]
                    yield number, found


def _shares(layers: tuple[int, ...], workers: int) -> Iterator[tuple[int, ...]]:
    """The layers in as many runs as there are workers, at most."""
    size = -(-len(layers) // workers) or 1
    return (layers[start : start + size] for start in range(0, len(layers), size))


# -- in the workers ---------------------------------------------------------------------------------------------------


def _extract(job: Job, means: Means) -> Iterator[Found]:
    for found in extract_layers(_opened(job), job.layers, means):  # noqa: UP028  (Ray sends values in)
        yield found


def _rank(job: RankJob, means: Means) -> Iterator[Ranked]:
    for ranked in rank_layers(_opened(job), job, means):  # noqa: UP028
        yield ranked


def _opened(job: Job) -> HeadWeights:
    """The model as the worker finds it. Raises `InputError` when it is another one than on the driver."""
    weights = _kept(job.model)
    if weights.info != job.info:
        raise InputError(
            f"a worker finds another model under '{job.model}' than this machine: its files must be the same"
        )
    return weights


@lru_cache(maxsize=2)
def _kept(model: str) -> HeadWeights:
    from describe.weights import open_model

    return open_model(model)
