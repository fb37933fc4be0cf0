"""The output lens: where what a layer writes stands in the residual stream behind the last layer.

A linear map a layer, by ridge regression over single tokens behind openings: from the residual stream behind the layer
to that behind the last one, both divided by their scales as the norms do, means off. Layers in between move what an
early head writes; the map moves it to where the unembedding reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from describe.inference.layerwise import LayerwiseModel
from describe.inference.stream import Standing, stream_vectors
from describe.maps.blocks import BLOCK, KeptRows

__all__ = ["OutputLens", "fit_lens"]

RIDGE = 0.1
"""The strength of the ridge, in mean variances of a dimension."""

ROWS = 16
"""Rows that a map is fitted to, at most, a dimension."""

HELD_OUT = 10
"""One row in so many tells how well a map fits, and has no part in it."""


@dataclass(frozen=True)
class OutputLens:
    """Maps (L, d, d): a row vector written into the stream of layer l stands at ``w @ maps[l]`` behind the last.

    Attributes:
        fit: of each layer the share of the variance behind the last layer that its map explains, in rows not fitted to.
    """

    maps: Tensor
    fit: tuple[float, ...]


def fit_lens(
    model: LayerwiseModel,
    openings: Sequence[Sequence[int]],
    tokens: Tensor,
    keep: Callable[[tuple[int, int]], KeptRows],
    *,
    block: int = BLOCK,
    passed: Callable[[Standing], None] | None = None,
) -> OutputLens:
    """The lens of a model, from some of the tokens behind the openings.

    Args:
        keep: where the streams of all layers are kept while the model runs, (n, d) each.
        passed: told of each layer that the tokens have passed.
    """
    most = max(1, ROWS * model.d_model // len(openings))
    tokens = tokens[:: max(1, -(-len(tokens) // most))]
    streams: list[KeptRows] = []

    def note(standing: Standing) -> None:
        kept = keep((len(openings) * len(tokens), model.d_model))
        for i, rows in enumerate(standing.tokens):
            kept[i * len(tokens) : (i + 1) * len(tokens)] = _scaled(rows[:].to(model.device))
        streams.append(kept)
        if passed is not None:
            passed(standing)

    for _ in stream_vectors(model, openings, tokens, block=block, passed=note):
        pass
    last = streams[-1][:].to(model.device)
    held_out = torch.arange(len(last), device=model.device) % HELD_OUT == 0
    maps, fit = [], []
    for rows in streams[:-1]:
        found, explained = _ridge(rows[:].to(model.device), last, held_out)
        maps.append(found)
        fit.append(explained)
    return OutputLens(torch.stack([*maps, torch.eye(model.d_model).to(last)]).cpu(), (*fit, 1.0))


def _scaled(rows: Tensor) -> Tensor:
    """Rows divided by their scale."""
    return rows / rows.square().mean(-1, keepdim=True).sqrt().clamp_min(torch.finfo(rows.dtype).tiny)


def _ridge(before: Tensor, behind: Tensor, held_out: Tensor) -> tuple[Tensor, float]:
    """The map (d, d) from rows (n, d) to others, means off, and the share of their variance that it explains."""
    x, y = before[~held_out].double(), behind[~held_out].double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    squares = x.mT @ x
    squares.diagonal().add_(RIDGE * squares.diagonal().mean())
    found = torch.linalg.solve(squares, x.mT @ y)
    expected = behind[held_out].double() - y_mean
    missed = expected - (before[held_out].double() - x_mean) @ found
    return found.to(before), float(1 - missed.square().sum() / expected.square().sum())
