"""Source vectors: what a head reads for a token. The paper's, x(t) = MLP_0(norm(E[t])), are computed here."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.maps.blocks import BLOCK, KeptRows, Rows, blocks, in_blocks
from describe.maps.low_precision import RoundedRows
from describe.weights.model import FirstMLP

__all__ = ["SourceVectors", "source_vectors"]


@dataclass(frozen=True)
class SourceVectors:
    """The source vectors of a vocabulary: ``vectors`` (V, d) wherever they are kept, ``norms`` (V,) on the device."""

    vectors: Rows
    norms: Tensor

    def of(self, tokens: slice | Tensor) -> Tensor:
        """Those of a block of tokens, or of tokens by their ids, on the device."""
        if isinstance(tokens, Tensor):
            whole = self.vectors.whole if isinstance(self.vectors, RoundedRows) else self.vectors
            tokens = tokens.to(whole.device if isinstance(whole, Tensor) else "cpu")
        return self.vectors[tokens].to(self.norms.device)

    def rounded(self) -> SourceVectors:
        """These with a copy in a low precision at hand, where they are kept on the device."""
        return SourceVectors(RoundedRows.of(self.vectors), self.norms) if isinstance(self.vectors, Tensor) else self

    def in_precision(self, block: slice, dtype: torch.dtype) -> Tensor:
        """Those of a block of tokens, on the device, in a precision."""
        vectors = self.vectors
        if isinstance(vectors, RoundedRows) and vectors.low.rows.dtype == dtype:
            return vectors.low.rows[block]
        return self.of(block).to(dtype)


def source_vectors(
    embed: Rows,
    mlp: FirstMLP,
    device: torch.device,
    dtype: torch.dtype,
    *,
    keep: KeptRows | None = None,
    parts: int = 1,
    block: int = BLOCK,
) -> SourceVectors:
    """x(t) = MLP_0(norm(E[t])) for every token t: E (V, d) in any precision to vectors (V, d) in ``dtype``.

    Args:
        keep: where to keep them; by default in the device's memory.
        parts: of how many parts of the MLP only one is on the device at a time.
        block: numbers in the largest temporary.

    Raises `CheckpointError` when the weights hold values that are not finite.
    """
    vectors = torch.empty(embed.shape, device=device, dtype=dtype) if keep is None else keep
    norms = torch.empty(embed.shape[0], device=device, dtype=dtype)
    together = embed.shape[0] if isinstance(vectors, Tensor) else max(1, 16 * block // embed.shape[1])
    for rows in blocks(embed.shape[0], 1, together):
        _fill(vectors, norms, embed, mlp, rows, parts, block)
    if not bool(torch.isfinite(norms).all()):
        raise CheckpointError("the embeddings or the first MLP hold values that are not finite (NaN or infinity)")
    return SourceVectors(vectors, norms)


def _fill(
    vectors: KeptRows, norms: Tensor, embed: Rows, mlp: FirstMLP, rows: slice, n_parts: int, numbers: int
) -> None:
    """Compute some rows of the source vectors, with one part of the MLP after another."""
    device, dtype, length = norms.device, norms.dtype, rows.stop - rows.start
    sums = vectors[rows].zero_() if isinstance(vectors, Tensor) else torch.zeros(length, embed.shape[1], dtype=dtype)
    for part in mlp.parts(n_parts):
        moved = part.to(device, dtype)

        def add(block: slice, moved: FirstMLP = moved) -> None:
            stored = embed[rows.start + block.start : rows.start + block.stop]
            sums[block] += moved(stored.to(device, dtype)).to(sums.device)

        in_blocks(length, max(moved.width, embed.shape[1]), add, numbers=numbers)
        del moved
    if mlp.after is not None:
        for block in blocks(length, embed.shape[1], numbers):
            sums[block] = mlp.after.to(sums.device, dtype)(sums[block])
    norms[rows] = torch.linalg.vector_norm(sums, dim=1).to(device)
    if not isinstance(vectors, Tensor):
        vectors[rows] = sums
