"""The rows of the table of model families whose first layer may be a mixture of experts."""

from __future__ import annotations

from describe.weights.family import CLIPPED, PARALLEL, SINKS, WRITTEN_THROUGH_NORM, Experts, Family

__all__ = ["MIXTURES"]

_SHARED = Experts(shared="mlp.shared_experts.", scores="sigmoid", choice="mlp.gate.e_score_correction_bias")
_MIXTRAL = Experts(
    router="block_sparse_moe.gate",
    each="block_sparse_moe.experts.{}.",
    parts=("w1", "w3", "w2"),
    normalised=True,
)
_GRANITE = Experts(
    router="block_sparse_moe.router.layer",
    parts=("block_sparse_moe.input_linear.weight", "block_sparse_moe.output_linear.weight"),
    joined="out",
    shared="shared_mlp.",
    shared_parts=("input_linear", "output_linear"),
    normalised=True,
)

MIXTURES = (
    Family(
        "phimoe",
        ("phimoe",),
        "Phi-3.5-MoE",
        norm_kind="layer",
        experts=Experts(router=_MIXTRAL.router, each=_MIXTRAL.each, parts=_MIXTRAL.parts, scores="sparsemixer"),
    ),
    Family("mixtral", ("mixtral",), "Mixtral 8x7B, 8x22B", experts=_MIXTRAL),
    Family(
        "minimax_m2",
        ("minimax_m2",),
        "MiniMax-M2",
        experts=Experts(
            router=_MIXTRAL.router,
            each=_MIXTRAL.each,
            parts=_MIXTRAL.parts,
            normalised=True,
            scores="sigmoid",
            choice="block_sparse_moe.e_score_correction_bias",
        ),
    ),
    Family(
        "qwen2_moe",
        ("qwen2_moe",),
        "Qwen1.5-MoE, Qwen2-57B-A14B",
        experts=Experts(shared="mlp.shared_expert.", shared_gate="mlp.shared_expert_gate"),
    ),
    Family("qwen3_moe", ("qwen3_moe", "mellum"), "Qwen3-30B-A3B, Qwen3-235B-A22B", experts=Experts()),
    Family(
        "qwen3_vl_moe",
        ("qwen3_vl_moe_text",),
        "Qwen3-VL MoE (text)",
        experts=Experts(parts=("mlp.experts.gate_up_proj", "mlp.experts.down_proj"), joined="in", normalised=True),
    ),
    Family("flint", ("flint",), "Flint", note=SINKS, experts=Experts(shared="mlp.shared_expert.", scores="sigmoid")),
    Family(
        "llama4",
        ("llama4_text",),
        "Llama 4 (text)",
        up="feed_forward.up_proj",
        down="feed_forward.down_proj",
        gate="feed_forward.gate_proj",
        experts=Experts(
            router="feed_forward.router",
            parts=("feed_forward.experts.gate_up_proj", "feed_forward.experts.down_proj"),
            joined="in",
            shared="feed_forward.shared_expert.",
            scores="sigmoid",
            normalised=False,
            weighs_input=True,
        ),
    ),
    Family(
        "gpt_oss",
        ("gpt_oss",),
        "gpt-oss 20B, 120B",
        note=SINKS,
        experts=Experts(
            router="mlp.router",
            parts=("mlp.experts.gate_up_proj", "mlp.experts.down_proj"),
            joined="turns",
            normalised=True,
        ),
    ),
    Family("olmoe", ("olmoe",), "OLMoE", experts=Experts(), note=CLIPPED),
    Family("flex_olmo", ("flex_olmo",), "FlexOlmo", experts=Experts(), **WRITTEN_THROUGH_NORM),
    Family(
        "exaone_moe",
        ("exaone_moe",),
        "K-EXAONE",
        experts=Experts(shared=_SHARED.shared, scores="sigmoid", choice="mlp.e_score_correction_bias"),
    ),
    Family("glm4_moe", ("glm4_moe", "solar_open", "dots1"), "GLM-4.5 to 4.7, Solar Open, dots.llm1", experts=_SHARED),
    Family(
        "hy_v3",
        ("hy_v3",),
        "Hunyuan 3",
        experts=Experts(
            router="mlp.router.gate",
            shared="mlp.shared_mlp.",
            scores="sigmoid",
            choice="mlp.expert_bias",
            normalised=True,
        ),
    ),
    Family(
        "hunyuan_v1_moe",
        ("hunyuan_v1_moe",),
        "Hunyuan-A13B",
        experts=Experts(router="mlp.gate.wg", shared="mlp.shared_mlp.", normalised=True),
    ),
    Family(
        "ernie4_5_moe",
        ("ernie4_5_moe",),
        "ERNIE 4.5 MoE",
        experts=Experts(
            shared="mlp.shared_experts.", choice="mlp.moe_statics.e_score_correction_bias", normalised=True
        ),
    ),
    Family(
        "aria_text",
        ("aria_text",),
        "Aria (text)",
        experts=Experts(
            router="mlp.router",
            parts=("mlp.experts.fc1.weight", "mlp.experts.fc2.weight"),
            joined="in",
            shared="mlp.shared_experts.",
            normalised=True,
        ),
    ),
    Family(
        "kolibri1",
        ("kolibri1",),
        "Kolibri",
        after="post_ffn_norm",
        after_attention="post_attn_norm",
        experts=Experts(shared="mlp.shared_experts.", scores="late sigmoid", choice="moe.router.expert_bias"),
    ),
    Family(
        "granitemoe",
        ("granitemoe", "granitemoeshared"),
        "Granite 3 MoE",
        scale="embedding_multiplier",
        experts=_GRANITE,
    ),
    Family(
        "granitemoe_swa",
        ("granitemoe_swa",),
        "Granite MoE with sliding windows",
        scale="embedding_multiplier",
        note=SINKS,
        experts=Experts(
            router="block_sparse_moe.router",
            parts=("block_sparse_moe.experts.gate_up_proj", "block_sparse_moe.experts.down_proj"),
            joined="out",
            shared=_GRANITE.shared,
            shared_parts=_GRANITE.shared_parts,
            normalised=True,
        ),
    ),
    Family(
        "cohere2_moe",
        ("cohere2_moe",),
        "Command MoE",
        norm_kind="layer",
        experts=Experts(shared="mlp.shared_experts."),
        **PARALLEL,
    ),
)
