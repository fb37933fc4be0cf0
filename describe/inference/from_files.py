"""A model that runs with one layer's weights in memory: the others stay in its files until their turn.

``transformers`` makes the modules, empty, and says how tensors of a checkpoint become their parameters; the tensors are
read by `describe.weights`, which dequantises them. Of the embedding matrix only the rows of the tokens that are to run
are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from describe.errors import CheckpointError
from describe.inference.layerwise import LayerwiseModel
from describe.inference.loading import loaded, loading
from describe.inference.running import Runner, able, open_runner
from describe.weights import HeadWeights

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["open_layerwise"]

Fill = Callable[[Iterator[tuple[str, Tensor]]], None]
"""Puts tensors, by their names in the files, where they belong in a model."""


def open_layerwise(weights: HeadWeights, tokens: Tensor, device: torch.device, dtype: torch.dtype) -> LayerwiseModel:
    """The model of these weights, to be run layer by layer on these tokens and no others, in this precision; in float32
    where ``transformers`` masks attention in that alone.

    Raises `CheckpointError` where ``transformers`` cannot load it, or runs its family without a cache.
    """
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    if not _fillable():
        return LayerwiseModel(open_runner(str(weights.location.path), weights.info, device, dtype))
    if weights.architecture == "falcon" and weights.info.n_kv_heads > 1:
        raise CheckpointError("transformers reads queries, keys and values of this GGUF file in another order")
    path = weights.location.path
    with loading(path):
        config = loaded(AutoConfig, str(path)) if weights.architecture is None else _gguf_config(path)
        with init_empty_weights(include_buffers=False):
            empty = AutoModelForCausalLM.from_config(config, dtype=dtype)
            if dtype == torch.float64 and empty.config._attn_implementation == "eager":
                dtype = torch.float32
                empty = AutoModelForCausalLM.from_config(config, dtype=dtype)
        model: PreTrainedModel = able(empty.eval(), dtype, weights.info)
        runner = Runner(model, weights.info, device)
        fill = _by_checkpoint_names(model, device, dtype)
        if weights.architecture is not None:
            fill = _by_gguf_names(model, weights.architecture, device, dtype)
        chosen = torch.unique(tokens.cpu())
        stored = replace(weights.embed, through=None)[chosen]
        model.get_input_embeddings().weight = nn.Parameter(stored.to(device, dtype), requires_grad=False)
        fill(weights.beside_blocks())
        for name, buffer in model.named_buffers():
            _set(model, name, buffer if buffer.is_meta else buffer.to(device))

    @contextmanager
    def ready(layer: int) -> Iterator[None]:
        module = runner.layer(layer)
        with loading(path):
            fill(weights.block(layer))
        missing = _missing(module)
        if missing:
            raise CheckpointError(f"the files of {path} lack '{missing[0]}' of layer {layer}")
        try:
            yield
        finally:
            for name, parameter in module.named_parameters():
                _set(module, name, nn.Parameter(parameter.detach().to("meta"), requires_grad=False))

    places = chosen.to(device)
    return LayerwiseModel(runner, ready, lambda ids: torch.searchsorted(places, ids))


def _fillable() -> bool:
    """Whether this version of ``transformers`` loads a part of a model; another runs it whole in memory."""
    try:
        import transformers.conversion_mapping
        import transformers.core_model_loading
        import transformers.modeling_gguf_pytorch_utils  # noqa: F401
    except ImportError:
        return False
    return True


@lru_cache(maxsize=2)
def _gguf_config(path: Path) -> PretrainedConfig:
    """The configuration in a GGUF file; to read it takes seconds."""
    from transformers import CONFIG_MAPPING
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    told = load_gguf_checkpoint(str(path))["config"]
    return CONFIG_MAPPING[told["model_type"]].from_dict(told)


def _by_checkpoint_names(model: PreTrainedModel, device: torch.device, dtype: torch.dtype) -> Fill:
    """Tensors of a checkpoint in Hugging Face layout; ``transformers`` joins and renames what its modules hold
    otherwise."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import convert_and_load_state_dict_in_model
    from transformers.modeling_utils import LoadStateDictConfig

    def fill(tensors: Iterator[tuple[str, Tensor]]) -> None:
        conversions = get_model_conversion_mapping(model)
        how = LoadStateDictConfig(dtype=dtype, device_map={"": device}, weight_mapping=conversions)
        found, _ = convert_and_load_state_dict_in_model(model, dict(tensors), how, None)
        if found.mismatched_keys or found.conversion_errors:
            raise ValueError(f"{found.mismatched_keys or found.conversion_errors}")

    return fill


def _by_gguf_names(model: PreTrainedModel, architecture: str, device: torch.device, dtype: torch.dtype) -> Fill:
    """Tensors of a GGUF file, back in the order that modules have them in."""
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor

    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=model.config.to_dict())
    names = _gguf_names(model, architecture)

    def fill(tensors: Iterator[tuple[str, Tensor]]) -> None:
        for name, tensor in tensors:
            aside: dict[str, dict[str, Tensor]] = {"tensors": {}}
            found = processor.process(
                weights=tensor.numpy(), name=name, tensor_key_mapping=names, parsed_parameters=aside
            )
            if found.name in names:
                aside["tensors"][names[found.name]] = torch.from_numpy(found.weights.copy())
            for place, values in aside["tensors"].items():
                if values.shape != model.get_parameter(place).shape:
                    raise ValueError(f"'{name}' is {tuple(values.shape)}, which does not fit the configuration")
                _set(model, place, nn.Parameter(values.to(device, dtype), requires_grad=False))

    return fill


def _gguf_names(model: PreTrainedModel, architecture: str) -> dict[str, str]:
    """The parameter that each tensor of a GGUF file holds."""
    import gguf

    number = next(number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    known = gguf.get_tensor_name_map(number, model.config.num_hidden_layers)
    found: dict[str, str] = {}
    for name, _ in model.named_parameters():
        for written in (name, name.removeprefix(f"{model.base_model_prefix}.")):  # BLOOM's lack the wrapper
            stored = known.get_name(written, try_suffixes=(".weight", ".bias"))
            if stored is not None:
                found.setdefault(stored, name)
    return found


def _set(module: nn.Module, name: str, value: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(owner), leaf, value)


def _missing(module: nn.Module) -> list[str]:
    """Parameters that are not there."""
    return [name for name, parameter in module.named_parameters() if parameter.is_meta]
