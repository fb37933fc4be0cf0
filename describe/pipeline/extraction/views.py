"""Layers as a reading sees them: the one place where a reading becomes tensors.

Of the paper's reading all layers share one view of the whole vocabulary. Of the reading ``direct`` each has its own:
source vectors of the tokens that count, by running the model on each of them alone, and U with the gains that the
layer's output meets. Vectors of a layer are there until the next layer is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from describe.errors import CheckpointError, NotFiniteError
from describe.inference.lens import OutputLens
from describe.maps import KeptRows, LayerView, Rows, ScratchRows, SourceVectors, source_vectors, whole_vocabulary
from describe.maps.blocks import blocks
from describe.pipeline.common import Progress, silent
from describe.pipeline.extraction.compute import Means, kept_sources, kept_unembed
from describe.pipeline.extraction.kept_vectors import StreamVectors
from describe.pipeline.extraction.lenses import output_lens
from describe.pipeline.extraction.memory import room
from describe.pipeline.extraction.stream_state import StreamState
from describe.readings import PAPER, Reading
from describe.weights import HeadWeights
from describe.weights.learnt import chosen_tokens
from describe.weights.output_path import Lens, OutputPath
from describe.weights.words import word_numbers

__all__ = ["layer_views", "readable", "stream_sources"]

SHARE = 0.4
"""The share of the memory there is that rows of tokens may take together."""


def readable(weights: HeadWeights, reading: Reading) -> tuple[Reading, str]:
    """The reading as far as this model can be read by it, and why not all the way, in words, or nothing.

    Where the model cannot be run, heads are taken to read ``x`` instead of the residual stream. Raises `NotFiniteError`
    where values of its first layer are no numbers.
    """
    if reading.source != "stream":
        return reading, ""
    from describe.inference.from_files import open_layerwise

    try:
        model = open_layerwise(weights, torch.zeros(1, dtype=torch.long), torch.device("cpu"), torch.float32)
        with model.ready(0):
            pass
    except NotFiniteError:
        raise
    except CheckpointError as error:
        return replace(reading, source="x", openings=()), str(error)
    return reading, ""


def layer_views(
    model: str,
    weights: HeadWeights,
    reading: Reading,
    layers: Sequence[int],
    means: Means,
    progress: Progress = silent,
) -> Iterator[tuple[int, LayerView]]:
    """Each of the layers, ascending, as a reading sees it.

    Args:
        model: MODEL, whose weights these are.
        progress: told how many layers tokens have passed, where the model is run.

    Vectors of a view hold until the next is asked for. Raises `CheckpointError` where the model cannot be run and the
    reading needs it (see `readable`), `InputError` when the memory or `Reading.tokens` does not do.
    """
    layers = sorted(layers)
    if not layers:
        return
    if reading == PAPER:
        plan = means.plan(weights, layers=1)
        view = whole_vocabulary(kept_sources(weights, means, plan), kept_unembed(weights, means, plan))
        yield from ((layer, view) for layer in layers)
        return
    ids = chosen_tokens(weights, reading.tokens, reading.largest).ids
    tokens = ids.to(means.device)
    words = word_numbers(weights.tokens, ids).to(means.device)
    places = _Places(means, 3 + len(reading.openings), len(ids), weights.info.d_model)
    lens = output_lens(weights, reading, ids, means, progress) if reading.lens else None
    written = _Output(weights, reading, ids, places, lens)
    read = _streams if reading.source == "stream" else _from_embeddings
    for layer, x, mean in read(weights, reading, ids, layers, means, places, progress):
        yield layer, LayerView(x, tokens, written.of(layer), tokens, mean, words)


def _streams(
    weights: HeadWeights,
    reading: Reading,
    ids: Tensor,
    layers: Sequence[int],
    means: Means,
    places: _Places,
    progress: Progress,
) -> Iterator[tuple[int, SourceVectors, Tensor | None]]:
    """The normed input of attention at each token behind the openings, layer by layer."""
    for layer, vectors in stream_sources(weights, reading, ids, layers, means, places.keep, progress):
        yield layer, *_centred(vectors, reading, means)


def stream_sources(
    weights: HeadWeights,
    reading: Reading,
    ids: Tensor,
    layers: Sequence[int],
    means: Means,
    keep: Callable[[tuple[int, int]], KeptRows] | None = None,
    progress: Progress = silent,
) -> Iterator[tuple[int, KeptRows]]:
    """The source vectors of tokens ``ids`` (n,) in each of the layers, ascending, (n, d), as the model reads them
    behind the reading's openings, their mean not taken off; what was killed goes on, and what is kept is not run again.

    ``keep``: where they are kept, until the next layer is asked for. Raises `CheckpointError` where the model cannot
    be run.
    """
    openings = [weights.opening_ids(text) for text in reading.openings]
    keep = keep or (lambda shape: torch.empty(shape, device=means.device, dtype=means.dtype))
    kept = StreamVectors(weights.info, openings, ids, means.device, means.dtype)
    in_memory = isinstance(keep((1, weights.info.d_model)), Tensor)
    missing, total = list(layers), max(layers) + 1
    while missing and in_memory and (known := kept.load(missing[0])) is not None:
        layer = missing.pop(0)
        yield layer, known
        progress("read", layer + 1, total)
    if not missing:
        return
    from describe.inference.from_files import open_layerwise
    from describe.inference.stream import Standing, stream_vectors

    def passed(standing: Standing) -> None:
        progress("read", standing.layer, total)
        state.keep(standing)

    before = torch.tensor([token for opening in openings for token in opening], dtype=torch.long)
    running = open_layerwise(weights, torch.cat([ids, before]), means.device, means.dtype)
    state = StreamState(weights.info.content_hash, openings, ids, means.dtype)
    standing = state.load(missing[0], keep, weights.info.d_model, means.device)
    progress("read", 0 if standing is None else standing.layer, total)
    for layer, vectors in stream_vectors(
        running, openings, ids, missing, keep=keep, block=means.block, standing=standing, passed=passed
    ):
        if isinstance(vectors, Tensor):
            kept.save(layer, vectors, len(layers))
        yield layer, vectors
    state.remove()


def _from_embeddings(
    weights: HeadWeights,
    reading: Reading,
    ids: Tensor,
    layers: Sequence[int],
    means: Means,
    places: _Places,
    progress: Progress,
) -> Iterator[tuple[int, SourceVectors, Tensor | None]]:
    """x or E of each token, the same in all layers."""
    embed, shape = _Chosen(weights.embed, ids), (len(ids), weights.info.d_model)
    kept = places.keep(shape)
    if reading.source == "x":
        plan, mlp = means.plan(weights, layers=1), weights.first_mlp
        source_vectors(embed, mlp, means.device, means.dtype, keep=kept, parts=plan.parts, block=plan.block)
    else:
        for rows in blocks(*shape, means.block):
            kept[rows] = embed[rows].to(means.device, means.dtype)
    x, mean = _centred(kept, reading, means)
    yield from ((layer, x, mean) for layer in layers)


def _centred(vectors: KeptRows, reading: Reading, means: Means) -> tuple[SourceVectors, Tensor | None]:
    """Source vectors with their norms, and their mean, which is taken off them where the reading says so."""
    n, d = vectors.shape
    mean = None
    if reading.centred:
        sums = torch.zeros(d, device=means.device, dtype=torch.float64)
        for rows in blocks(n, d, means.block):
            sums += vectors[rows].to(means.device).sum(0, dtype=torch.float64)
        mean = (sums / n).to(means.dtype)
    norms = torch.empty(n, device=means.device, dtype=means.dtype)
    for rows in blocks(n, d, means.block):
        part = vectors[rows].to(means.device)
        if mean is not None:
            part = part - mean
            vectors[rows] = part
        norms[rows] = torch.linalg.vector_norm(part, dim=1)
    return SourceVectors(vectors, norms), mean


class _Output:
    """U transposed, of the tokens that count, with the gains folded in that a layer's output meets."""

    def __init__(
        self, weights: HeadWeights, reading: Reading, ids: Tensor, places: _Places, lens: OutputLens | None
    ) -> None:
        self._weights, self._gains, self._lens = weights, reading.gains, lens
        stored = _Chosen(weights.unembed, ids)
        self._rows: Rows = stored
        if places.in_memory:
            self._rows = stored[slice(None)].to(places.device, places.dtype)
        self._last: tuple[OutputPath, Rows] | None = None

    def of(self, layer: int) -> Rows:
        """The rows (m, d) of a layer, whose product with what a head writes is the logits but for scales."""
        if not self._gains:
            return self._rows
        path = self._weights.output_path(layer, None if self._lens is None else Lens(self._lens.maps[layer]))
        if self._last is None or not self._last[0].equals(path):
            folded = path.folded(self._rows) if isinstance(self._rows, Tensor) else _Folded(self._rows, path)
            self._last = path, folded
        return self._last[1]


@dataclass(frozen=True)
class _Chosen:
    """Some rows of a matrix, by their numbers (n,), read when asked for."""

    whole: Rows
    ids: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.ids), self.whole.shape[1]

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        return self.whole[self.ids[rows.cpu() if isinstance(rows, Tensor) else rows]]


@dataclass(frozen=True)
class _Folded:
    """Rows of U with the way of a layer's output folded in when they are read."""

    stored: Rows
    path: OutputPath

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        return self.path.folded(self.stored[rows])


class _Places:
    """Where rows of tokens are kept: on the device if there is room for ``copies`` of (n, d), else in scratch files."""

    def __init__(self, means: Means, copies: int, n: int, d: int) -> None:
        self.device, self.dtype = means.device, means.dtype
        self.in_memory = copies * n * d * means.dtype.itemsize <= SHARE * room(means.memory, means.device)

    def keep(self, shape: tuple[int, int]) -> KeptRows:
        """Rows that can be written and read."""
        if self.in_memory:
            return torch.empty(shape, device=self.device, dtype=self.dtype)
        return ScratchRows(shape, self.dtype)
