"""Computing on a Ray cluster. Workers open the models themselves and send back what they found; Ray schedules, and
gives a task to another worker when one dies.

The source vectors of a model are computed block by block, each block by one worker, and lie in Ray's object store,
where all see them: they are computed once whatever the number of workers. Then a few layers at a time are done.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

from describe.errors import HeadscribeError, InputError
from describe.pipeline.common import Progress, silent
from describe.pipeline.extraction.compute import (
    Found,
    Means,
    PaperRows,
    Ranked,
    Ranking,
    kept_unembed,
    salient_layers,
)
from describe.pipeline.extraction.jobs import Job, Opener, RankJob
from describe.pipeline.extraction.memory import SHARE

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from describe.weights import HeadWeights

__all__ = ["OverRay", "ray_cluster"]

DEATHS = 3
"""So many times a task whose worker died is given to another one."""

TASKS = 4
"""Tasks of a model for each worker: enough for one that is late not to keep the others waiting."""

Kept = TypeVar("Kept")


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
        yield OverRay()
    finally:
        ray.shutdown()


class OverRay:
    """Spreads the layers of models over a cluster; the results are those of `Local`."""

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

    def extract(
        self, jobs: Iterable[Job], means: Means, opened: Opener, progress: Progress = silent
    ) -> Iterator[tuple[int, Found]]:
        """The salient operations of layers by the paper's reading, in whatever order they are done."""
        means, workers = self._each(means), self._workers(means)

        def tasks(job: Job) -> Iterator[Any]:
            block = -(-job.info.vocab_size // (TASKS * workers))
            starts = range(0, job.info.vocab_size, block)
            remote = self._task(_sources, means, num_returns=2)
            vectors, norms = zip(*(remote(job, means, slice(start, start + block)) for start in starts), strict=True)
            remote = self._task(_extract, means)
            # Norms are waited for, and then the vectors are there: a worker looks at one block of these at a time.
            return (remote(part, means, list(vectors), *norms) for part in _parts(job, workers))

        yield from self._spread(tasks, jobs, workers)

    def rank(self, jobs: Iterable[RankJob], means: Means, opened: Opener) -> Iterator[tuple[int, Ranked]]:
        """Which pairs the heads of layers implement and suppress, likewise."""
        means, workers = self._each(means), self._workers(means)
        remote = self._task(_rank, means)
        yield from self._spread(lambda job: (remote(part, means) for part in _parts(job, workers)), jobs, workers)

    def _spread(
        self, tasks: Callable[[Any], Iterator[Any]], jobs: Iterable[Job], workers: int
    ) -> Iterator[tuple[int, Any]]:
        """Results of tasks, with the number of the job, as they are done. No job is begun before there are few tasks
        left of those before it."""
        import ray

        waiting, more = enumerate(jobs), True
        running: dict[Any, int] = {}
        while more or running:
            if more and len(running) <= workers:
                more = (following := next(waiting, None)) is not None
                if following is not None and following[1].layers:
                    running |= dict.fromkeys(tasks(following[1]), following[0])
                continue
            ready, _ = ray.wait(list(running))
            for task in ready:
                number = running.pop(task)
                try:
                    done = ray.get(task)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause if isinstance(error.cause, HeadscribeError) else error from None
                yield from ((number, found) for found in done)

    def _task(self, work: Callable[..., Any], means: Means, **options: Any) -> Callable[..., Any]:
        import ray

        needs = {"num_gpus": 1} if means.device.type == "cuda" else {"num_cpus": 1}
        task: Callable[..., Any] = ray.remote(work).options(max_retries=DEATHS, **needs, **options).remote
        return task

    def _workers(self, means: Means) -> int:
        return max(1, int(self._resources.get("GPU" if means.device.type == "cuda" else "CPU", 1)))

    def _each(self, means: Means) -> Means:
        """With the memory of each worker, by default its part of a share of what its machine has for Ray."""
        import ray

        if means.memory is not None or means.device.type != "cpu":
            return means
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        parts = [each["memory"] / each["CPU"] for each in machines if each.get("CPU", 0) >= 1 and "memory" in each]
        return replace(means, memory=int(SHARE * min(parts))) if parts else means


def _parts(job: Job, workers: int) -> Iterator[Job]:
    """The job's layers, a few at a time."""
    size = max(1, len(job.layers) // (TASKS * workers))
    return (replace(job, layers=job.layers[start : start + size]) for start in range(0, len(job.layers), size))


# -- in the workers ---------------------------------------------------------------------------------------------------


def _sources(job: Job, means: Means, tokens: slice) -> tuple[Any, Any]:
    """The source vectors of a block of the vocabulary and their norms, as arrays."""
    from describe.maps import source_vectors

    weights = _opened(job)
    plan = means.plan(weights, layers=1)
    stored = weights.embed[tokens]
    x = source_vectors(stored, weights.first_mlp, means.device, means.dtype, parts=plan.parts, block=plan.block)
    return x.of(slice(None)).cpu().numpy(), x.norms.cpu().numpy()


def _extract(job: Job, means: Means, vectors: list[Any], *norms: Any) -> list[PaperRows]:
    import torch

    from describe.maps import SourceVectors

    weights = _opened(job)

    def ready() -> tuple[Any, ...]:
        plan = means.plan(weights, layers=len(job.layers), shared=True)
        return plan, kept_unembed(weights, means, plan)

    plan, unembed = _kept((job.info, "unembedding", means), ready)
    starts = list(accumulate((len(norm) for norm in norms), initial=0))
    whole = torch.cat([_tensor(norm) for norm in norms]).to(means.device)
    x = SourceVectors(_Shared(vectors, starts, job.info.d_model, means.dtype), whole)
    return list(salient_layers(weights, x, unembed, job.layers, plan))


def _rank(job: RankJob, means: Means) -> list[Ranked]:
    weights = _opened(job)
    key = (job.info, "ranking", job.triples, job.first_mlp, means)
    ranking = _kept(key, lambda: Ranking(weights, job, means))
    return [ranking.layer(layer) for layer in job.layers]


class _Shared:
    """Rows (n, d) in Ray's object store, in blocks that begin at ``starts``."""

    def __init__(self, parts: Sequence[Any], starts: list[int], width: int, dtype: torch.dtype) -> None:
        self._parts, self._starts, self._dtype = parts, starts, dtype
        self.shape = (starts[-1], width)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        import torch

        wanted = torch.arange(self.shape[0])[rows] if isinstance(rows, slice) else rows
        found = torch.empty(len(wanted), self.shape[1], dtype=self._dtype)
        for part, first, last in zip(self._parts, self._starts, self._starts[1:], strict=False):
            here = (wanted >= first) & (wanted < last)
            if here.any():
                found[here] = self._read(part)[wanted[here] - first]
        return found

    def _read(self, part: Any) -> Tensor:
        import ray

        return _tensor(ray.get(part))


def _tensor(array: Any) -> Tensor:
    """An array of the object store, which must not be written to, as a tensor."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "not writable"
        return torch.from_numpy(array)


def _opened(job: Job) -> HeadWeights:
    """The model as the worker finds it. Raises `InputError` when it is another one than on the driver."""
    from describe.weights import open_model

    weights = _kept((job.info, "model", job.model), lambda: open_model(job.model))
    if weights.info != job.info:
        raise InputError(
            f"a worker finds another model under '{job.model}' than this machine: its files must be the same"
        )
    return weights


_held: dict[tuple[Hashable, ...], Any] = {}


def _kept(key: tuple[Hashable, ...], make: Callable[[], Kept]) -> Kept:
    """This worker's parts of a model, made before or now; of other models it lets go."""
    for other in [other for other in _held if other[0] != key[0]]:
        del _held[other]
    if key not in _held:
        _held[key] = make()
    return _held[key]  # type: ignore[no-any-return]
