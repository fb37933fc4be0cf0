"""How large a model can be: what is beyond that is a mistake or an attack, whoever says it."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["check_sizes"]

MOST = {
    "n_layers": 1_000,
    "n_heads": 1_000,
    "n_kv_heads": 1_000,
    "d_model": 1 << 20,
    "d_head": 1 << 16,
    "vocab_size": 1 << 24,
}
"""Eight to sixty times those of the largest models known in November 2026."""

MOST_HEADS = 100_000
"""Of all layers together: a page shows them all."""


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Raise ValueError for sizes, by their names in `describe.records.ModelInfo`, that no model has."""
    for name, size in sizes.items():
        if not 1 <= size <= MOST[name]:
            raise ValueError(f"{name} is {size}, and models have 1 to {MOST[name]:,}")
    if sizes["n_layers"] * sizes["n_heads"] > MOST_HEADS:
        raise ValueError(f"{sizes['n_layers']} layers of {sizes['n_heads']} heads are more than any model has")
    if sizes["n_heads"] % sizes["n_kv_heads"]:
        raise ValueError(f"{sizes['n_heads']} heads cannot share {sizes['n_kv_heads']} value matrices")
