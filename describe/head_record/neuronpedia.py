"""Where else a head has a page: Neuronpedia shows the attention patterns of heads (HeadVis) of the models listed here.

The page of a head is ``/MODEL/head/LAYER/HEAD``, layers and heads from 0 as ours. Form and models are those of
Neuronpedia's own source (github.com/hijohnnylin/neuronpedia: ``apps/webapp/app/[modelId]/head`` and
``utils/.../headvis/np_model_to_hf.json``), read in November 2026. What it has may change; then a link leads to its page
of missing pages, and to nothing worse.
"""

from __future__ import annotations

__all__ = ["neuronpedia"]

_SITE = "https://www.neuronpedia.org"

_NAMES = {
    "allenai/Olmo-3-1025-7B": "olmo-3-1025-7b",
    "allenai/Olmo-3-1125-32B": "olmo-3-1125-32b",
    "EleutherAI/pythia-70m-deduped": "pythia-70m-deduped",
    "google/gemma-2-2b": "gemma-2-2b",
    "google/gemma-2-2b-it": "gemma-2-2b-it",
    "google/gemma-2-9b": "gemma-2-9b",
    "google/gemma-2-9b-it": "gemma-2-9b-it",
    "google/gemma-2-27b": "gemma-2-27b",
    "google/gemma-3-270m": "gemma-3-270m",
    "google/gemma-3-270m-it": "gemma-3-270m-it",
    "google/gemma-3-1b-pt": "gemma-3-1b",
    "google/gemma-3-1b-it": "gemma-3-1b-it",
    "google/gemma-3-4b-pt": "gemma-3-4b",
    "google/gemma-3-4b-it": "gemma-3-4b-it",
    "google/gemma-3-12b-pt": "gemma-3-12b",
    "google/gemma-3-12b-it": "gemma-3-12b-it",
    "google/gemma-3-27b-pt": "gemma-3-27b",
    "google/gemma-3-27b-it": "gemma-3-27b-it",
    "google/gemma-4-E2B": "gemma-4-e2b",
    "google/gemma-4-E4B": "gemma-4-e4b",
    "meta-llama/Llama-3.1-8B": "llama3.1-8b",
    "meta-llama/Llama-3.1-8B-Instruct": "llama3.1-8b-it",
    "meta-llama/Llama-3.3-70B-Instruct": "llama3.3-70b-it",
    "openai/gpt-oss-20b": "gpt-oss-20b",
    "openai-community/gpt2": "gpt2-small",
    "Qwen/Qwen2.5-7B-Instruct": "qwen2.5-7b-it",
    "Qwen/Qwen3-1.7B": "qwen3-1.7b",
    "Qwen/Qwen3-4B": "qwen3-4b",
    "Qwen/Qwen3-8B": "qwen3-8b",
    "Qwen/Qwen3-14B": "qwen3-14b",
    "Qwen/Qwen3-32B": "qwen3-32b",
    "Qwen/Qwen3.5-0.8B": "qwen3.5-0.8b",
    "Qwen/Qwen3.5-2B-Base": "qwen3.5-2b-pt",
    "Qwen/Qwen3.5-9B-Base": "qwen3.5-9b-pt",
    "Qwen/Qwen3.5-27B": "qwen3.5-27b",
}
"""Hub id -> Neuronpedia's name."""

_BY_NAME = {
    **{hub_id.rpartition("/")[2].casefold(): name for hub_id, name in _NAMES.items()},
    **{hub_id.casefold(): name for hub_id, name in _NAMES.items()},
}


def neuronpedia(model: str, layer: int, head: int) -> str | None:
    """The address of a head's page at Neuronpedia; None for models without such pages.

    ``model``: a hub id, or its last part, as directories are named after it.
    """
    name = _BY_NAME.get(model.casefold())
    return None if name is None else f"{_SITE}/{name}/head/{layer}/{head}"
