"""The first MLP and what stands before the first layer, put together from the tensors of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from describe.errors import CheckpointError
from describe.sizes import check_sizes
from describe.weights.experts import Mixture, Routing
from describe.weights.family import Experts, Family
from describe.weights.first_mlp import Dense, FirstMLP, Gating, Norm, clamped_gating, gating, moved, xielu
from describe.weights.names import Names
from describe.weights.output_path import Lens, OutputPath, Step
from describe.weights.sources import GgufSource, TensorSource, finite

__all__ = ["Assembly", "Entry", "Shape"]


@dataclass(frozen=True)
class Shape:
    """A configuration's settings, whatever the file calls it. Raises ValueError for sizes that no model has.

    Attributes:
        scale: what embeddings are multiplied by.
        clamp: alpha and limit of GPT-OSS's gate, where the configuration has them.
        routing: how a router chooses, where there may be one.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    norm_eps: float
    activation: str
    tied: bool
    scale: float = 1
    clamp: tuple[float, float] | None = None
    routing: Routing | None = None

    def __post_init__(self) -> None:
        names = ("n_layers", "n_heads", "n_kv_heads", "d_model", "d_head")
        check_sizes({name: getattr(self, name) for name in names})
        if not (isfinite(self.norm_eps) and self.norm_eps >= 0 and isfinite(self.scale)):
            raise ValueError(f"the norms' epsilon is {self.norm_eps}, the scale of embeddings {self.scale}")


@dataclass(frozen=True)
class Entry:
    """The steps of a token's embedding before the first layer."""

    scale: float
    norm: Norm | None

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows of the embedding matrix (n, d) as the first layer reads them; in stored precision, or float32 where
        something is done to them."""
        if self.scale == 1 and self.norm is None:
            return rows
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32)) * self.scale
        return rows if self.norm is None else moved(self.norm, rows.device, rows.dtype)(rows)


@dataclass(frozen=True)
class Assembly:
    """Puts parts of a model together, in stored precision."""

    family: Family
    shape: Shape
    source: TensorSource
    names: Names

    def entry(self) -> Entry:
        """The part between the embeddings and the first layer."""
        norm = self._norm("embed_norm", self.family.embed_norm) if self.family.embed_norm else None
        return Entry(self.shape.scale, norm)

    def first_mlp(self) -> FirstMLP:
        """The first layer's MLP and its norms. Raises `CheckpointError` when a tensor is not there or not known."""
        family = self.family
        inner = None if family.experts is None else self._mixture(family.experts)
        return FirstMLP(
            before=None if family.norm_kind == "none" else self._norm("norm", family.norm[0]),
            inner=inner or self._dense(),
            after=self._norm("after", family.after) if family.after else None,
        )

    def output_path(self, layer: int, lens: Lens | None) -> OutputPath:
        """The way of what the heads of a layer write to the unembedding; by a lens behind the layer.

        Raises `CheckpointError` when the checkpoint lacks the gain of a norm.
        """
        family = self.family
        steps: list[Step | Lens] = []
        if family.after_attention:
            steps.append(self._step(self.names("after_attention", layer), "rms"))
        steps += [self._carried(name, layer) for name in family.carried_on]
        steps += [] if lens is None else [lens]
        for later in range(layer + 1, self.shape.n_layers if family.carried_on and lens is None else 0):
            steps += [self._carried(name, later) for name in (*family.carried, *family.carried_on)]
        if family.final_norm == "plain":
            steps.append(Step(None, centred=self._kind.startswith("layer")))
        elif family.final_norm:
            steps.append(self._step(self.names("final_norm"), self._kind))
        return OutputPath(tuple(steps))

    @property
    def _kind(self) -> str:
        """The kind of the family's norms."""
        return "rms" if self.family.norm_kind == "none" else self.family.norm_kind

    def _step(self, weight: str, kind: str) -> Step:
        """A norm by the name of its weight."""
        gain = self._read(weight).float()
        return Step(1 + gain if self._lacks_one else gain, centred=kind.startswith("layer"))

    @property
    def _lacks_one(self) -> bool:
        """Whether the stored weights of norms lack one; GGUF files hold it added."""
        return self._kind.endswith("+1") and not isinstance(self.source, GgufSource)

    def _carried(self, name: str, layer: int) -> Step:
        """A step of the residual stream itself in a layer: a norm, or a factor of each dimension."""
        whole = self.names.below(name, layer)
        if f"{whole}.weight" in self.source.names:
            return self._step(f"{whole}.weight", self._kind)
        return Step(self._read(whole).float())

    def _norm(self, role: str, name: str) -> Norm:
        weight = None if name == "plain" else self.names(role)
        return Norm(
            weight=None if weight is None else self._read(weight),
            bias=None if weight is None else self._bias(weight),
            eps=self.shape.norm_eps,
            centred=self._kind.startswith("layer"),
            offset=self._lacks_one,
        )

    def _dense(self) -> Dense:
        up, down = self.names("up"), self.names("down")
        gate = None if self.family.gate is None else self.names("gate")
        transposed = self.family.transposed and not isinstance(self.source, GgufSource)

        def weight(name: str) -> Tensor:
            return self._read(name).mT if transposed else self._read(name)

        if gate == up:
            halves = _in_halves(weight(up), weight(down), self._bias(up), self._bias(down), gating=self._gating())
            return self._fitting(halves)
        dense = Dense(
            up=weight(up),
            down=weight(down),
            gate=None if gate is None else weight(gate),
            gating=self._gating(),
            up_bias=self._bias(up),
            down_bias=self._bias(down),
            gate_bias=None if gate is None else self._bias(gate),
        )
        return self._fitting(dense)

    def _fitting(self, mlp: Dense) -> Dense:
        """An MLP. Raises `CheckpointError` unless its parts are as large as they must be to fit each other."""
        d, hidden = self.shape.d_model, len(mlp.up)
        wanted: dict[str, tuple[int, ...]] = {"up": (hidden, d), "gate": (hidden, d), "down": (d, hidden)}
        wanted |= {"up_bias": (hidden,), "gate_bias": (hidden,), "down_bias": (d,)}
        for part, size in wanted.items():
            found: Tensor | None = getattr(mlp, part)
            if found is not None and tuple(found.shape) != size:
                raise CheckpointError(
                    f"'{part}' of the first MLP is {tuple(found.shape)}, where d is {d} and it has {hidden} units:"
                    " the files do not belong together"
                )
        return mlp

    def _gating(self) -> Gating:
        if self.shape.clamp is not None:
            return clamped_gating(*self.shape.clamp)
        if self.shape.activation == "xielu":
            learned = (self._read(self.names.below(f"mlp.act_fn.alpha_{sign}")) for sign in "pn")
            return xielu(*(float(value) for value in learned))
        return gating(self.shape.activation)

    # -- mixtures of experts ------------------------------------------------------------------------------------------

    def _mixture(self, experts: Experts) -> Mixture | None:
        """The mixture of experts; None where this model's first MLP is a dense one."""
        router = self.names.below(f"{experts.router}.weight")
        if self.shape.routing is None or router not in self.source.names:
            return None
        weight = self._read(router)
        return Mixture(
            routing=self.shape.routing,
            router=weight,
            router_bias=self._bias(router),
            choice_bias=self._optional(experts.choice),
            experts=self._experts(experts, len(weight)),
            shared=self._shared(experts),
            shared_gate=self._optional(f"{experts.shared_gate}.weight"),
        )

    def _experts(self, experts: Experts, n: int) -> list[Dense]:
        each = self._joined(experts) if experts.joined else [self._expert(experts, i) for i in range(n)]
        return [self._fitting(expert) for expert in each]

    def _expert(self, experts: Experts, number: int) -> Dense:
        each = experts.each.format(number)
        gate, up, down = (self._below(f"{each}{part}.weight") for part in experts.parts)
        return Dense(up=up, down=down, gate=gate, gating=self._gating())

    def _joined(self, experts: Experts) -> list[Dense]:
        """Experts out of the tensors that hold all of them."""
        both, down = (self._below(part) for part in experts.parts)
        stored_in = experts.joined != "out" if both.shape[1] == both.shape[2] else both.shape[2] != self.shape.d_model
        if stored_in:  # transformers writes some families the other way round than they were published
            both, down = both.mT, down.mT
        biases = (self._optional(f"{part}_bias") for part in experts.parts)
        each = zip(both, down, *([None] * len(both) if bias is None else bias for bias in biases), strict=True)
        return [_in_halves(*one, gating=self._gating(), turns=experts.joined == "turns") for one in each]

    def _shared(self, experts: Experts) -> Dense | None:
        """The expert that is always asked; not every model of a family has one."""
        names = [self.names.below(f"{experts.shared}{part}.weight") for part in experts.shared_parts]
        if not experts.shared or names[0] not in self.source.names:
            return None
        first, *rest = (self._read(name) for name in names)
        if len(rest) == 1:
            return _in_halves(first, rest[0], gating=self._gating())
        return Dense(gate=first, up=rest[0], down=rest[1], gating=self._gating())

    # -- single tensors -----------------------------------------------------------------------------------------------

    def _read(self, name: str) -> Tensor:
        return finite(self.source.read(name), name)

    def _below(self, tail: str) -> Tensor:
        return self._read(self.names.below(tail))

    def _optional(self, tail: str) -> Tensor | None:
        name = self.names.below(tail)
        return self._read(name) if name in self.source.names else None

    def _bias(self, weight: str) -> Tensor | None:
        name = weight.removesuffix("weight") + "bias"
        return self._read(name) if name in self.source.names else None


def _in_halves(
    both: Tensor,
    down: Tensor,
    both_bias: Tensor | None = None,
    down_bias: Tensor | None = None,
    *,
    gating: Gating,
    turns: bool = False,
) -> Dense:
    """An MLP whose gate and other half are one tensor (2 h, d), one after the other, or in turns."""

    def halves(rows: Tensor) -> tuple[Tensor, Tensor]:
        return (rows[::2], rows[1::2]) if turns else (rows[: len(rows) // 2], rows[len(rows) // 2 :])

    gate, up = halves(both)
    gate_bias, up_bias = (None, None) if both_bias is None else halves(both_bias)
    return Dense(up, down, gating, gate, up_bias, down_bias, gate_bias)
