"""Stream vectors: the normed input of each layer's attention at a token that stands alone behind short openings.

The opening's keys and values are computed once a layer; a token is one position. All tokens go through one layer before
any goes through the next, so the vectors of one layer are there at a time, and that layer's weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from describe.errors import CheckpointError
from describe.inference.layerwise import LayerwiseModel
from describe.inference.opening import OpeningCache
from describe.maps.blocks import BLOCK, KeptRows

__all__ = ["Standing", "stream_vectors"]

LARGEST_BATCH = {"cpu": 1024, "others": 8192}
"""Tokens at once, at most: as many as it takes for full speed."""

Keep = Callable[[tuple[int, int]], KeptRows]
"""Where rows (n, d) are kept."""


@dataclass(frozen=True)
class Standing:
    """How far tokens are on their way through the layers: what a broken run goes on from.

    Attributes:
        layer: the next layer.
        openings: the residual stream of each opening's tokens before it, (1, p, d).
        tokens: that of the tokens behind each opening, (n, d).
    """

    layer: int
    openings: list[Tensor]
    tokens: list[KeptRows]


def stream_vectors(
    model: LayerwiseModel,
    openings: Sequence[Sequence[int]],
    tokens: Tensor,
    layers: Sequence[int] | None = None,
    *,
    keep: Keep | None = None,
    block: int = BLOCK,
    standing: Standing | None = None,
    passed: Callable[[Standing], None] | None = None,
) -> Iterator[tuple[int, KeptRows]]:
    """Each of the layers, ascending, with the source vectors of tokens, (n, d): the mean over openings of the normed
    input of its value projection.

    Args:
        openings: token ids that stand before the token, with whatever a text begins with.
        tokens: ids (n,).
        layers: by default all, of which the last then runs to its end, too.
        keep: where rows are kept; by default in the device's memory.
        block: numbers in the largest temporary.
        standing: where an earlier run was broken off.
        passed: told where the tokens stand, each time when they have passed a layer and its vectors were used.

    Vectors are overwritten when the next are asked for. Raises `CheckpointError` when they are not finite.
    """
    stops = layers is not None
    layers = range(model.n_layers) if layers is None else layers
    keep = keep or (lambda shape: torch.empty(shape, device=model.device, dtype=model.dtype))
    behind = [_Behind(model, opening, tokens, _batch(model, block)) for opening in openings]
    if standing is None:
        standing = Standing(0, [each.opening() for each in behind], [each.enter(keep) for each in behind])
    vectors = keep((len(tokens), model.d_model))
    for layer in range(standing.layer, max(layers) + 1):
        wanted, last = layer in layers, stops and layer == max(layers)
        with model.ready(layer) as module, torch.no_grad():
            openings_left = [
                each.fill(layer, module, stream) for each, stream in zip(behind, standing.openings, strict=True)
            ]
            for rows in behind[0].batches():
                read = [
                    each.step(layer, module, stream, rows, stop=last)
                    for each, stream in zip(behind, standing.tokens, strict=True)
                ]
                if wanted:
                    vectors[rows] = _finite(torch.stack(read).mean(0), layer)
            for each in behind:
                each.cache.forget(layer)
        standing = Standing(layer + 1, openings_left, standing.tokens)
        if wanted:
            yield layer, vectors
        if passed is not None:
            passed(standing)


class _Behind:
    """Tokens behind one opening: how layers are called with them, and what they read of the opening."""

    def __init__(self, model: LayerwiseModel, opening: Sequence[int], tokens: Tensor, batch: int) -> None:
        self._model, self._tokens = model, tokens.to(model.device)
        self._batch = min(batch, len(tokens))
        self._ids = torch.tensor([list(opening)], device=model.device)
        self.cache = OpeningCache(model.n_layers, len(opening))
        with torch.no_grad():
            self._opening_calls = model.calls(self._ids, self.cache) if opening else []
            self.cache.reading()
            self._calls = model.calls(self._padded(slice(0, self._batch))[:, None], self.cache)

    def batches(self) -> Iterator[slice]:
        """Slices over the tokens."""
        n = len(self._tokens)
        return (slice(start, min(start + self._batch, n)) for start in range(0, n, self._batch))

    def opening(self) -> Tensor:
        """The residual stream of the opening's tokens that enters the first layer, (1, p, d)."""
        if self._opening_calls:
            return self._opening_calls[0].stream
        return torch.empty(1, 0, self._model.d_model, device=self._model.device, dtype=self._model.dtype)

    def enter(self, keep: Keep) -> KeptRows:
        """The residual stream of the tokens that enters the first layer, (n, d)."""
        stream = keep((len(self._tokens), self._model.d_model))
        with torch.no_grad():
            for rows in self.batches():
                entering = self._model.entering(self._padded(rows)[:, None], self.cache)
                stream[rows] = entering[: rows.stop - rows.start, 0]
        return stream

    def fill(self, layer: int, module: nn.Module, stream: Tensor) -> Tensor:
        """The opening's residual stream behind a layer, which now knows its keys and values."""
        if not self._opening_calls:
            return stream
        self.cache.filling(layer)
        left = self._opening_calls[layer](module, stream.to(self._model.dtype))
        self.cache.reading(layer)
        return left

    def step(self, layer: int, module: nn.Module, stream: KeptRows, rows: slice, *, stop: bool) -> Tensor:
        """The input of the layer's heads at some tokens, (m, d); their residual stream is then that behind the layer,
        unless it is to ``stop`` there."""
        n = rows.stop - rows.start
        before = stream[rows].to(self._model.device, self._model.dtype, copy=True)
        if n < self._batch:
            before = torch.cat([before, before[:1].expand(self._batch - n, -1)])
        with self._model.read(layer, stop=stop) as read:
            behind = self._calls[layer](module, before[:, None])
            stream[rows] = behind[:n, 0]
        return read[0].reshape(self._batch, -1)[:n]

    def _padded(self, rows: slice) -> Tensor:
        """The ids of a batch, (B,); the last one filled up with its first token."""
        ids = self._tokens[rows]
        return torch.cat([ids, ids[:1].expand(self._batch - len(ids))])


def _batch(model: LayerwiseModel, block: int) -> int:
    """Tokens at once: an MLP of usual width makes a block of them."""
    most = LARGEST_BATCH["cpu" if model.device.type == "cpu" else "others"]
    return max(1, min(most, block // (4 * model.d_model)))


def _finite(vectors: Tensor, layer: int) -> Tensor:
    if not bool(torch.isfinite(vectors).all()):
        raise CheckpointError(f"the model gives values that are not finite (NaN or infinity) in layer {layer}")
    return vectors
