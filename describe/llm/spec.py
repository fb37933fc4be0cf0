"""The LLM argument of every command: ``openai:MODEL``, ``gguf:FILE``, ``gguf:demo`` or ``statistics``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from describe.errors import LLMError

__all__ = ["LLM", "WAYS", "parse_llm"]

WAYS = (
    "openai:MODEL with OPENAI_API_KEY (and OPENAI_BASE_URL for vLLM, Ollama, llama.cpp or any compatible server),"
    " gguf:FILE for a model file on this machine, gguf:demo, or statistics (no LLM: sentences from the evidence)"
)


@dataclass(frozen=True)
class LLM:
    """A provider and its model; written ``provider:model``, or ``statistics``, which has none."""

    provider: Literal["openai", "gguf", "statistics"]
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}" if self.model else self.provider


def parse_llm(text: str | None) -> LLM:
    """Read the LLM argument. Raises `LLMError`, which shows the ways to name one, for none or another form."""
    if not text:
        raise LLMError(f"no LLM is named: use --llm with {WAYS}")
    provider, _, model = text.partition(":")
    if provider == "openai" and model:
        return LLM("openai", model)
    if provider == "gguf" and model:
        return LLM("gguf", model)
    if text == "statistics":
        return LLM("statistics", "")
    raise LLMError(f"'{text}' names no LLM: use {WAYS}")
