"""Where in a projection the values stand: of weights as they are stored, and of what a running module computes."""

from __future__ import annotations

import torch
from torch import Tensor

from describe.weights.family import Packing

__all__ = ["projection_size", "value_rows"]


def value_rows(packing: Packing, n_heads: int, n_groups: int, d_head: int) -> Tensor | slice:
    """The places of the values, n_groups times dh, among the outputs of a projection that may hold Q and K as well."""
    if packing in ("alone", "qkv"):
        return slice(-n_groups * d_head, None)
    every = torch.arange(projection_size(packing, n_heads, n_groups, d_head))
    if packing == "codegen":  # four parts, made for as many devices, of q, v and k each
        return every.view(4, 3, -1)[:, 1].flatten()
    return every.view(n_groups, -1, d_head)[:, -1].flatten()


def projection_size(packing: Packing, n_heads: int, n_groups: int, d_head: int) -> int:
    """How many outputs the projection has."""
    return (n_groups if packing == "alone" else n_heads + 2 * n_groups) * d_head
