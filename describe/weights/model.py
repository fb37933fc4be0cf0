"""A model as its head weights: E, U, the first MLP, and V and O of each layer, read when asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from describe.errors import CheckpointError
from describe.records import ModelInfo
from describe.weights.families import ENCODERS, FAMILIES, Family, family_of
from describe.weights.locate import Location, content_hash, locate
from describe.weights.sources import GgufSource, SafetensorsSource, TensorSource
from describe.weights.vocabulary import gguf_tokens, hub_tokens

__all__ = ["FirstMLP", "HeadWeights", "LayerWeights", "open_model"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "swish": F.silu,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_fast": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
}


@dataclass(frozen=True)
class LayerWeights:
    """V and O of one layer.

    Attributes:
        value: W_V of each group of heads, (n_kv_heads, d, dh); head h reads group h // (n_heads / n_kv_heads).
        output: W_O of each head, (n_heads, dh, d).
    """

    value: Tensor
    output: Tensor


@dataclass(frozen=True)
class FirstMLP:
    """x = MLP_0(norm(E)): the first layer's MLP with the norm it reads through, its own biases included."""

    norm_weight: Tensor
    norm_bias: Tensor | None
    norm_eps: float
    rms: bool
    up: Tensor
    up_bias: Tensor | None
    down: Tensor
    down_bias: Tensor | None
    gate: Tensor | None
    gate_bias: Tensor | None
    activation: Callable[[Tensor], Tensor]

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Source vectors (n, d) of embeddings (n, d), without the residual."""
        shape = self.norm_weight.shape
        if self.rms:
            read = F.rms_norm(embeddings, shape, self.norm_weight, self.norm_eps)
        else:
            read = F.layer_norm(embeddings, shape, self.norm_weight, self.norm_bias, self.norm_eps)
        hidden = F.linear(read, self.up, self.up_bias)
        if self.gate is None:
            hidden = self.activation(hidden)
        else:
            hidden = self.activation(F.linear(read, self.gate, self.gate_bias)) * hidden
        return F.linear(hidden, self.down, self.down_bias)

    def to(self, device: torch.device, dtype: torch.dtype) -> FirstMLP:
        """The same MLP on another device, in another precision."""
        moved = {name: value.to(device, dtype) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)


@dataclass(frozen=True)
class _Shape:
    """What a configuration says, whatever the file calls it."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    norm_eps: float
    activation: str
    tied: bool


class HeadWeights:
    """The weights of a model that MAPS reads, tensor by tensor. Made by `open_model`."""

    def __init__(
        self, location: Location, family: Family, shape: _Shape, source: TensorSource, names: Callable[[str, int], str]
    ) -> None:
        self._family, self._shape, self._source, self._names = family, shape, source, names
        self._location = location
        vocab_size = self._vocab_size()
        self.tokens: list[str] = (
            gguf_tokens(source, vocab_size) if isinstance(source, GgufSource) else hub_tokens(location.path, vocab_size)
        )
        self.info = ModelInfo(
            name=location.name,
            content_hash=content_hash(location),
            family=family.name,
            n_layers=shape.n_layers,
            n_heads=shape.n_heads,
            n_kv_heads=shape.n_kv_heads,
            d_model=shape.d_model,
            d_head=shape.d_head,
            vocab_size=vocab_size,
        )

    @cached_property
    def embed(self) -> Tensor:
        """E, (V, d), in its stored precision."""
        return self._read("embed")

    @cached_property
    def unembed(self) -> Tensor:
        """U transposed, (V, d), in its stored precision: row t is the direction that promotes token t."""
        return self.embed if self._shape.tied else self._read("unembed")

    @cached_property
    def first_mlp(self) -> FirstMLP:
        """The first layer's MLP and its norm, in stored precision."""
        family, read = self._family, self._read
        if self._shape.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise CheckpointError(
                f"the activation '{self._shape.activation}' of the MLP is not known here; known: {known}"
            )
        up, down = read("up"), read("down")
        gate = None if family.gate is None else read("gate")
        if self._stored_transposed:
            up, down = up.mT, down.mT
        return FirstMLP(
            norm_weight=read("norm"),
            norm_bias=self._bias("norm"),
            norm_eps=self._shape.norm_eps,
            rms=family.norm_kind == "rms",
            up=up,
            up_bias=self._bias("up"),
            down=down,
            down_bias=self._bias("down"),
            gate=gate,
            gate_bias=None if gate is None else self._bias("gate"),
            activation=ACTIVATIONS[self._shape.activation],
        )

    def layer(self, layer: int) -> LayerWeights:
        """V and O of one layer, in stored precision."""
        shape = self._shape
        value, output = self._read("value", layer), self._read("output", layer)
        if self._stored_transposed:
            value, output = value.mT, output.mT
        value = _unpack_value(value, self._packing(layer), shape)
        self._check("value", value, (shape.n_kv_heads * shape.d_head, shape.d_model), layer)
        self._check("output", output, (shape.d_model, shape.n_heads * shape.d_head), layer)
        return LayerWeights(
            value=value.reshape(shape.n_kv_heads, shape.d_head, shape.d_model).mT,
            output=output.mT.reshape(shape.n_heads, shape.d_head, shape.d_model),
        )

    @property
    def _stored_transposed(self) -> bool:
        return self._family.transposed and not isinstance(self._source, GgufSource)

    def _packing(self, layer: int) -> str:
        """GGUF files keep V alone, or as the last third of a fused tensor whatever the family's checkpoint does."""
        if not isinstance(self._source, GgufSource):
            return self._family.packing
        return "qkv" if self._names("value", layer).endswith("attn_qkv.weight") else "alone"

    def _read(self, role: str, layer: int = 0) -> Tensor:
        return self._source.read(self._names(role, layer))

    def _bias(self, role: str) -> Tensor | None:
        name = self._names(role, 0).removesuffix("weight") + "bias"
        return self._source.read(name) if name in self._source.names else None

    def _vocab_size(self) -> int:
        """V, and the promise that E and U have the configured width."""
        vocab_size = self._source.shape(self._names("embed", 0))[0]
        for role in ("embed",) if self._shape.tied else ("embed", "unembed"):
            shape = self._source.shape(self._names(role, 0))
            if shape != (vocab_size, self._shape.d_model):
                raise self._misfit(role, shape, f"({vocab_size}, {self._shape.d_model})")
        return vocab_size

    def _check(self, role: str, tensor: Tensor, expected: tuple[int, int], layer: int) -> None:
        if tuple(tensor.shape) != expected:
            raise self._misfit(role, tuple(tensor.shape), str(expected), layer)

    def _misfit(self, role: str, shape: tuple[int, ...], expected: str, layer: int = 0) -> CheckpointError:
        return CheckpointError(
            f"tensor '{self._names(role, layer)}' of {self._location.path} is {shape},"
            f" the configuration says {expected}: the files do not belong together"
        )


def _unpack_value(value: Tensor, packing: str, shape: _Shape) -> Tensor:
    """The rows of W_V, (n_kv_heads * dh, d), out of a projection (out, d) that may hold Q and K as well."""
    if packing == "alone":
        return value
    if value.shape[0] != (shape.n_heads + 2 * shape.n_kv_heads) * shape.d_head:
        return value  # does not fit the configuration; the caller says so
    if packing == "qkv":
        return value[-shape.n_kv_heads * shape.d_head :]
    per_head = value.reshape(shape.n_heads, 3, shape.d_head, value.shape[-1])
    return per_head[:, 2].reshape(shape.n_heads * shape.d_head, value.shape[-1])


def open_model(model: str) -> HeadWeights:
    """Open MODEL for reading; tensors are read when asked for.

    Raises `CheckpointError` for whatever is not a decoder of a known family with all its parts.
    """
    location = locate(model)
    return _open_gguf(location) if location.is_gguf else _open_directory(location)


def _open_directory(location: Location) -> HeadWeights:
    config = _config(location.path)
    family = _family(config.get("model_type"), config, location.path)
    source = SafetensorsSource(location.path)
    prefix = next((p for p in (family.prefix, "") if f"{p}{family.embed}.weight" in source.names), family.prefix)

    def names(role: str, layer: int) -> str:
        if role == "unembed":
            return f"{family.unembed}.weight"
        if role == "embed":
            return f"{prefix}{family.embed}.weight"
        return f"{prefix}{family.block.format(layer)}{getattr(family, role)}.weight"

    return HeadWeights(location, family, _hub_shape(location.path), source, names)


def _config(directory: Path) -> dict[str, Any]:
    try:
        config = json.loads((directory / "config.json").read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{directory} holds no config.json: it is not a model in Hugging Face layout") from None
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{directory / 'config.json'} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{directory / 'config.json'} is not a JSON object")
    return config


def _family(model_type: Any, config: dict[str, Any], path: Path) -> Family:
    if model_type in ENCODERS:
        raise CheckpointError(
            f"{path.name} is a '{model_type}' model, which only encodes and predicts no next token:"
            " headscribe reads decoder language models"
        )
    if config.get("is_encoder_decoder"):
        raise CheckpointError(f"{path.name} is an encoder-decoder model: headscribe reads decoder-only language models")
    family = family_of(model_type=model_type)
    if family is None:
        raise _unknown(path, f"model_type '{model_type}'")
    return family


def _unknown(path: Path, what: str) -> CheckpointError:
    known = ", ".join(row.name for row in FAMILIES)
    return CheckpointError(f"{path.name} has the {what}, which headscribe does not know; it knows: {known}")


def _hub_shape(directory: Path) -> _Shape:
    """The model's shape from config.json, with the defaults of its family filled in by transformers."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        n_heads, d_model = int(config.num_attention_heads), int(config.hidden_size)
        epsilon_names = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon")
        return _Shape(
            n_layers=int(config.num_hidden_layers),
            n_heads=n_heads,
            n_kv_heads=int(getattr(config, "num_key_value_heads", None) or n_heads),
            d_model=d_model,
            d_head=int(getattr(config, "head_dim", None) or d_model // n_heads),
            norm_eps=float(next(getattr(config, name) for name in epsilon_names if hasattr(config, name))),
            activation=str(getattr(config, "hidden_act", None) or getattr(config, "activation_function", "")),
            tied=bool(config.tie_word_embeddings),
        )
    except (ValueError, TypeError, AttributeError, KeyError, OSError, StopIteration, ZeroDivisionError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise CheckpointError(f"{directory / 'config.json'} cannot be understood: {reason}") from error


def _open_gguf(location: Location) -> HeadWeights:
    source = GgufSource(location.path)
    architecture = str(source.metadata("general.architecture"))
    family = family_of(gguf=architecture)
    if family is None:
        if architecture in ENCODERS or architecture.endswith("bert"):
            raise CheckpointError(f"{location.path.name} is a '{architecture}' model, which only encodes")
        raise _unknown(location.path, f"GGUF architecture '{architecture}'")

    def names(role: str, layer: int) -> str:
        if role in ("embed", "unembed"):
            return {"embed": "token_embd.weight", "unembed": "output.weight"}[role]
        plain = {"norm": family.gguf_norm, "up": "ffn_up", "down": "ffn_down", "gate": "ffn_gate"}
        fused = f"blk.{layer}.attn_qkv.weight"
        if role == "value" and fused in source.names:
            return fused
        return f"blk.{layer}.{(plain | {'value': 'attn_v', 'output': 'attn_output'})[role]}.weight"

    return HeadWeights(location, family, _gguf_shape(source, architecture, family), source, names)


def _gguf_shape(source: GgufSource, architecture: str, family: Family) -> _Shape:
    def number(key: str, default: Any = None) -> Any:
        value = source.metadata(f"{architecture}.{key}", default)
        if not isinstance(value, (int, float)):
            raise CheckpointError(f"{source.path} does not say its '{architecture}.{key}' as one number")
        return value

    n_heads, d_model = int(number("attention.head_count")), int(number("embedding_length"))
    eps = "attention.layer_norm_rms_epsilon" if family.norm_kind == "rms" else "attention.layer_norm_epsilon"
    return _Shape(
        n_layers=int(number("block_count")),
        n_heads=n_heads,
        n_kv_heads=int(number("attention.head_count_kv", n_heads)),
        d_model=d_model,
        d_head=int(number("attention.value_length", d_model // n_heads)),
        norm_eps=float(number(eps)),
        activation=family.default_activation,
        tied="output.weight" not in source.names,
    )
