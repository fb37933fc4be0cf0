"""The table of model families: where each keeps the few tensors that MAPS needs.

A new family is one new row; what a row leaves out is as in Llama. A row names tensors as the Hugging Face checkpoint of
that family does, below an optional prefix (checkpoints saved without the language-model wrapper lack it, those of
multimodal models have a longer one); GGUF files name them alike for all families.
"""

from __future__ import annotations

from typing import Any

from describe.weights.family import CLIPPED, PARALLEL, WRITTEN_THROUGH_NORM, Family
from describe.weights.mixtures import MIXTURES

__all__ = ["FAMILIES", "family_of"]

_UNGATED: dict[str, Any] = {"gate": None, "activation": "gelu"}
_GPT2_ATTENTION: dict[str, Any] = {"value": "attn.c_attn", "output": "attn.c_proj"}
_GPT2: dict[str, Any] = _UNGATED | {
    "prefix": "transformer.",
    "embed": "wte",
    "block": "h.{}.",
    "norm": ("ln_2",),
    "norm_kind": "layer",
    "up": "mlp.c_fc",
    "down": "mlp.c_proj",
    "activation": "gelu_new",
    "final_norm": "ln_f",
}
_NEOX: dict[str, Any] = _UNGATED | {
    "norm_kind": "layer",
    "up": "mlp.dense_h_to_4h",
    "down": "mlp.dense_4h_to_h",
    "packing": "grouped",
    "final_norm": "final_layer_norm",
}
_OPT: dict[str, Any] = _UNGATED | {
    "norm": ("final_layer_norm",),
    "norm_kind": "layer",
    "eps": 1e-5,
    "up": "fc1",
    "down": "fc2",
    "output": "self_attn.out_proj",
    "final_norm": "layer_norm",
}
_SANDWICH: dict[str, Any] = {
    "norm": ("pre_feedforward_layernorm",),
    "after": "post_feedforward_layernorm",
    "after_attention": "post_attention_layernorm",
}
_GEMMA: dict[str, Any] = {"scale": "sqrt", "norm_kind": "rms+1", "activation": "gelu_pytorch_tanh"}
_FUSED: dict[str, Any] = {"up": "mlp.gate_up_proj", "gate": "mlp.gate_up_proj"}


DENSE = (
    Family(
        "llama",
        (
            "llama",
            "mistral",
            "ministral",
            "ministral3",
            "smollm3",
            "helium",
            "ernie4_5",
            "cwm",
            "emu3",
            "emu3_text_model",
            "internlm3",
            "iquestcoder",
        ),
        "Llama 1 to 3.3, SmolLM 1 to 3, Mistral, Ministral, TinyLlama, Vicuna, Yi, DeepSeek 1, Helium, ERNIE 4.5",
        gguf=("llama", "smollm3"),
    ),
    Family(
        "qwen2", ("qwen2", "qwen2_5_vl_text", "qwen2_vl_text", "seed_oss"), "Qwen2, Qwen2.5, Seed-OSS", gguf=("qwen2",)
    ),
    Family(
        "qwen3",
        ("qwen3", "qwen3_vl_text", "hunyuan_v1_dense"),
        "Qwen3 (dense), Hunyuan (dense)",
        gguf=("qwen3",),
    ),
    Family(
        "gpt2",
        ("gpt2", "gpt-sw3"),
        "GPT-2 small to XL, DistilGPT-2, GPT-SW3",
        gguf=("gpt2",),
        transposed=True,
        packing="qkv",
        **_GPT2,
        **_GPT2_ATTENTION,
    ),
    Family(
        "gpt_bigcode",
        ("gpt_bigcode",),
        "StarCoder, SantaCoder",
        gguf=("starcoder",),
        packing="grouped",
        **_GPT2,
        **_GPT2_ATTENTION,
    ),
    Family(
        "gpt_neo",
        ("gpt_neo",),
        "GPT-Neo 125M to 2.7B",
        value="attn.attention.v_proj",
        output="attn.attention.out_proj",
        **_GPT2,
    ),
    Family(
        "gptj",
        ("gptj",),
        "GPT-J 6B",
        value="attn.v_proj",
        output="attn.out_proj",
        **_GPT2 | {"norm": ("ln_1",), "up": "mlp.fc_in", "down": "mlp.fc_out"},
    ),
    Family(
        "codegen",
        ("codegen",),
        "CodeGen",
        value="attn.qkv_proj",
        output="attn.out_proj",
        packing="codegen",
        **_GPT2 | {"norm": ("ln_1",), "up": "mlp.fc_in", "down": "mlp.fc_out"},
    ),
    Family(
        "openai-gpt",
        ("openai-gpt",),
        "GPT (2018)",
        transposed=True,
        packing="qkv",
        note="its norms stand behind each part; the MLP reads through the one behind attention",
        carried_on=("ln_1", "ln_2"),
        **_GPT2 | {"embed": "tokens_embed", "norm": ("ln_1",), "final_norm": ""},
        **_GPT2_ATTENTION,
    ),
    Family(
        "ctrl",
        ("ctrl",),
        "CTRL",
        scale="sqrt",
        value="multi_head_attention.Wv",
        output="multi_head_attention.dense",
        eps=1e-6,
        **_GPT2
        | {"embed": "w", "norm": ("layernorm2",), "up": "ffn.0", "down": "ffn.2", "activation": "relu"}
        | {"final_norm": "layernorm"},
    ),
    Family(
        "gpt_neox",
        ("gpt_neox",),
        "Pythia, GPT-NeoX-20B",
        gguf=("gptneox",),
        prefix="gpt_neox.",
        embed="embed_in",
        unembed="embed_out",
        value="attention.query_key_value",
        output="attention.dense",
        **_NEOX,
    ),
    Family(
        "gpt_neox_japanese",
        ("gpt_neox_japanese",),
        "GPT-NeoX-Japanese",
        prefix="gpt_neox_japanese.",
        embed="embed_in",
        unembed="embed_out",
        value="attention.query_key_value",
        output="attention.dense",
        **_NEOX,
    ),
    Family(
        "persimmon",
        ("persimmon",),
        "Persimmon, Fuyu (text)",
        value="self_attn.query_key_value",
        output="self_attn.dense",
        **_NEOX | {"final_norm": "final_layernorm"},
    ),
    Family(
        "bloom",
        ("bloom",),
        "BLOOM, BLOOMZ",
        gguf=("bloom",),
        prefix="transformer.",
        embed="word_embeddings",
        embed_norm="word_embeddings_layernorm",
        block="h.{}.",
        value="self_attention.query_key_value",
        output="self_attention.dense",
        **_NEOX | {"activation": "gelu_new", "final_norm": "ln_f"},
    ),
    Family(
        "falcon",
        ("falcon",),
        "Falcon 7B, 40B, 180B, 11B, RW",
        gguf=("falcon",),
        prefix="transformer.",
        embed="word_embeddings",
        block="h.{}.",
        value="self_attention.query_key_value",
        output="self_attention.dense",
        gguf_norm="attn_norm",
        **_NEOX | {"norm": ("ln_mlp", "post_attention_layernorm", "input_layernorm"), "final_norm": "ln_f"},
    ),
    Family(
        "mpt",
        ("mpt",),
        "MPT 7B, 30B",
        gguf=("mpt",),
        prefix="transformer.",
        embed="wte",
        block="blocks.{}.",
        norm=("norm_2",),
        norm_kind="layer",
        final_norm="norm_f",
        up="ffn.up_proj",
        down="ffn.down_proj",
        value="attn.Wqkv",
        output="attn.out_proj",
        packing="qkv",
        note=CLIPPED,
        **_UNGATED,
    ),
    Family(
        "opt",
        ("opt",),
        "OPT 125M to 66B, Galactica",
        prefix="model.decoder.",
        only=(
            (
                "do_layer_norm_before",
                True,
                "has its norms behind each part and embeddings narrower than its layers (OPT-350m)",
            ),
        ),
        **_OPT | {"activation": "relu", "final_norm": "final_layer_norm"},
    ),
    Family("xglm", ("xglm",), "XGLM", scale="scale_embedding", **_OPT),
    Family(
        "biogpt", ("biogpt",), "BioGPT", prefix="biogpt.", unembed="output_projection", scale="scale_embedding", **_OPT
    ),
    Family(
        "phi",
        ("phi",),
        "Phi-1, Phi-1.5, Phi-2",
        gguf=("phi2",),
        norm_kind="layer",
        up="mlp.fc1",
        down="mlp.fc2",
        output="self_attn.dense",
        final_norm="final_layernorm",
        **PARALLEL,
        **_UNGATED | {"activation": "gelu_new"},
    ),
    Family(
        "phi3", ("phi3",), "Phi-3, Phi-3.5, Phi-4", gguf=("phi3",), value="self_attn.qkv_proj", packing="qkv", **_FUSED
    ),
    Family("gemma", ("gemma",), "Gemma 1, CodeGemma", gguf=("gemma",), **_GEMMA),
    Family("gemma2", ("gemma2",), "Gemma 2", gguf=("gemma2",), **_GEMMA, **_SANDWICH),
    Family(
        "gemma3",
        ("gemma3_text",),
        "Gemma 3 (text part of the multimodal ones)",
        gguf=("gemma3",),
        **_GEMMA,
        **_SANDWICH,
    ),
    Family("vaultgemma", ("vaultgemma",), "VaultGemma", **_GEMMA, norm=("pre_feedforward_layernorm",)),
    Family(
        "olmo",
        ("olmo",),
        "OLMo 1",
        gguf=("olmo",),
        norm=("plain",),
        norm_kind="layer",
        final_norm="plain",
        eps=1e-5,
        note=CLIPPED,
    ),
    Family("olmo2", ("olmo2", "olmo3"), "OLMo 2, OLMo 3", gguf=("olmo2",), **WRITTEN_THROUGH_NORM),
    Family("exaone4", ("exaone4",), "EXAONE 4", **WRITTEN_THROUGH_NORM),
    Family("glm", ("glm",), "GLM-4 9B, GLM-Edge", **_FUSED),
    Family(
        "glm4",
        ("glm4",),
        "GLM-4-0414, GLM-Z1",
        after="post_mlp_layernorm",
        after_attention="post_self_attn_layernorm",
        **_FUSED,
    ),
    Family("granite", ("granite", "granite_swa"), "Granite 3", gguf=("granite",), scale="embedding_multiplier"),
    Family(
        "hyperclovax",
        ("hyperclovax",),
        "HyperCLOVA X SEED",
        scale="embedding_multiplier",
        after="post_norm2",
        after_attention="post_norm1",
    ),
    Family(
        "cohere",
        ("cohere", "cohere2", "cohere_compass_text"),
        "Command R, R7B, A; Aya",
        gguf=("command-r", "cohere2"),
        norm_kind="layer",
        **PARALLEL,
    ),
    Family(
        "stablelm",
        ("stablelm",),
        "StableLM, Stable Code",
        gguf=("stablelm",),
        norm_kind="layer",
        norm=("post_attention_layernorm", "input_layernorm"),
    ),
    Family(
        "starcoder2",
        ("starcoder2",),
        "StarCoder2",
        gguf=("starcoder2",),
        norm_kind="layer",
        up="mlp.c_fc",
        down="mlp.c_proj",
        **_UNGATED | {"activation": "gelu_pytorch_tanh"},
    ),
    Family(
        "nemotron",
        ("nemotron",),
        "Nemotron-4, Minitron",
        gguf=("nemotron",),
        norm_kind="layer+1",
        **_UNGATED | {"activation": "relu2"},
    ),
    Family("jais2", ("jais2",), "Jais 2", norm_kind="layer", **_UNGATED | {"activation": "relu2"}),
    Family("arcee", ("arcee",), "AFM-4.5B", **_UNGATED | {"activation": "relu2"}),
    Family("apertus", ("apertus",), "Apertus", norm=("feedforward_layernorm",), **_UNGATED | {"activation": "xielu"}),
    Family(
        "nanochat",
        ("nanochat",),
        "nanochat",
        embed_norm="plain",
        norm=("plain",),
        final_norm="plain",
        up="mlp.fc1",
        down="mlp.fc2",
        **_UNGATED | {"activation": "relu2"},
    ),
    Family(
        "doge",
        ("doge",),
        "Doge",
        carried=("input_residual",),
        carried_on=("post_attention_residual",),
        only=(("is_moe", False, "looks its MLP up in a table of experts"),),
    ),
)

FAMILIES = (*DENSE, *MIXTURES)


RUN_FROM_GGUF = frozenset(
    "bloom falcon gemma2 gemma3 gpt2 llama nemotron phi3 qwen2 qwen3 stablelm starcoder2".split()  # noqa: SIM905
)
"""Architectures of GGUF files that ``transformers`` loads: those that correlate, ablate and attend can run."""


def family_of(*, model_type: str | None = None, gguf: str | None = None) -> Family | None:
    """The row for a ``model_type`` or a GGUF architecture; None when there is none."""
    return next((row for row in FAMILIES if model_type in row.model_types or gguf in row.gguf), None)
