"""The literal equations on ``demo``, its tensors read straight from the GGUF file: shares no code with describe."""

from __future__ import annotations

from functools import cached_property

import gguf
import torch
from torch import Tensor

from describe.weights.locate import demo_file

LAYERS, HEADS, KV_HEADS, DH, EPS = 30, 9, 3, 64, 1e-5


class DemoOracle:
    """SmolLM2-135M-Instruct: E, U (tied), the first MLP, and W_VO of any head, in ``dtype``."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        self.dtype = dtype
        self._tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(demo_file()).tensors}

    def read(self, name: str) -> Tensor:
        stored = self._tensors[name]
        return torch.from_numpy(gguf.quants.dequantize(stored.data, stored.tensor_type).copy()).to(self.dtype)

    @cached_property
    def embed(self) -> Tensor:
        return self.read("token_embd.weight")

    def source_vectors(self) -> Tensor:
        """x = W_down (silu(W_gate n) * W_up n) with n = E / rms(E) * g, for every token at once, (V, d)."""
        norm = (
            self.embed
            / (self.embed.square().mean(dim=1, keepdim=True) + EPS).sqrt()
            * self.read("blk.0.ffn_norm.weight")
        )
        gate, up, down = (self.read(f"blk.0.ffn_{part}.weight") for part in ("gate", "up", "down"))
        gated = norm @ gate.T
        return (gated * gated.sigmoid() * (norm @ up.T)) @ down.T

    def w_vo(self, layer: int, head: int) -> Tensor:
        """W_V W_O, (d, d)."""
        group = head // (HEADS // KV_HEADS)
        value = self.read(f"blk.{layer}.attn_v.weight")[group * DH : (group + 1) * DH].T
        output = self.read(f"blk.{layer}.attn_output.weight")[:, head * DH : (head + 1) * DH].T
        return value @ output
