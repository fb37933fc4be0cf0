"""Opening a model: read its configuration, find its row in the table of families, name its tensors."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any

from describe.errors import CheckpointError
from describe.text import shortened
from describe.weights.assembling import Shape
from describe.weights.checkpoint_files import LARGEST_CONFIG, read_json, weight_file
from describe.weights.experts import Routing
from describe.weights.families import FAMILIES, family_of
from describe.weights.family import Family
from describe.weights.file_check import check_files
from describe.weights.locate import Location, locate
from describe.weights.model import HeadWeights
from describe.weights.names import GgufNames, HubNames
from describe.weights.refused import refusal_of
from describe.weights.safetensors_source import SafetensorsSource
from describe.weights.sources import GgufSource

__all__ = ["open_model"]


def open_model(model: str) -> HeadWeights:
    """Open MODEL for reading; tensors are read when asked for.

    Raises `CheckpointError` for whatever is not a decoder of a known family with all its parts.
    """
    location = locate(model)
    check_files(location)
    return _open_gguf(location) if location.is_gguf else _open_directory(location)


def _open_directory(location: Location) -> HeadWeights:
    family, config = _known(location.path, _config(location.path))
    source = SafetensorsSource(location.path)
    names = HubNames(family, source.names)
    shape = _hub_shape(location.path, family, config)
    if names.has_unembed:
        shape = replace(shape, tied=False)  # whatever the configuration says, as transformers decides
    elif not shape.tied:
        _refuse_without_unembedding(location.path, names("unembed"), config)
    return HeadWeights(location, family, shape, source, names)


def _refuse_without_unembedding(directory: Path, name: str, config: object) -> None:
    """Raise `CheckpointError`: a checkpoint that is to have a U has none."""
    kinds = getattr(config, "architectures", None)
    kind = str(kinds[0]) if isinstance(kinds, list) and kinds else ""
    if not kind or kind.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")):
        raise CheckpointError(f"{directory} has no tensor '{name}': the checkpoint is incomplete")
    raise CheckpointError(
        f"{directory} is a '{shortened(kind)}', saved without an unembedding ({name}): it predicts no tokens, so that"
        " its heads cannot be read through a vocabulary; name the language model that it was made from"
    )


def _config(directory: Path) -> dict[str, Any]:
    if not (directory / "config.json").is_file():
        weight_file(directory)  # an adapter has none, and is named for what it is
        raise CheckpointError(f"{directory} holds no config.json: it is not a model in Hugging Face layout")
    config: dict[str, Any] = read_json(directory / "config.json", LARGEST_CONFIG)
    return config


def _known(directory: Path, config: dict[str, Any]) -> tuple[Family, Any]:
    """The row of a model and its configuration."""
    model_type = str(config.get("model_type"))
    _refuse(directory, model_type)
    if config.get("is_encoder_decoder"):
        raise CheckpointError(
            f"{directory.name} is an encoder-decoder model: headscribe reads decoder-only language models"
        )
    loaded = _loaded(directory, model_type)
    text = loaded.get_text_config(decoder=True)
    family = family_of(model_type=model_type) or family_of(model_type=text.model_type)
    if family is None:
        _refuse(directory, text.model_type)
        raise _unknown(directory, "model_type", model_type)
    for setting, wanted, meaning in family.only:
        if getattr(text, setting, wanted) != wanted:
            raise CheckpointError(f"{directory.name} cannot be read: it {meaning}")
    return family, loaded


def _loaded(directory: Path, model_type: str) -> Any:
    """config.json with the defaults of its family filled in by transformers."""
    from transformers import CONFIG_MAPPING, AutoConfig

    if model_type not in CONFIG_MAPPING:
        raise _unknown(directory, "model_type", model_type)
    try:
        return AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers and its validators raise what they like
        raise CheckpointError(f"{directory / 'config.json'} cannot be understood: {_reason(error)}") from error


def _refuse(path: Path, model_type: str) -> None:
    """Raise `CheckpointError` for a kind of model that is known not to be readable."""
    refusal = refusal_of(model_type)
    if refusal is not None:
        raise CheckpointError(
            f"{path.name} is a '{model_type}' model, and headscribe does not read it: it {refusal.reason}"
        )


def _unknown(path: Path, what: str, name: str) -> CheckpointError:
    """That there is no row, the nearest that there is, and what to do."""
    known = [known for row in FAMILIES for known in (row.gguf if what.startswith("GGUF") else row.model_types)]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    nearest = f"; the nearest that it knows is '{near[0]}'" if near else ""
    return CheckpointError(
        f"{path.name} has the {what} '{shortened(name)}', which headscribe does not know{nearest}."
        " 'headscribe models' lists those it reads, docs/families.md says how to add one"
    )


def _hub_shape(directory: Path, family: Family, whole: Any) -> Shape:
    """The shape in config.json of the text part; whether U is E, of that or of the whole."""
    config = whole.get_text_config(decoder=True)
    try:
        n_heads, d_model = int(config.num_attention_heads), int(config.hidden_size)
        eps = _first(config, "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps")
        activation = _first(config, "hidden_act", "hidden_activation", "activation_function", "activation")
        return Shape(
            n_layers=int(config.num_hidden_layers),
            n_heads=n_heads,
            n_kv_heads=_groups(config, n_heads),
            d_model=d_model,
            d_head=int(getattr(config, "head_dim", None) or d_model // n_heads),
            norm_eps=float(eps if family.eps is None else family.eps),
            activation=str(activation or family.activation),
            tied=any(bool(_first(part, "tie_word_embeddings")) for part in (whole, config)),
            scale=_scale(family.scale, getattr(config, family.scale, True), d_model),
            clamp=_clamp(config),
            routing=_routing(family, config),
        )
    except (ValueError, TypeError, AttributeError, ArithmeticError, LookupError) as error:
        raise CheckpointError(f"{directory / 'config.json'} cannot be understood: {_reason(error)}") from error


def _first(config: Any, *names: str) -> Any:
    """The first of several settings that a configuration has; None when it has none."""
    return next((getattr(config, name) for name in names if getattr(config, name, None) is not None), None)


def _groups(config: Any, n_heads: int) -> int:
    """How many groups of heads share W_V. Falcon and StarCoder say it in ways of their own."""
    if getattr(config, "new_decoder_architecture", False):
        return int(config.num_kv_heads)
    if getattr(config, "multi_query", False):
        return 1
    return int(getattr(config, "num_key_value_heads", None) or n_heads)


def _scale(name: str, value: Any, d_model: int) -> float:
    """The factor of embeddings, of a row's ``scale`` and that setting's value."""
    if not name or value is False:
        return 1
    return d_model**0.5 if value is True else float(value)


def _clamp(config: Any) -> tuple[float, float] | None:
    alpha, limit = getattr(config, "swiglu_alpha", None), getattr(config, "swiglu_limit", None)
    return None if alpha is None or limit is None else (float(alpha), float(limit))


def _routing(family: Family, config: Any) -> Routing | None:
    """How the router chooses, by what the configurations of many families call it."""
    experts = family.experts
    if experts is None:
        return None
    top_k = _first(config, "num_experts_per_tok", "moe_topk", "moe_k", "num_experts_per_token")
    scores = getattr(config, "expert_selection_fn", experts.scores)
    normalised = getattr(config, "norm_topk_prob", True) if experts.normalised is None else experts.normalised
    return Routing(
        top_k=int(top_k[0] if isinstance(top_k, list) else top_k),
        scores=scores,
        normalised=bool(normalised),
        scaling=float(_first(config, "routed_scaling_factor", "router_scaling_factor") or 1),
        groups=int(_first(config, "n_group") or 1),
        chosen_groups=int(_first(config, "topk_group") or 1),
        weighs_input=experts.weighs_input,
        averaged=getattr(config, "shared_expert_combination_strategy", "sum") == "average",
        tolerance=float(_first(config, "router_jitter_noise") or 0),
    )


def _reason(error: Exception) -> str:
    """An error in one line."""
    return shortened(" ".join(str(error).split()), 300) or type(error).__name__


def _open_gguf(location: Location) -> HeadWeights:
    source = GgufSource(location.path)
    architecture = shortened(str(source.metadata("general.architecture")))
    family = family_of(gguf=architecture)
    if family is None:
        _refuse(location.path, "bert" if architecture.endswith("bert") else architecture)
        raise _unknown(location.path, "GGUF architecture", architecture)
    if source.metadata(f"{architecture}.expert_count"):
        raise CheckpointError(
            f"{location.path.name} holds a mixture of experts, which headscribe reads in Hugging Face layout only"
        )
    shape = _gguf_shape(source, architecture, family)
    return HeadWeights(location, family, shape, source, GgufNames(family, source.names))


def _gguf_shape(source: GgufSource, architecture: str, family: Family) -> Shape:
    def number(key: str, default: Any = None) -> Any:
        value = source.metadata(f"{architecture}.{key}", default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CheckpointError(f"{source.path} does not say its '{architecture}.{key}' as one number")
        return value

    centred = family.norm_kind.startswith("layer")
    eps = "attention.layer_norm_epsilon" if centred else "attention.layer_norm_rms_epsilon"
    try:
        n_heads, d_model = int(number("attention.head_count")), int(number("embedding_length"))
        return Shape(
            n_layers=int(number("block_count")),
            n_heads=n_heads,
            n_kv_heads=int(number("attention.head_count_kv", n_heads)),
            d_model=d_model,
            d_head=int(number("attention.value_length", d_model // n_heads)),
            norm_eps=float(number(eps)),
            activation=family.activation,
            tied="output.weight" not in source.names,
            scale=_scale(family.scale, True if family.scale == "sqrt" else number("embedding_scale", 1.0), d_model),
        )
    except (ValueError, ArithmeticError) as error:
        raise CheckpointError(f"{source.path} cannot be understood: {_reason(error)}") from error
