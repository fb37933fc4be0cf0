"""Opening a model: read its configuration, find its row in the table of families, name its tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from describe.errors import CheckpointError
from describe.weights.families import ENCODERS, FAMILIES, Family, family_of
from describe.weights.locate import Location, locate
from describe.weights.model import HeadWeights, Shape
from describe.weights.sources import GgufSource, SafetensorsSource

__all__ = ["open_model"]


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


def _hub_shape(directory: Path) -> Shape:
    """The model's shape from config.json, with the defaults of its family filled in by transformers."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers and its validators raise what they like
        raise CheckpointError(f"{directory / 'config.json'} cannot be understood: {_reason(error)}") from error
    try:
        n_heads, d_model = int(config.num_attention_heads), int(config.hidden_size)
        epsilon_names = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon")
        return Shape(
            n_layers=int(config.num_hidden_layers),
            n_heads=n_heads,
            n_kv_heads=int(getattr(config, "num_key_value_heads", None) or n_heads),
            d_model=d_model,
            d_head=int(getattr(config, "head_dim", None) or d_model // n_heads),
            norm_eps=float(next(getattr(config, name) for name in epsilon_names if hasattr(config, name))),
            activation=str(getattr(config, "hidden_act", None) or getattr(config, "activation_function", "")),
            tied=bool(config.tie_word_embeddings),
        )
    except (ValueError, TypeError, AttributeError, StopIteration, ZeroDivisionError) as error:
        raise CheckpointError(f"{directory / 'config.json'} cannot be understood: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


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


def _gguf_shape(source: GgufSource, architecture: str, family: Family) -> Shape:
    def number(key: str, default: Any = None) -> Any:
        value = source.metadata(f"{architecture}.{key}", default)
        if not isinstance(value, (int, float)):
            raise CheckpointError(f"{source.path} does not say its '{architecture}.{key}' as one number")
        return value

    n_heads, d_model = int(number("attention.head_count")), int(number("embedding_length"))
    eps = "attention.layer_norm_rms_epsilon" if family.norm_kind == "rms" else "attention.layer_norm_epsilon"
    return Shape(
        n_layers=int(number("block_count")),
        n_heads=n_heads,
        n_kv_heads=int(number("attention.head_count_kv", n_heads)),
        d_model=d_model,
        d_head=int(number("attention.value_length", d_model // n_heads)),
        norm_eps=float(number(eps)),
        activation=family.default_activation,
        tied="output.weight" not in source.names,
    )
