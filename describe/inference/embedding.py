"""Sentences as vectors, by any language model on this machine or the hub: the mean of its last hidden states."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Any

import numpy as np
from numpy.typing import NDArray

from describe.errors import CheckpointError
from describe.weights import check_files, locate

__all__ = ["embed"]

BATCH, LONGEST = 16, 256
"""Sentences at once, and the tokens of each that are read."""


def embed(model: str, sentences: Sequence[str]) -> NDArray[np.float64]:
    """The vectors of sentences, (n, d), by MODEL: its last hidden states, averaged over the tokens of the sentence.

    Raises `CheckpointError` when the model is not there, or transformers cannot run it.
    """
    import torch

    tokenizer, network = _load(model)
    vectors = []
    with torch.no_grad():
        for start in range(0, len(sentences), BATCH):
            texts = list(sentences[start : start + BATCH])
            asked = tokenizer(texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
            inputs = {name: asked[name] for name in ("input_ids", "attention_mask")}
            states = network(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"][:, :, None]
            vectors.append(((states * mask).sum(1) / mask.sum(1).clamp_min(1)).double().numpy())
    found: NDArray[np.float64] = np.concatenate(vectors)
    return found


def _load(model: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    location = locate(model)
    check_files(location)
    options: dict[str, Any] = {"gguf_file": location.path.name} if location.is_gguf else {}
    folder = location.path.parent if location.is_gguf else location.path
    options |= {"local_files_only": True, "trust_remote_code": False}
    try:
        with redirect_stderr(io.StringIO()):  # its bars: what goes wrong it raises
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
            network = AutoModel.from_pretrained(folder, **options, use_safetensors=True, dtype="float32").eval()
    except Exception as error:  # transformers raises whatever its many loaders raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"transformers cannot run the model in {location.path}: {reason[:300]}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, network
