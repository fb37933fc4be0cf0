"""The first layer's MLP with its norms, x = MLP_0(norm(E)), as the modules of the model compute it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from describe.errors import CheckpointError

__all__ = ["Dense", "FirstMLP", "Gating", "Inner", "Norm", "clamped_gating", "gating", "moved", "xielu"]

Gating = Callable[["Tensor | None", Tensor], Tensor]
"""The function of an MLP's gate (n, h), None where it has none, and of its other half (n, h)."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "swish": F.silu,
    "relu": F.relu,
    "relu2": lambda hidden: F.relu(hidden).square(),
    "gelu": F.gelu,
    "gelu_python": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_fast": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": lambda hidden: hidden * torch.sigmoid(1.702 * hidden),
}

Record = TypeVar("Record")


def moved(record: Record, device: torch.device, dtype: torch.dtype) -> Record:
    """A frozen record of tensors, and of records of tensors, on another device and in another precision."""
    changed: dict[str, Any] = {}
    for name, value in vars(record).items():
        if isinstance(value, Tensor):
            changed[name] = value.to(device, dtype)
        elif isinstance(value, (Norm, Dense)):
            changed[name] = moved(value, device, dtype)
    return replace(record, **changed)  # type: ignore[type-var]


def gating(activation: str) -> Gating:
    """Of an activation by its name: of the gate, times the other half. Raises `CheckpointError` for others."""
    if activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise CheckpointError(f"the activation '{activation}' of the MLP is not known here; known: {known}")
    return partial(_gated, ACTIVATIONS[activation])


def _gated(activation: Callable[[Tensor], Tensor], gate: Tensor | None, hidden: Tensor) -> Tensor:
    return activation(hidden) if gate is None else activation(gate).mul_(hidden)


def clamped_gating(alpha: float, limit: float) -> Gating:
    """GPT-OSS's: (h + 1) g sigmoid(alpha g), both clamped."""

    def gated(gate: Tensor | None, hidden: Tensor) -> Tensor:
        assert gate is not None, "it is an MLP with a gate"
        gate, hidden = gate.clamp(max=limit), hidden.clamp(-limit, limit)
        return (hidden + 1) * gate * torch.sigmoid(alpha * gate)

    return gated


def xielu(positive: float, negative: float, beta: float = 0.5, eps: float = -1e-6) -> Gating:
    """Apertus's activation with its two learned curvatures (xIELU, arXiv 2411.13010)."""
    rising, falling = (float(F.softplus(torch.tensor(value))) for value in (positive, negative))

    def activation(hidden: Tensor) -> Tensor:
        below = (torch.expm1(hidden.clamp(max=eps)) - hidden) * (beta + falling)
        return torch.where(hidden > 0, rising * hidden.square(), below) + beta * hidden

    return partial(_gated, activation)


@dataclass(frozen=True)
class Norm:
    """RMSNorm, or LayerNorm where ``centred``; ``weight`` (d,) is None where the norm has none."""

    weight: Tensor | None
    bias: Tensor | None
    eps: float
    centred: bool
    offset: bool = False

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows (n, d), normed. With ``offset`` the stored weight lacks one."""
        weight = self.weight if self.weight is None or not self.offset else 1 + self.weight
        if self.centred:
            return F.layer_norm(rows, rows.shape[-1:], weight, self.bias, self.eps)
        return F.rms_norm(rows, rows.shape[-1:], weight, self.eps)

    def to(self, device: torch.device, dtype: torch.dtype) -> Norm:
        """These weights on another device, in another precision."""
        return moved(self, device, dtype)


@dataclass(frozen=True)
class Dense:
    """An MLP: up (h, d), down (d, h) and, where it is gated, gate (h, d); its own biases included."""

    up: Tensor
    down: Tensor
    gating: Gating
    gate: Tensor | None = None
    up_bias: Tensor | None = None
    down_bias: Tensor | None = None
    gate_bias: Tensor | None = None

    @property
    def width(self) -> int:
        """Numbers held for each row on the way."""
        return self.up.shape[0]

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows (n, d) to (n, d)."""
        gate = None if self.gate is None else F.linear(rows, self.gate, self.gate_bias)
        hidden = self.gating(gate, F.linear(rows, self.up, self.up_bias))
        return F.linear(hidden, self.down, self.down_bias)

    def parts(self, n: int) -> Iterator[Dense]:
        """The MLP as n of fewer hidden units each, whose outputs add up to its own; they share its memory."""
        for i, hidden in enumerate(torch.arange(self.width).tensor_split(n)):
            units = slice(int(hidden[0]), int(hidden[-1]) + 1)
            yield replace(
                self,
                up=self.up[units],
                up_bias=None if self.up_bias is None else self.up_bias[units],
                gate=None if self.gate is None else self.gate[units],
                gate_bias=None if self.gate_bias is None else self.gate_bias[units],
                down=self.down[:, units],
                down_bias=None if i else self.down_bias,
            )

    def to(self, device: torch.device, dtype: torch.dtype) -> Dense:
        """These weights on another device, in another precision."""
        return moved(self, device, dtype)


class Inner(Protocol):
    """The part between the norms: one MLP, or a mixture of several."""

    @property
    def width(self) -> int: ...

    def __call__(self, rows: Tensor) -> Tensor: ...

    def parts(self, n: int) -> Iterator[Inner]: ...

    def to(self, device: torch.device, dtype: torch.dtype) -> Inner: ...


@dataclass(frozen=True)
class FirstMLP:
    """The first layer's MLP: its writing into the residual stream, had attention written nothing: x = MLP_0(norm(E)).

    Attributes:
        before: the norm it reads through; None where it reads the residual stream as it is (OLMo 2).
        inner: the MLP or the mixture of experts.
        after: the norm it writes through, where there is one (Gemma 2, OLMo 2).
    """

    before: Norm | None
    inner: Inner
    after: Norm | None = None

    @property
    def width(self) -> int:
        """Numbers held for each token on the way."""
        return self.inner.width

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Source vectors (n, d) of embeddings (n, d), without the residual."""
        written = self.inner(embeddings if self.before is None else self.before(embeddings))
        return written if self.after is None else self.after(written)

    def parts(self, n: int) -> Iterator[FirstMLP]:
        """The MLP without the norm it writes through, as n whose outputs add up; a mixture is already in parts."""
        return (replace(self, inner=inner, after=None) for inner in self.inner.parts(n))

    def to(self, device: torch.device, dtype: torch.dtype) -> FirstMLP:
        """This MLP on another device, in another precision."""
        return replace(moved(self, device, dtype), inner=self.inner.to(device, dtype))
