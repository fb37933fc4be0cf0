"""Tiny random models of every family, saved as a user would have them on disk: Hugging Face layout and GGUF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedTokenizerFast

D, HEADS, LAYERS, HIDDEN = 48, 4, 3, 80

# model_type -> what its configuration calls things, beyond the common names.
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2, "intermediate_size": HIDDEN},
    "mistral": {"num_key_value_heads": 2, "intermediate_size": HIDDEN, "head_dim": 16},
    "qwen2": {"num_key_value_heads": 2, "intermediate_size": HIDDEN, "tie_word_embeddings": True},
    "qwen3": {"num_key_value_heads": 1, "intermediate_size": HIDDEN, "head_dim": 8},
    "gpt2": {"n_inner": HIDDEN},
    "gpt_neox": {"intermediate_size": HIDDEN},
    "phi": {"intermediate_size": HIDDEN, "num_key_value_heads": 2},
}


def tiny_model(model_type: str, **changes: Any) -> Any:
    """A random model whose biases and norms are random too, so that forgetting one is noticed."""
    torch.manual_seed(sum(map(ord, model_type)))
    settings = {
        "vocab_size": 300,
        "hidden_size": D,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "max_position_embeddings": 64,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    config = CONFIG_MAPPING[model_type](**(settings | CONFIGS[model_type] | changes))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model.eval()


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level vocabulary of 256 bytes, a merge and a special token: 258 pieces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: i for i, piece in enumerate(["<|end|>", *alphabet, "Ġt"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[("Ġ", "t")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def sentencepiece_tokenizer() -> PreTrainedTokenizerFast:
    """A vocabulary in the manner of SentencePiece with byte fallback."""
    pieces = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁the", "▁", "them"]
    tokenizer = Tokenizer(models.BPE(vocab={p: i for i, p in enumerate(pieces)}, merges=[], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>")


def save(model: Any, directory: Path, *, tokenizer: Any = None, **options: Any) -> Path:
    """The model and a tokenizer in Hugging Face layout."""
    model.save_pretrained(directory, **options)
    (tokenizer or byte_tokenizer()).save_pretrained(directory)
    return directory


def write_gguf(model: Any, path: Path, quantisation: gguf.GGMLQuantizationType | None = None) -> Path:
    """The model as a GGUF file, laid out as llama.cpp's converter does (facts of its format, our own code)."""
    config = model.config
    arch, names = _GGUF[config.model_type]
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    if getattr(config, "head_dim", None):
        writer.add_value_length(config.head_dim)
    eps = getattr(config, "rms_norm_eps", None)
    if eps is not None:
        writer.add_layer_norm_rms_eps(eps)
    else:
        writer.add_layer_norm_eps(getattr(config, "layer_norm_eps", None) or config.layer_norm_epsilon)
    pieces = byte_tokenizer().get_vocab()
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(pieces, key=pieces.__getitem__))
    writer.add_token_types([3] + [1] * (len(pieces) - 1))
    for name, tensor in model.state_dict().items():
        stored = _gguf_name(name, names)
        if stored is None or (stored == "output.weight" and config.tie_word_embeddings):
            continue
        data = _gguf_data(config, name, tensor).numpy()
        if quantisation is None or data.ndim == 1 or data.shape[-1] % 32:
            writer.add_tensor(stored, data)
        else:
            writer.add_tensor(stored, gguf.quants.quantize(data, quantisation), raw_dtype=quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


_LLAMA_NAMES = {
    "model.embed_tokens": "token_embd",
    "lm_head": "output",
    "model.layers.": "blk.",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_GGUF = {
    "llama": ("llama", _LLAMA_NAMES),
    "qwen2": ("qwen2", _LLAMA_NAMES),
    "qwen3": ("qwen3", _LLAMA_NAMES),
    "gpt2": (
        "gpt2",
        {
            "transformer.wte": "token_embd",
            "transformer.h.": "blk.",
            "attn.c_attn": "attn_qkv",
            "attn.c_proj": "attn_output",
            "ln_2": "ffn_norm",
            "mlp.c_fc": "ffn_up",
            "mlp.c_proj": "ffn_down",
        },
    ),
    "gpt_neox": (
        "gptneox",
        {
            "gpt_neox.embed_in": "token_embd",
            "lm_head": "output",
            "gpt_neox.layers.": "blk.",
            "attention.query_key_value": "attn_qkv",
            "attention.dense": "attn_output",
            "post_attention_layernorm": "ffn_norm",
            "mlp.dense_h_to_4h": "ffn_up",
            "mlp.dense_4h_to_h": "ffn_down",
        },
    ),
    "phi": (
        "phi2",
        {
            "model.embed_tokens": "token_embd",
            "lm_head": "output",
            "model.layers.": "blk.",
            "self_attn.v_proj": "attn_v",
            "self_attn.dense": "attn_output",
            "input_layernorm": "attn_norm",
            "mlp.fc1": "ffn_up",
            "mlp.fc2": "ffn_down",
        },
    ),
}


def _gguf_name(name: str, names: dict[str, str]) -> str | None:
    """The GGUF name of a parameter; None for those that headscribe has no use for."""
    stem, _, kind = name.rpartition(".")
    for ours, theirs in names.items():
        if theirs != "blk." and stem.endswith(ours):
            block = next((p for p in names if names[p] == "blk." and stem.startswith(p)), None)
            if block is None:
                return f"{theirs}.{kind}"
            return f"blk.{stem.removeprefix(block).split('.')[0]}.{theirs}.{kind}"
    return None


def _gguf_data(config: Any, name: str, tensor: torch.Tensor) -> torch.Tensor:
    if config.model_type == "gpt2" and tensor.ndim == 2 and ".h." in name:
        tensor = tensor.T  # Conv1D
    if "query_key_value" in name:  # q k v head by head becomes all q, all k, all v
        heads = config.num_attention_heads
        parts = tensor.unflatten(0, (heads, 3, -1)).transpose(0, 1)
        tensor = parts.reshape(tensor.shape)
    return tensor.contiguous()
