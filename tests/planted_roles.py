"""A small vocabulary of classes, and heads in which so many maps between classes are planted: what roles to find."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from describe.maps import SourceVectors, cluster_rows, output_space, random_head
from describe.maps.roles import DRAWS, OutputSpace, RandomHead, correlations, singular_values, written
from describe.weights.model import LayerWeights

V, D, DH, CLASSES = 1600, 64, 16, 40
SHOWN, ROWS = 30, 60


@dataclass(frozen=True)
class World:
    """Source vectors, U transposed, the class of each token, and the random heads that all heads are held against."""

    x: SourceVectors
    unembed: Tensor
    classes: Tensor
    space: OutputSpace
    random: list[RandomHead]
    draw: torch.Generator


def world(seed: int) -> World:
    """Tokens that share a direction with those of their class, as the words of a kind do in trained models."""
    draw = torch.Generator().manual_seed(seed)
    classes = torch.arange(V) % CLASSES

    def tokens() -> Tensor:
        of_class = torch.randn(CLASSES, D, generator=draw)[classes]
        lengths = (0.25 * torch.randn(V, 1, generator=draw)).exp()
        return (of_class + 1.2 * torch.randn(V, D, generator=draw)) * lengths / D**0.5

    embed, unembed = tokens(), tokens()
    x = SourceVectors(embed, embed.norm(dim=1))
    space = output_space(unembed, 5, torch.device("cpu"))
    return World(x, unembed, classes, space, [random_head(x, space, DH, number) for number in range(DRAWS)], draw)


def planted_head(of: World, maps: list[tuple[int, int, int]], noise: float = 0.15) -> LayerWeights:
    """A head that reads each class (first) and writes another's direction (second), promoting or suppressing it."""
    read, out = torch.zeros(V, DH), torch.zeros(DH, D)
    for number, (source, target, sign) in enumerate(maps):
        read[of.classes == source, number] = 1
        direction = of.unembed[of.classes == target].mean(0)
        out[number] = sign * direction / direction.norm()
    value = torch.linalg.lstsq(of.x.vectors, read).solution
    strengths = [  # so that every class has its part of the most salient rows
        (of.x.vectors @ value)[of.classes == source, i].div(of.x.norms[of.classes == source]).topk(15).values.mean()
        for i, (source, _, _) in enumerate(maps)
    ]
    value[:, : len(maps)] /= torch.stack(strengths)
    return LayerWeights(_noisy(value, noise, of.draw)[None], _noisy(out, noise, of.draw)[None])


def random_weights(of: World) -> LayerWeights:
    """A head of Gaussian numbers."""
    return LayerWeights(torch.randn(1, D, DH, generator=of.draw), torch.randn(1, DH, D, generator=of.draw))


def clusters(of: World, head: LayerWeights) -> tuple[list[list[int]], Tensor]:
    """The clusters of a head's most salient rows, by the literal test: every random head looked at; and the rows."""
    rows = written(of.x.vectors, head, 0)
    top = (rows.norm(dim=1) / of.x.norms).topk(ROWS).indices
    split = cluster_rows(correlations(rows[top], of.space), SHOWN)
    singular = singular_values(head, 0, of.x.vectors)
    others = [cluster_rows(random.correlations(singular, ROWS), SHOWN).silhouette for random in of.random]
    if split.silhouette <= max(others):
        return [list(range(ROWS))], top
    return [(split.labels == label).nonzero()[0].tolist() for label in range(split.labels.max() + 1)], top


def _noisy(matrix: Tensor, noise: float, draw: torch.Generator) -> Tensor:
    random = torch.randn(matrix.shape, generator=draw)
    return matrix / matrix.norm() + noise * random / random.norm()
