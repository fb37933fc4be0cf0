"""The table of model families: where each keeps the few tensors that MAPS needs.

A new family is one new row. A row names tensors as the Hugging Face checkpoint of that family does, below an optional
prefix (checkpoints saved without the language-model wrapper lack it); GGUF files name them alike for all families.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ENCODERS", "FAMILIES", "Family", "family_of"]


@dataclass(frozen=True)
class Family:
    """One row: how the checkpoints of a family are laid out.

    Attributes:
        name: the row's own name.
        model_types: ``model_type`` in ``config.json``, of all models this row reads.
        gguf: ``general.architecture`` in GGUF files.
        prefix: what precedes ``embed``, ``norm``, ... in a checkpoint with its language-model wrapper.
        embed, unembed: the embedding (V, d) and the unembedding (V, d; absent when tied).
        block: what precedes the names below, with the layer's number for ``{}``.
        norm: the norm the first MLP reads through; ``rms`` or ``layer`` by ``norm_kind``.
        up, down, gate: the MLP; ``gate`` is None where it is not gated.
        value, output: the attention projections.
        packing: how ``value`` holds W_V: alone; the last third of ``qkv``; or ``per_head``, q k v head by head.
        transposed: projections are stored (in, out), as GPT-2's Conv1D does, not (out, in).
        gguf_norm: the name of ``norm`` in GGUF files.
    """

    name: str
    model_types: tuple[str, ...]
    gguf: str
    examples: str
    prefix: str = "model."
    embed: str = "embed_tokens"
    unembed: str = "lm_head"
    block: str = "layers.{}."
    norm: str = "post_attention_layernorm"
    norm_kind: Literal["rms", "layer"] = "rms"
    up: str = "mlp.up_proj"
    down: str = "mlp.down_proj"
    gate: str | None = "mlp.gate_proj"
    value: str = "self_attn.v_proj"
    output: str = "self_attn.o_proj"
    packing: Literal["alone", "qkv", "per_head"] = "alone"
    transposed: bool = False
    default_activation: str = "silu"
    gguf_norm: str = "ffn_norm"


FAMILIES = (
    Family("llama", ("llama", "mistral"), "llama", "Llama 2/3, SmolLM 1/2, Mistral, TinyLlama, Vicuna"),
    Family("qwen2", ("qwen2",), "qwen2", "Qwen2, Qwen2.5"),
    Family("qwen3", ("qwen3",), "qwen3", "Qwen3 (dense)"),
    Family(
        "gpt2",
        ("gpt2",),
        "gpt2",
        "GPT-2 small to XL, DistilGPT-2",
        prefix="transformer.",
        embed="wte",
        block="h.{}.",
        norm="ln_2",
        norm_kind="layer",
        up="mlp.c_fc",
        down="mlp.c_proj",
        gate=None,
        value="attn.c_attn",
        output="attn.c_proj",
        packing="qkv",
        transposed=True,
        default_activation="gelu_new",
    ),
    Family(
        "gpt_neox",
        ("gpt_neox",),
        "gptneox",
        "Pythia, GPT-NeoX-20B",
        prefix="gpt_neox.",
        embed="embed_in",
        unembed="embed_out",
        norm_kind="layer",
        up="mlp.dense_h_to_4h",
        down="mlp.dense_4h_to_h",
        gate=None,
        value="attention.query_key_value",
        output="attention.dense",
        packing="per_head",
        default_activation="gelu",
    ),
    Family(
        "phi",
        ("phi",),
        "phi2",
        "Phi-1, Phi-1.5, Phi-2",
        norm="input_layernorm",
        norm_kind="layer",
        up="mlp.fc1",
        down="mlp.fc2",
        gate=None,
        output="self_attn.dense",
        default_activation="gelu_new",
        gguf_norm="attn_norm",
    ),
)

ENCODERS = frozenset(
    """
    albert bert big_bird camembert convbert deberta deberta-v2 distilbert electra ernie esm funnel layoutlm longformer
    modernbert mpnet nomic_bert rembert roberta roformer squeezebert xlm-roberta xlm-roberta-xl
    """.split()  # noqa: SIM905
)
"""Model types that only encode: they have no unembedding that predicts the next token."""


def family_of(*, model_type: str | None = None, gguf: str | None = None) -> Family | None:
    """The row for a ``model_type`` or a GGUF architecture; None when there is none."""
    return next((row for row in FAMILIES if model_type in row.model_types or (gguf and gguf == row.gguf)), None)
