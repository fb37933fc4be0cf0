"""The roles of a head: groups of its salient rows that write alike, each with what it promotes and what it suppresses.

A row is what the head writes for a source, w = x W_V W_O (d). Two rows are alike as their logits w U over the whole
vocabulary correlate,

    r(v, w) = v C w^T / sqrt(v C v^T  w C w^T)      C = covariance of U's columns (d, d)

since what a head adds to all logits alike changes nothing. Rows are clustered by 1 - r (average linkage), into the
number of clusters with the largest mean silhouette (Rousseeuw 1987). Such clusters are there in any head: the
sources that a head acts on most are alike by themselves. So the silhouette is held against that of random heads: the
same singular values between Haar-random axes, their most salient sources out of the same vocabulary, clustered in the
same way. A head has several roles where its silhouette is larger than in every one of `DRAWS` random heads, which a
head without roles comes to once in a hundred.

A role promotes where its rows reach farther up than a random direction does, and suppresses where farther down:

    reach(w) = mean of (w U - mean) / sd over the five largest logits (or the five smallest, their sign turned)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from describe.maps.blocks import BLOCK, Rows, blocks
from describe.maps.vectors import SourceVectors
from describe.weights.model import LayerWeights

__all__ = [
    "DRAWS",
    "LEAST_ROWS",
    "SETTINGS",
    "OutputSpace",
    "RandomHead",
    "Split",
    "cluster_rows",
    "correlations",
    "output_space",
    "random_head",
    "reach",
    "singular_values",
    "written",
]

DRAWS = 99
"""Random heads that a head is held against, at most: it has several roles at p = 1 / (1 + `DRAWS`), or not."""

LEAST_ROWS = 5
"""So many of the salient rows make a role; what a smaller cluster does is nobody's guess."""

MOST_CLUSTERS = 8
REACH_DRAWS, REACH_QUANTILE = 1000, 0.99
"""Random directions of the output space, and the share of them that a role must reach beyond."""

SETTINGS = {
    "version": 1,
    "draws": DRAWS,
    "least_rows": LEAST_ROWS,
    "most_clusters": MOST_CLUSTERS,
    "reach_quantile": REACH_QUANTILE,
}
"""Settings that roles depend on besides the head's rows; kept with them."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int_]


@dataclass(frozen=True)
class OutputSpace:
    """The output space as the vocabulary sees it: ``mean`` (d) and ``covariance`` (d, d) of U's columns.

    Attributes:
        reached: how far a random direction reaches, the quantile `REACH_QUANTILE`, in standard deviations.
    """

    mean: Tensor
    covariance: Tensor
    reached: float


class Split(NamedTuple):
    """Rows in clusters, by the cut with the largest mean ``silhouette``; 0 where no cut has two clusters that count.

    Attributes:
        labels: (n) from 0 in the order of each cluster's first row, -1 for rows of none; all 0 without a cut.
    """

    labels: Ints
    silhouette: float


@dataclass(frozen=True)
class RandomHead:
    """The axes along which all random heads of a draw read and write, whatever their singular values.

    Attributes:
        read: the parts of each x / |x| along the axes that are read, (V, dh).
        write: v C w^T of the axes that are written, (dh, dh).
    """

    read: Tensor
    write: Tensor

    def correlations(self, singular: Tensor, n: int) -> Floats:
        """r between the n most salient rows of a head with these ``singular`` values (dh), (n, n)."""
        rows = self.read * singular
        top = torch.linalg.vector_norm(rows, dim=1).topk(min(n, len(rows))).indices
        rows = rows[top].double()
        return _normalised(rows @ self.write.double() @ rows.mT)


def output_space(unembed: Rows, k: int, device: torch.device, block: int = BLOCK) -> OutputSpace:
    """The output space of U transposed, (V, d), and how far random directions of it reach among k tokens.

    ``block``: numbers in the largest temporary.
    """
    size, d = unembed.shape

    def parts() -> Iterator[Tensor]:
        return (unembed[rows].to(device, torch.float64) for rows in blocks(size, d, block))

    mean = torch.stack([part.sum(0) for part in parts()]).sum(0) / size
    covariance = torch.zeros(d, d, dtype=torch.float64, device=device)
    for part in parts():
        part -= mean
        covariance += part.mT @ part
    covariance /= size
    space = OutputSpace(mean, covariance, 0.0)
    drawn = torch.randn(REACH_DRAWS, d, generator=torch.Generator().manual_seed(0)).to(device)
    largest = torch.full((REACH_DRAWS, k), -torch.inf, device=device)
    for rows in blocks(size, max(d, REACH_DRAWS), block):
        found = drawn @ unembed[rows].to(drawn).mT
        largest = torch.cat([largest, found.topk(min(k, found.shape[1]), dim=1).values], dim=1).topk(k, dim=1).values
    far = np.quantile(reach(drawn, space, largest), REACH_QUANTILE)
    return OutputSpace(mean, covariance, float(far))


def written(x: Tensor, layer: LayerWeights, head: int) -> Tensor:
    """w = x W_V W_O of one head of a layer, sources (n, d) to rows (n, d)."""
    per_group = len(layer.output) // len(layer.value)
    rows: Tensor = x @ layer.value[head // per_group].to(x) @ layer.output[head].to(x)
    return rows


def correlations(rows: Tensor, space: OutputSpace) -> Floats:
    """r between rows (n, d), (n, n)."""
    rows = rows.double()
    return _normalised(rows @ space.covariance @ rows.mT)


def reach(rows: Tensor, space: OutputSpace, logits: Tensor) -> Floats:
    """How far rows (n, d) reach among their extreme ``logits`` (n, k), in standard deviations over the vocabulary."""
    rows = rows.double()
    mean = rows @ space.mean
    deviation = ((rows @ space.covariance) * rows).sum(1).clamp_min(torch.finfo(torch.float64).tiny).sqrt()
    found: Floats = ((logits.double().mean(1) - mean) / deviation).cpu().numpy()
    return found


def singular_values(layer: LayerWeights, head: int, like: Tensor) -> Tensor:
    """The singular values of a head's W_V W_O, (dh), largest first; of the device and precision of ``like``."""
    per_group = len(layer.output) // len(layer.value)
    read = torch.linalg.qr(layer.value[head // per_group].to(like), mode="r").R
    write = torch.linalg.qr(layer.output[head].to(like).mT, mode="r").R
    found: Tensor = torch.linalg.svdvals(read @ write.mT)
    return found


def random_head(x: SourceVectors, space: OutputSpace, d_head: int, seed: int) -> RandomHead:
    """The axes of random heads: two Haar-random sets of dh orthonormal directions, one to read along, one to write."""
    source = torch.Generator().manual_seed(seed)
    d = x.vectors.shape[1]
    read, write = (_haar(d, min(d, d_head), source).to(x.norms) for _ in range(2))
    along = torch.cat([x.of(rows) @ read for rows in blocks(len(x.norms), d)])
    along = torch.where(x.norms[:, None] > 0, along / x.norms[:, None], 0)
    across = write.double().mT @ space.covariance @ write.double()
    return RandomHead(along, across)


def cluster_rows(r: Floats, shown: int) -> Split:
    """The rows whose correlations (n, n) are given, in clusters; the first ``shown`` are a head's salient rows.

    A cluster counts from `LEAST_ROWS` of the shown rows on; rows of smaller ones belong to none.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = 1 - r
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), "average")
    best = Split(np.zeros(len(r), dtype=np.int_), 0.0)
    for number in range(2, min(MOST_CLUSTERS, len(r) - 1) + 1):
        cut = fcluster(tree, number, "maxclust")
        found = Split(_kept(cut, shown), _silhouette(distance, cut))
        if found.labels.max() > 0 and found.silhouette > best.silhouette:
            best = found
    return best


def _silhouette(distance: Floats, labels: Ints) -> float:
    """The mean over rows of (b - a) / max(a, b): a from the own cluster, b from the nearest other; 0 for a single."""
    member = (labels == np.unique(labels)[:, None]).astype(float)  # (clusters, n)
    size, own = member.sum(1), member.argmax(0)
    sums = distance @ member.T
    each = np.arange(len(labels))
    inside = sums[each, own] / np.maximum(size[own] - 1, 1)
    means = sums / size
    means[each, own] = np.inf
    outside = means.min(1)
    scale = np.maximum(np.maximum(inside, outside), np.finfo(float).tiny)
    return float(np.where(size[own] > 1, (outside - inside) / scale, 0.0).mean())


def _kept(labels: Ints, shown: int) -> Ints:
    """The labels of clusters large enough, from 0 in the order of their first rows; -1 elsewhere."""
    kept = np.full(len(labels), -1, dtype=np.int_)
    for label in dict.fromkeys(labels.tolist()):
        if (labels[:shown] == label).sum() >= LEAST_ROWS:
            kept[labels == label] = kept.max() + 1
    return kept


def _normalised(products: Tensor) -> Floats:
    scale = products.diagonal().clamp_min(torch.finfo(products.dtype).tiny).sqrt()
    found: Floats = (products / scale[:, None] / scale).clamp(-1, 1).cpu().numpy()
    return found


def _haar(d: int, n: int, source: torch.Generator) -> Tensor:
    """n orthonormal directions (d, n), uniformly distributed (Mezzadri 2007)."""
    q, r = torch.linalg.qr(torch.randn(d, n, generator=source, dtype=torch.float64))
    signed: Tensor = q * r.diagonal().sign()
    return signed
