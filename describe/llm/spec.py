"""The LLM argument of every command, ``openai:MODEL`` or ``statistics``: a row of `describe.providers.PROVIDERS`."""

from __future__ import annotations

from dataclasses import dataclass

from describe.errors import LLMError
from describe.providers import PROVIDERS, WAYS, Provider

__all__ = ["LLM", "parse_llm"]


@dataclass(frozen=True)
class LLM:
    """A provider, by name, and its model; written ``provider:model``, or ``statistics``, which has none."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}" if self.model else self.provider

    @property
    def kind(self) -> Provider:
        """The provider's row."""
        return PROVIDERS[self.provider]


def parse_llm(text: str | None) -> LLM:
    """Read the LLM argument. Raises `LLMError`, which shows the ways to name one, for none or another form."""
    if not text:
        raise LLMError(f"no LLM is named: use --llm with {WAYS}")
    name, colon, model = text.partition(":")
    row = PROVIDERS.get(name)
    if row is not None and (bool(model) if row.asks else not colon):
        return LLM(name, model)
    raise LLMError(f"'{text}' names no LLM: use {WAYS}")
