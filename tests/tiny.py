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


def write_gguf(
    model: Any,
    path: Path,
    quantisation: gguf.GGMLQuantizationType | None = None,
    architecture: str | None = None,
) -> Path:
    """The model as a GGUF file, laid out as llama.cpp's converter does: its own names of tensors, our own code."""
    config = model.config
    arch = architecture or _ARCHITECTURES.get(config.model_type, config.model_type)
    number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == arch)
    names = gguf.get_tensor_name_map(number, config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(_kv_heads(config))
    writer.add_context_length(64)
    writer.add_vocab_size(config.vocab_size)
    if getattr(config, "intermediate_size", None):
        writer.add_feed_forward_length(config.intermediate_size)
    if getattr(config, "head_dim", None):
        writer.add_value_length(config.head_dim)
    if getattr(config, "embedding_multiplier", None):
        writer.add_embedding_scale(config.embedding_multiplier)
    eps = getattr(config, "rms_norm_eps", None)
    if eps is not None:
        writer.add_layer_norm_rms_eps(eps)
    else:
        others = ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps")
        writer.add_layer_norm_eps(next((getattr(config, name) for name in others if hasattr(config, name)), 1e-5))
    pieces = byte_tokenizer().get_vocab()
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(pieces, key=pieces.__getitem__))
    writer.add_token_types([3] + [1] * (len(pieces) - 1))
    for name, tensor in model.state_dict().items():
        bare = name.removeprefix("transformer.")  # as BLOOM's converter names it
        stored = next(filter(None, (names.get_name(n, try_suffixes=(".weight", ".bias")) for n in (name, bare))), None)
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


_ARCHITECTURES = {"gpt_neox": "gptneox", "phi": "phi2"}


def _kv_heads(config: Any) -> int:
    if config.model_type == "falcon":
        return config.num_kv_heads if config.new_decoder_architecture or not config.multi_query else 1
    return 1 if getattr(config, "multi_query", False) else getattr(config, "num_key_value_heads", None) or HEADS


def _gguf_data(config: Any, name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Facts of llama.cpp's converters: what they change of the tensors that are read here."""
    if config.model_type == "gpt2" and tensor.ndim == 2 and ".h." in name:
        tensor = tensor.T  # Conv1D
    if config.model_type == "llama" and (".q_proj." in name or ".k_proj." in name):  # rotated in pairs, not in halves
        heads = config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads
        tensor = tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)
    if "query_key_value" in name:  # q k v group by group becomes all q, all k, all v
        groups = tensor.unflatten(0, (_kv_heads(config), -1, config.hidden_size // config.num_attention_heads))
        tensor = torch.cat([groups[:, :-2].flatten(0, 2), groups[:, -2].flatten(0, 1), groups[:, -1].flatten(0, 1)])
    if config.model_type.startswith(("gemma", "nemotron")) and name.endswith("norm.weight"):
        tensor = tensor + 1
    return tensor.contiguous()
