"""A model whose readings are measured: its tokens, its source vectors behind each opening, its layers as readings see
them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from describe.inference import Runner
from describe.inference.layerwise import LayerwiseModel
from describe.inference.stream import stream_vectors
from describe.maps import LayerView, SourceVectors, source_vectors
from describe.weights import HeadWeights
from describe.weights.learnt import chosen_tokens
from describe.weights.output_path import OutputPath
from describe.weights.words import word_numbers

__all__ = ["OPENINGS", "Subject", "Variant"]

CPU = torch.device("cpu")
OPENINGS = ("", "The", "The first and", "It is")
"""Texts that stand before a token, with whatever the tokenizer puts before any text."""

Tokens = Literal["all", "commonest", "learnt"]


@dataclass(frozen=True)
class Variant:
    """A reading, one part at a time.

    Attributes:
        source: ``E`` normed, ``x`` as the paper has it, or ``stream``.
        openings: of which the stream is the mean.
        gain: ``E`` or ``x`` is multiplied by the gain of the layer's norm, which is in ``stream`` anyway.
        centred: the mean over tokens is off.
        gains: what stands between heads and logits is folded into U.
        lens: strength of the ridge by which the output lens is fitted; None without a lens.
        tokens: which count.
        order: of the rows that the figure is read from.
    """

    source: Literal["E", "x", "stream"]
    openings: tuple[str, ...] = ()
    gain: bool = False
    centred: bool = True
    gains: bool = True
    lens: float | None = None
    tokens: Tokens = "learnt"
    order: Literal["saliency", "distinctness"] = "saliency"


class Subject:
    """A model to be measured.

    Args:
        largest: how many of the learnt tokens count, at most.
        also: further tokens whose source vectors are wanted.

    Attributes:
        ids: the tokens that have source vectors, (n,), ascending.
    """

    def __init__(self, weights: HeadWeights, runner: Runner, largest: int, also: Sequence[int]) -> None:
        self.weights, self._runner = weights, runner
        self.learnt = chosen_tokens(weights, "learnt", largest).ids
        never = weights.pieces.never
        common = [token for token in weights.pieces.order if token not in never][: len(self.learnt)]
        self.commonest = torch.tensor(sorted(common))
        self.ids = torch.unique(torch.cat([self.learnt, self.commonest, torch.tensor(sorted(also), dtype=torch.long)]))
        self._embed = weights.embed[self.ids].float()
        self.streams: dict[str, Tensor] = {}

    def read_streams(self, openings: Sequence[str], told: Callable[[str], None]) -> None:
        """Keep the vectors that the layers' heads read behind each opening, (L, n, d) in half precision."""
        info = self.weights.info
        model = LayerwiseModel(self._runner)
        for text in openings:
            kept = torch.empty(info.n_layers, len(self.ids), info.d_model, dtype=torch.float16)
            opening = self.weights.opening_ids(text)
            for layer, vectors in stream_vectors(model, [opening], self.ids, range(info.n_layers)):
                kept[layer] = vectors[:].half()
            self.streams[text] = kept
            told(f"streams behind '{text}'")

    @cached_property
    def gains(self) -> list[Tensor]:
        """The gain of the norm before each layer's attention, (d,): what the norm makes of ones."""
        ones = torch.ones(1, 1, self.weights.info.d_model)
        with torch.no_grad():
            return [self._runner.layer(i).input_layernorm(ones)[0, 0] for i in range(self.weights.info.n_layers)]

    @cached_property
    def x(self) -> Tensor:
        """x of every row of E, (V, d)."""
        weights = self.weights
        found = source_vectors(weights.embed, weights.first_mlp, CPU, torch.float32).vectors
        return found[:]

    def tokens(self, variant: Variant) -> Tensor:
        """The ids of the tokens that count."""
        every = torch.arange(self.weights.info.vocab_size)
        return {"all": every, "commonest": self.commonest, "learnt": self.learnt}[variant.tokens]

    def sources(self, variant: Variant, layer: int, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The source vectors of tokens (n, d), and the mean that is off them, (d,), over the tokens that count."""
        found, mean = self._read(variant, layer, tokens), torch.zeros(self.weights.info.d_model)
        if variant.centred:
            mean = self._read(variant, layer, self.tokens(variant)).mean(0)
        return found - mean, mean

    def _read(self, variant: Variant, layer: int, tokens: Tensor) -> Tensor:
        if variant.source == "stream":
            places = torch.searchsorted(self.ids, tokens)
            return torch.stack([self.streams[text][layer][places].float() for text in variant.openings]).mean(0)
        if variant.source == "x":
            found = self.x[tokens]
        else:
            found = self._embed[torch.searchsorted(self.ids, tokens)]
            found = found / found.square().mean(1, keepdim=True).sqrt()
        return found * self.gains[layer] if variant.gain else found

    def unembed(self, variant: Variant, layer: int, tokens: Tensor) -> Tensor:
        """U transposed of some tokens as the variant sees it from a layer, (m, d)."""
        rows = self.weights.unembed[tokens].float()
        if not variant.gains:
            return rows
        path, last = self.weights.output_path(layer).steps, self.weights.info.n_layers - 1
        if variant.lens is None or layer == last:
            return OutputPath(path).folded(rows)
        return OutputPath(path[:-1]).folded(path[-1].back(rows) @ self.lens(layer, variant.lens).mT)

    def lens(self, layer: int, ridge: float) -> Tensor:
        """The map (d, d) from the residual stream behind a layer to that before the last one, each normed: the ridge
        regression over all tokens behind all openings, means off; ``ridge`` in mean variances."""
        behind, before_last = (
            torch.cat([self._normed(text, at) for text in self.streams]) for at in (layer + 1, len(self.gains) - 1)
        )
        squares = behind.mT @ behind
        squares += ridge * squares.diagonal().mean() * torch.eye(len(squares))
        found: Tensor = torch.linalg.solve(squares.double(), (behind.mT @ before_last).double()).float()
        return found

    def _normed(self, opening: str, layer: int) -> Tensor:
        found = self.streams[opening][layer].float() / self.gains[layer]
        return found - found.mean(0)

    def view(self, variant: Variant, layer: int) -> LayerView:
        """A layer as a variant sees it."""
        tokens = self.tokens(variant)
        vectors, mean = self.sources(variant, layer, tokens)
        x = SourceVectors(vectors, torch.linalg.vector_norm(vectors, dim=1))
        words = None if variant.tokens == "all" else word_numbers(self.weights.tokens, tokens)
        rows = self.unembed(variant, layer, tokens)
        return LayerView(x, tokens, rows, tokens, mean if variant.centred else None, words)
