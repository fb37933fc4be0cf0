"""From an LLM argument to a client that can be asked."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from describe.errors import LLMError
from describe.llm.client import ChatClient, Request
from describe.llm.spec import LLM, WAYS
from describe.weights.locate import Location, content_hash

__all__ = ["connect", "identity"]

OPENAI = "https://api.openai.com/v1"


def identity(llm: LLM) -> dict[str, str]:
    """What tells this LLM from a namesake, for provenance: its endpoint, or its file's content hash.

    Asks nobody. Raises `LLMError` when there is no key, no such file, or no engine for it.
    """
    if llm.provider == "gguf":
        from describe.llm.local import model_file

        return {"content_hash": content_hash(Location(llm.model, model_file(llm.model)))}
    endpoint, _ = _endpoint()
    parts = urlsplit(endpoint)
    return {"endpoint": f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"}


@asynccontextmanager
async def connect(llm: LLM, request: Request, concurrency: int) -> AsyncIterator[ChatClient]:
    """A client of the LLM, closed at the end; a GGUF file is served in this process.

    Raises `LLMError` as `identity` does, or when the file cannot be loaded.
    """
    if llm.provider == "gguf":
        from describe.llm.local import serve

        client = ChatClient("local", *serve(llm.model, request.max_tokens, concurrency), request, lengths=True)
    else:
        client = ChatClient(llm.model, *_endpoint(), request)
    try:
        yield client
    finally:
        await client.close()


def _endpoint() -> tuple[str, str]:
    """The OpenAI-compatible endpoint and key of the environment. A server of one's own may need no key."""
    url = os.environ.get("OPENAI_BASE_URL")
    key = os.environ.get("OPENAI_API_KEY") or ("none" if url else "")
    if not key:
        raise LLMError(f"OPENAI_API_KEY is not set. The ways to name an LLM: {WAYS}")
    if url and urlsplit(url).scheme not in ("http", "https"):
        raise LLMError("OPENAI_BASE_URL is not a web address: it starts with http:// or https:// and ends with /v1")
    return url or OPENAI, key
