"""Sentences as vectors, by any language model on this machine or the hub: the mean of its last hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from describe.inference.loading import loaded

__all__ = ["embed"]

BATCH, LONGEST = 16, 256
"""Sentences at once, and the tokens of each that are read."""


def embed(model: str, sentences: Sequence[str]) -> NDArray[np.float64]:
    """The vectors of sentences, (n, d), by MODEL: its last hidden states, averaged over the tokens of the sentence;
    zeros where it has none.

    Raises `CheckpointError` when the model is not there, or transformers cannot run it.
    """
    import torch

    tokenizer, network = _load(model)
    vectors = np.zeros((len(sentences), network.config.get_text_config().hidden_size))
    said = [place for place, sentence in enumerate(sentences) if tokenizer(sentence)["input_ids"]]
    with torch.no_grad():
        for start in range(0, len(said), BATCH):
            places = said[start : start + BATCH]
            texts = [sentences[place] for place in places]
            asked = tokenizer(texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
            inputs = {name: asked[name] for name in ("input_ids", "attention_mask")}
            states = network(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"][:, :, None]
            vectors[places] = ((states * mask).sum(1) / mask.sum(1).clamp_min(1)).double().numpy()
    return vectors


def _load(model: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    tokenizer = loaded(AutoTokenizer, model)
    network = loaded(AutoModel, model, use_safetensors=True, dtype="float32").eval()
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)  # it is masked
    return tokenizer, network
