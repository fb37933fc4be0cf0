"""Random checkpoints of whatever shape, written shard by shard: as large as a real one without ever being in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.tiny import byte_tokenizer

__all__ = ["Synthetic"]


@dataclass(frozen=True)
class Synthetic:
    """The shape of a Llama model."""

    vocabulary: int
    d: int
    layers: int
    heads: int
    groups: int
    hidden: int
    d_head: int

    @property
    def multiply_adds(self) -> tuple[float, float]:
        """Those of the source vectors, and those of one layer with 90 sources a head, 5 targets a source either way."""
        v, d, dh, h = self.vocabulary, self.d, self.d_head, self.heads
        read, written = v * d * self.groups * dh, v * h * dh**2
        return 3.0 * v * d * self.hidden, float(read + written + 90 * h * d * (v + 2 * dh))

    def write(self, folder: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
        """A directory in Hugging Face layout, one shard in memory at a time."""
        folder.mkdir(parents=True)
        where, total = {}, 0
        shards = list(self._shards())
        for number, shapes in enumerate(shards, 1):
            name = f"model-{number:05}-of-{len(shards):05}.safetensors"
            draw = torch.Generator().manual_seed(number)
            tensors = {
                tensor: torch.ones(shape, dtype=dtype)
                if len(shape) == 1
                else torch.empty(shape, dtype=dtype).normal_(0, shape[1] ** -0.5, generator=draw)
                for tensor, shape in shapes.items()
            }
            save_file(tensors, folder / name, {"format": "pt"})
            where |= dict.fromkeys(tensors, name)
            total += sum(tensor.nbytes for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        (folder / "config.json").write_text(json.dumps(self._config()))
        byte_tokenizer().save_pretrained(folder)
        return folder

    def _shards(self) -> Iterator[dict[str, tuple[int, ...]]]:
        d, dh, hidden = self.d, self.d_head, self.hidden
        yield {"model.embed_tokens.weight": (self.vocabulary, d)}
        for layer in range(self.layers):
            block = f"model.layers.{layer}."
            yield {
                f"{block}self_attn.q_proj.weight": (self.heads * dh, d),
                f"{block}self_attn.k_proj.weight": (self.groups * dh, d),
                f"{block}self_attn.v_proj.weight": (self.groups * dh, d),
                f"{block}self_attn.o_proj.weight": (d, self.heads * dh),
                f"{block}input_layernorm.weight": (d,),
                f"{block}post_attention_layernorm.weight": (d,),
            }
            yield {f"{block}mlp.{part}_proj.weight": (hidden, d) for part in ("gate", "up")}
            yield {f"{block}mlp.down_proj.weight": (d, hidden)}
        yield {"model.norm.weight": (d,), "lm_head.weight": (self.vocabulary, d)}

    def _config(self) -> dict[str, object]:
        return {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "vocab_size": self.vocabulary,
            "hidden_size": self.d,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.groups,
            "head_dim": self.d_head,
            "intermediate_size": self.hidden,
            "tie_word_embeddings": False,
        }
