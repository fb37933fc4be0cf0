"""How many tokens a text has by the tokenizer of the endpoint itself, where it tells: vLLM and llama.cpp do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from describe.llm.access import access
from describe.llm.asking import Request
from describe.llm.completion import object_of, token_count
from describe.llm.connect import endpoint
from describe.llm.money import most_tokens
from describe.llm.sending import Sender, shown_address
from describe.llm.spec import LLM
from describe.llm.wire import Wire

__all__ = ["tokens_per_character"]

MOST_TEXTS = 32
"""So many texts are counted, evenly spread over those given."""

ADDED = 16
"""Tokens that a tokenizer puts around a text, at most."""


def tokens_per_character(llm: LLM, texts: Sequence[str], timeout: float = 5.0) -> float | None:
    """Tokens per character of these texts, counted by the LLM's endpoint; None where it does not count in time.

    Costs nothing: the LLM is not asked. OpenAI's own endpoint does not count. Raises `LLMError` as `connect` does.
    """
    from anyio.from_thread import start_blocking_portal

    if not texts or not llm.kind.counts or endpoint(llm) is None:
        return None
    step = -(-len(texts) // MOST_TEXTS)
    sample = texts[::step]
    with start_blocking_portal() as portal:
        counts = portal.call(_counts, llm, sample, timeout)
    return None if counts is None else sum(counts) / max(1, sum(map(len, sample)))


async def _counts(llm: LLM, texts: Sequence[str], timeout: float) -> list[int] | None:
    """The tokens of each text; None where the server does not count one of them, or not all in time."""
    import anyio

    url, key = access(llm.kind)
    sender = Sender(url, key, Wire(llm.model, shown_address(url), Request(timeout=timeout)))
    place = shown_address(url).rstrip("/").removesuffix("/v1") + "/tokenize"
    counts = []
    try:
        with anyio.move_on_after(2 * timeout):
            for text in texts:
                answer = await sender.post(place, {"model": llm.model, "prompt": text, "content": text})
                count = _count(text, answer.body)
                if count is None:
                    return None
                counts.append(count)
    finally:
        await sender.close()
    return counts if len(counts) == len(texts) else None


def _count(text: str, told: Any) -> int | None:
    """The tokens of a text as the server tells; None where they cannot be so many."""
    found = object_of(told)
    tokens = found.get("tokens")
    count = token_count(found.get("count")) or (len(tokens) if isinstance(tokens, list) else None)
    return count if count is not None and count <= most_tokens(text) + ADDED else None
