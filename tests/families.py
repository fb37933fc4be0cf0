"""Tiny random models of every model type that the table of families reads, by ``transformers`` itself."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

from tests import tiny

V = 260
SIZES: dict[str, Any] = {
    "vocab_size": V,
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "embedding_size", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "decoder_attention_heads", "attention_heads"), 4),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"), 2),
    "num_key_value_heads": 2,
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "dff"), 40),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 24),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 6),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k"), 2),
    "n_shared_experts": 1,
    **dict.fromkeys(("max_position_embeddings", "n_positions"), 64),
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0),
    "head_dim": 8,
    "rotary_dim": 4,
}
"""What configurations call their sizes; each model type takes those that it knows."""

EPSILONS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps")

GROUPED = {"scoring_func": "sigmoid", "n_group": 3, "topk_group": 2, "routed_scaling_factor": 1.5}
SPARSE_FIRST = {"first_k_dense_replace": 0}

# Every model type, as often as there are ways to be told apart, with what its tiny configuration changes.
CASES: list[tuple[str, dict[str, Any]]] = [
    *(
        (model_type, {})
        for model_type in """
        llama mistral ministral ministral3 smollm3 helium ernie4_5 cwm emu3 internlm3 iquestcoder qwen2 seed_oss qwen3
        hunyuan_v1_dense gpt2 gpt-sw3 gptj codegen openai-gpt ctrl gpt_neox gpt_neox_japanese persimmon bloom mpt opt
        xglm biogpt phi phi3 gemma gemma2 gemma3_text vaultgemma olmo olmo2 olmo3 exaone4 glm glm4 granite granite_swa
        hyperclovax cohere cohere2 stablelm starcoder2 nemotron jais2 arcee apertus nanochat doge phimoe mixtral
        minimax_m2 qwen2_moe qwen3_moe mellum flint llama4_text gpt_oss olmoe flex_olmo hunyuan_v1_moe aria_text
        kolibri1 granitemoe granitemoeshared granitemoe_swa cohere2_moe
        """.split()  # noqa: SIM905
    ),
    ("gpt_neo", {"attention_types": [[["global", "local"], 1]]}),
    ("gpt_bigcode", {}),
    ("gpt_bigcode", {"multi_query": False}),
    ("gpt_neox", {"use_parallel_residual": False}),
    ("stablelm", {"use_parallel_residual": True}),
    ("falcon", {"num_kv_heads": 4}),
    ("falcon", {"multi_query": False, "parallel_attn": False}),
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1}),
    (
        "cohere_compass_text",
        {
            "layer_types": ["sliding_attention", "full_attention"],
            "rope_parameters": {
                kind: {"rope_type": "default", "rope_theta": 1e4} for kind in ("sliding_attention", "full_attention")
            },
        },
    ),
    ("hyperclovax", {"use_post_norm": True, "residual_multiplier": 0.5, "embedding_multiplier": 3.0}),
    ("granite", {"embedding_multiplier": 12.0, "residual_multiplier": 0.22, "logits_scaling": 8.0}),
    ("qwen3_moe", {"mlp_only_layers": [0]}),
    ("flint", {"mlp_only_layers": []}),
    ("llama4_text", {"moe_layers": []}),
    ("cohere2_moe", {"num_shared_experts": 1, "shared_expert_combination_strategy": "average", "rms_norm_eps": None}),
    ("cohere2_moe", {"expert_selection_fn": "sigmoid", "norm_topk_prob": False, "num_shared_experts": 2}),
    ("glm4_moe", GROUPED | SPARSE_FIRST),
    ("glm4_moe", {"first_k_dense_replace": 1}),
    ("solar_open", GROUPED),
    ("dots1", GROUPED | SPARSE_FIRST),
    ("exaone_moe", GROUPED | {"mlp_layer_types": ["sparse", "sparse"]}),
    ("hy_v3", {"mlp_layer_types": ["sparse", "sparse"]}),
    ("ernie4_5_moe", {"moe_layer_start_index": 0, "moe_layer_end_index": 1}),
]

TEXT_PARTS = {
    "gemma3": "gemma3_text",
    "llava": "llama",
    "mistral3": "mistral",
    "idefics3": "llama",
    "qwen2_vl": "qwen2_vl_text",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text",
    "llama4": "llama4_text",
    "aria": "aria_text",
}
"""Multimodal models, and the type of their text part."""

AROUND = {"blip-2": "opt", "instructblip": "llama"}
"""Models that hold a whole language model, its own wrapper too; their forward needs an image."""

OTHER_SIZES: dict[str, Any] = {
    **dict.fromkeys(("out_hidden_size", "projector_input_dim", "projector_output_dim", "vision_output_dim"), 32),
    **{"depth": 1, "num_heads": 2, "embed_dim": 16, "image_size": 28, "num_position_embeddings": 16},
    **{"deepstack_visual_indexes": [], "fullatt_block_indexes": []},
}
"""What configurations of parts that see call their sizes."""


def settings_of(config_class: Any) -> dict[str, Any]:
    """The sizes that a configuration knows, by its own names, and those of its parts."""
    known = {name for each in inspect.getmro(config_class) for name in getattr(each, "__annotations__", {})}
    found = {name: value for name, value in SIZES.items() if name in known}
    for part, inner in getattr(config_class, "sub_configs", {}).items():
        if inner.__name__ != "AutoConfig":
            found[part] = settings_of(inner)
    return found


def family_model(model_type: str, **changes: Any) -> Any:
    """A random model whose biases, norms and routers are random too, so that forgetting one is noticed."""
    config_class = CONFIG_MAPPING[model_type]
    config = config_class(**(settings_of(config_class) | changes))
    text = config.get_text_config(decoder=True)
    for name in EPSILONS:
        if getattr(text, name, None) is not None:
            setattr(text, name, 3e-3)  # so large that another one is noticed
    torch.manual_seed(sum(map(ord, model_type)))
    return randomised(AutoModelForCausalLM.from_config(config, attn_implementation="eager"))


def multimodal_model(model_type: str) -> Any:
    """A random multimodal model, all its parts tiny."""
    config_class, text_class = CONFIG_MAPPING[model_type], CONFIG_MAPPING[(TEXT_PARTS | AROUND)[model_type]]
    config = config_class(**(settings_of(config_class) | {"text_config": text_class(**settings_of(text_class))}))
    text = config.get_text_config(decoder=True)
    if isinstance(getattr(text, "rope_parameters", None), dict):
        text.rope_parameters["mrope_section"] = [1, 1, 2]
    for part in (getattr(config, name) for name in config.sub_configs):
        for name, size in (SIZES | OTHER_SIZES).items() if part is not text else ():
            if hasattr(part, name) and name != "head_dim":
                setattr(part, name, size)
    torch.manual_seed(1)
    return randomised(AutoModelForImageTextToText.from_config(config, attn_implementation="eager"))


def randomised(model: Any) -> Any:
    """The model with random parameters; what only weakens attention by its reader is switched off."""
    buffers = [(name, buffer) for name, buffer in model.named_buffers() if name.endswith("bias")]
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *buffers):
            if not tensor.is_floating_point():
                continue
            tensor.normal_(0, 0.3)
            if name.endswith("sinks"):
                tensor.fill_(-1e4)
            if name.endswith("_residual"):  # Doge's weights of the residual stream, which is no part of x
                tensor.fill_(1)
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")  # the only one in double precision on a CPU
    if hasattr(model, "transformer") and hasattr(model.transformer, "pos_encoding"):
        model.transformer.pos_encoding.zero_()
    return model.eval()


def saved(model: Any, directory: Path, model_type: str) -> Path:
    """The model in Hugging Face layout under this model type, which may be another name of its class."""
    tiny.save(model, directory)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    if isinstance(model.config, CONFIG_MAPPING[model_type]):
        path.write_text(json.dumps(config | {"model_type": model_type}))
    return directory
