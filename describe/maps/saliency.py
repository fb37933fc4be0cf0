"""saliency(t) = |x(t) W_V W_O| / |x(t)| of every head: of all tokens, and the largest by way of a low precision.

W_V W_O is never formed. With the QR decomposition W_O^T = Q R, |z W_O| = |z R^T| for every z = x W_V, so saliency costs
dh (d + dh) multiply-adds a token and head instead of d * d; heads that share W_V share z.

In a low precision, marked ~, with u its unit of rounding and g that of sums (as in `describe.maps.low_precision`),
|x W_V R^T| is off by at most

    u |x| |W_V R^T| + |x| |(W_V - W_V~) R^T| + g |x| |W_V| |R| + |z| (u |R| + |R - R~| + g |R|)

and by u of itself twice, as x W_V R^T is returned and then its norm (|.| of a matrix: a bound of its largest singular
value, but beside g the root of the sum of squares). Tokens that may be among the most salient for all that are computed
again in float64; where there are very many of them, as in random weights, whose saliencies are nearly equal, all are
looked at in float32 before.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.maps.blocks import BLOCK, blocks, in_blocks
from describe.maps.low_precision import SLACK, full_sums, quickest, scaled, unit
from describe.maps.screening import largest
from describe.maps.vectors import SourceVectors

__all__ = ["MostSalient", "exact_saliency", "most_salient", "saliencies"]

CROWDED = 4
"""One in so many tokens a group of heads is the most that a precision may leave open, before the next one looks."""

SUMMED = 512
"""Numbers that are summed in one go in float32: the bound on rounding grows with them, and of a wide model it would
leave nearly everything open. In bfloat16 each part would be rounded as it is returned."""

ODD = 1e12
"""Source vectors so many times longer or shorter than 1 are taken in float64 at once: their squares may be none."""


@dataclass(frozen=True)
class MostSalient:
    """The most salient tokens of each head.

    Attributes:
        tokens: strongest first, (H, n), and ``saliency`` theirs.
        factors: R^T of each head, (dh, rank), by which that of other tokens is computed.
        computed: how many were computed in full.
    """

    tokens: Tensor
    saliency: Tensor
    factors: list[Tensor]
    computed: int


def most_salient(
    x: SourceVectors,
    value: Tensor,
    output: Tensor,
    n: int,
    numbers: int = BLOCK,
    screens: tuple[torch.dtype, ...] | None = None,
) -> MostSalient:
    """The n most salient tokens of heads with ``value`` (G, d, dh) and ``output`` (H, dh, d); equal ones by id.

    ``screens``: the precisions to look in, each where the one before leaves too much open; by default the device's
    quickest and that of ``x``. Raises `CheckpointError` when the matrices are not finite.
    """
    kinds = (quickest(x.norms.device.type, x.norms.dtype), x.norms.dtype) if screens is None else screens
    factors = [_factor(matrix) for matrix in output]
    candidates: list[Tensor] = []
    for dtype in dict.fromkeys(kinds):
        candidates = _Heads(value, factors, dtype).open(x, n, numbers)
        if CROWDED * sum(len(tokens) for tokens in candidates) <= len(value) * len(x.norms):
            break
    per_group, found, saliency = len(output) // len(value), [], []
    for head, tokens in enumerate(candidates):
        exact = exact_saliency(x, value[head // per_group], factors[head], tokens, numbers)
        largest_of, places = largest(exact[None], n)
        found.append(tokens[places[0]])
        saliency.append(largest_of[0])
    computed = sum(len(tokens) for tokens in candidates)
    return MostSalient(torch.stack(found), torch.stack(saliency), factors, computed)


def exact_saliency(x: SourceVectors, value: Tensor, factor: Tensor, tokens: Tensor, numbers: int = BLOCK) -> Tensor:
    """saliency of a head with ``value`` (d, dh) and the ``factor`` of its output at tokens (p,), in float64 where the
    device has it, returned in the precision of ``x``. A zero source vector has saliency 0."""
    through = value.to(factor)
    found = torch.empty(len(tokens), device=x.norms.device, dtype=x.norms.dtype)

    def fill(block: slice) -> None:
        rows = x.of(tokens[block]).to(factor)
        lengths = torch.linalg.vector_norm(rows, dim=1)
        found[block] = torch.linalg.vector_norm(rows @ through @ factor, dim=1).div_(lengths).to(found)

    in_blocks(len(tokens), len(value), fill, numbers=numbers)
    return found.masked_fill_(x.norms[tokens] == 0, 0)


def _factor(output: Tensor) -> Tensor:
    """R^T (dh, rank) of a head with ``output`` (dh, d), in float64 where the device has it."""
    full = output.dtype if output.device.type == "mps" else torch.float64
    found: Tensor = torch.linalg.qr(output.to(full).mT, mode="r").R
    return found.mT


def odd(norms: Tensor) -> Tensor:
    """Which source vectors are computed in float64 at once."""
    return (norms > ODD) | ((norms < 1 / ODD) & (norms > 0))


class _Heads:
    """Heads in a low precision: W_V side by side, R^T side by side for the heads that share a group.

    Attributes:
        per_group: heads of a group.
        returned: how far a saliency may be off of itself.
    """

    def __init__(self, value: Tensor, factors: list[Tensor], dtype: torch.dtype) -> None:
        n_groups, d, dh = value.shape
        self.per_group, self._dtype = len(factors) // n_groups, dtype
        factor = torch.stack([scaled(each.flatten()).view(dh, -1) for each in factors])
        full = factor.dtype
        self._rank = factor.shape[2]
        low_factor = factor.to(dtype)
        by_group = low_factor.view(n_groups, self.per_group, dh, self._rank)
        self._factors = by_group.transpose(1, 2).flatten(2)
        self._joined = torch.empty(d, n_groups * dh, device=value.device, dtype=dtype)
        squares = torch.empty(2, n_groups, dh, dh, device=value.device, dtype=full)  # of W_V, and of what it lost
        for group, matrix in enumerate(value):
            whole = scaled(matrix.to(full).flatten()).view(d, dh)
            low = whole.to(dtype)
            self._joined[:, group * dh : (group + 1) * dh] = low
            for found, part in zip(squares, (whole, whole - low.to(full)), strict=True):
                found[group] = part.mT @ part
        sums = torch.finfo(torch.promote_types(dtype, torch.float32)).eps
        self._lost = unit(dtype) if dtype == torch.bfloat16 else 0.0
        self.returned = 2 * self._lost + (self._rank + 16) * sums
        kept, gone = squares.repeat_interleave(self.per_group, 1)
        size_of_value = kept.diagonal(dim1=1, dim2=2).sum(1).sqrt()
        of_factor, of_lost = (spectral(part.mT @ part) for part in (factor, factor - low_factor.to(full)))
        self._of_x = self._lost * spectral(factor.mT @ kept @ factor) + spectral(factor.mT @ gone @ factor)
        self._parts = [slice(0, d)] if dtype == torch.bfloat16 else list(blocks(d, 1, SUMMED))
        summed = self._parts[0].stop + len(self._parts) + 16
        self._of_x += summed * sums * size_of_value * of_factor
        self._of_z = self._lost * of_factor + of_lost + (dh + 16) * sums * torch.linalg.matrix_norm(factor)

    def open(self, x: SourceVectors, n: int, numbers: int) -> list[Tensor]:
        """The tokens of each head that may be among its n most salient."""
        about, off = self._look(x, numbers)
        if not bool(torch.isfinite(about).all()):
            raise CheckpointError("the value or output matrices hold values that are not finite (NaN or infinity)")
        reached = about.topk(n, dim=1).values[:, -1]
        bar = (reached * (1 - self.returned) - 2 * off) / (1 + self.returned)
        extraordinary = odd(x.norms)
        return [((of >= least) | extraordinary).nonzero()[:, 0] for of, least in zip(about, bar, strict=True)]

    def _look(self, x: SourceVectors, numbers: int) -> tuple[Tensor, Tensor]:
        """Saliencies times a factor of each head, (H, V), and how far those of a head may be off, (H,)."""
        n_heads = len(self._of_x)
        n_groups, _, of_group = self._factors.shape
        found = torch.empty(n_heads, len(x.norms), device=x.norms.device, dtype=x.norms.dtype)
        lengths = x.norms.new_zeros(n_groups)

        def fill(block: slice) -> None:
            rows = x.in_precision(block, self._dtype)
            with full_sums():
                read = rows[:, self._parts[0]] @ self._joined[self._parts[0]]
                for part in self._parts[1:]:
                    read += rows[:, part] @ self._joined[part]
            by_group = read.view(len(read), n_groups, -1)
            norms = torch.linalg.vector_norm(by_group, dim=2).to(x.norms) / x.norms[block, None]
            torch.maximum(lengths, norms.nan_to_num_(0, 0, 0).amax(dim=0), out=lengths)
            for group in range(n_groups):
                with full_sums():
                    written = by_group[:, group] @ self._factors[group]
                norms = torch.linalg.vector_norm(written.view(-1, self.per_group, self._rank), dim=2)
                found[group * self.per_group : (group + 1) * self.per_group, block] = norms.T.to(found)

        in_blocks(len(x.norms), max(2 * n_groups * of_group, self._joined.shape[0]), fill, numbers=numbers)
        found.div_(x.norms).masked_fill_((x.norms == 0) | odd(x.norms), 0)
        longest = lengths.repeat_interleave(self.per_group)
        return found, (SLACK + 4 * self._lost) * (self._of_x.to(found) + longest * self._of_z.to(found))


def spectral(squares: Tensor) -> Tensor:
    """An upper bound, a seventh too large or less, of the largest singular value of each matrix whose products with
    itself these are, (n,)."""
    scale = torch.linalg.matrix_norm(squares)
    powers = squares / scale.clamp_min(torch.finfo(scale.dtype).tiny)[:, None, None]
    for _ in range(3):
        powers = powers @ powers
    found: Tensor = torch.linalg.matrix_norm(powers).pow(0.125).mul(scale).sqrt()
    return found * SLACK


def saliencies(x: SourceVectors, value: Tensor, output: Tensor, numbers: int = BLOCK) -> Tensor:
    """saliency(t) of every head and token, (H, V). A zero source vector has saliency 0."""
    n_groups, d, dh = value.shape
    per_group = output.shape[0] // n_groups
    joined = value.transpose(0, 1).reshape(d, n_groups * dh)
    # R^T of each head, side by side for the heads that share a group: (G, dh, per_group * rank)
    factor = torch.stack([torch.linalg.qr(matrix.mT, mode="r").R.mT for matrix in output])
    rank = factor.shape[-1]
    factors = factor.reshape(n_groups, per_group, dh, rank).transpose(1, 2).flatten(2)
    saliency = torch.empty(output.shape[0], len(x.norms), device=x.norms.device, dtype=x.norms.dtype)

    def fill(block: slice) -> None:
        read = x.of(block) @ joined
        for group in range(n_groups):
            written = read[:, group * dh : (group + 1) * dh] @ factors[group]
            norms = torch.linalg.vector_norm(written.view(-1, per_group, rank), dim=2)
            saliency[group * per_group : (group + 1) * per_group, block] = norms.T

    in_blocks(len(x.norms), max(2 * output.shape[0] * rank, d), fill, numbers=numbers)
    return saliency.div_(x.norms).masked_fill_(x.norms == 0, 0)
