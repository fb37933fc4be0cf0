"""How many tokens a text has by the tokenizer of the endpoint itself, where it tells: vLLM and llama.cpp do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request as HTTPRequest
from urllib.request import urlopen

from describe.llm.connect import access, endpoint
from describe.llm.spec import LLM

__all__ = ["tokens_per_character"]

MOST_TEXTS = 32
"""So many texts are counted, evenly spread over those given."""


def tokens_per_character(llm: LLM, texts: Sequence[str], timeout: float = 5.0) -> float | None:
    """Tokens per character of these texts, counted by the LLM's endpoint; None where it does not count.

    Costs nothing: the LLM is not asked. OpenAI's own endpoint does not count.
    """
    if not texts or endpoint(llm) is None:
        return None
    step = -(-len(texts) // MOST_TEXTS)
    sample = texts[::step]
    counts = []
    for text in sample:
        count = _count(llm, text, timeout)
        if count is None:
            return None
        counts.append(count)
    return sum(counts) / max(1, sum(map(len, sample)))


def _count(llm: LLM, text: str, timeout: float) -> int | None:
    url, key = access()
    parts = urlsplit(url)
    place = parts._replace(path=parts.path.rstrip("/").removesuffix("/v1") + "/tokenize", query="").geturl()
    body = json.dumps({"model": llm.model, "prompt": text, "content": text}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    try:
        with urlopen(HTTPRequest(place, body, headers), timeout=timeout) as answer:  # noqa: S310  (http or https only)
            told = json.loads(answer.read())
    except (URLError, OSError, ValueError):
        return None
    if not isinstance(told, dict):
        return None
    count, tokens = told.get("count"), told.get("tokens")
    if isinstance(count, int):
        return count
    return len(tokens) if isinstance(tokens, list) else None
