"""From an LLM argument to a client that can be asked."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

from describe.errors import LLMError
from describe.llm.asking import Oversight, Request
from describe.llm.batches import BatchClient
from describe.llm.client import ChatClient
from describe.llm.spec import LLM, WAYS
from describe.secrets import keep_secret, keep_secrets_of
from describe.weights.locate import Location, content_hash

__all__ = ["access", "connect", "connect_batches", "endpoint", "identity"]

OPENAI = "https://api.openai.com/v1"


def identity(llm: LLM) -> dict[str, str]:
    """What tells this LLM from a namesake, for provenance: its endpoint, or its file's content hash.

    Asks nobody. Raises `LLMError` when there is no key, no such file, or no engine for it.
    """
    if llm.provider == "gguf":
        from describe.llm.local import model_file

        return {"content_hash": content_hash(Location(llm.model, model_file(llm.model)))}
    parts = urlsplit(access()[0])
    return {"endpoint": f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"}


def endpoint(llm: LLM) -> str | None:
    """The endpoint that stands in for OpenAI's own, whose prices are known; None for that one."""
    if llm.provider != "openai" or identity(llm)["endpoint"] == OPENAI:
        return None
    return identity(llm)["endpoint"]


@asynccontextmanager
async def connect(
    llm: LLM, request: Request, concurrency: int, oversight: Oversight | None = None
) -> AsyncIterator[ChatClient]:
    """A client of the LLM, closed at the end; a GGUF file is served in this process.

    Raises `LLMError` as `identity` does, or when the file cannot be loaded.
    """
    who = identity(llm)
    if llm.provider == "gguf":
        from describe.llm.local import serve

        served = serve(llm.model, request.max_tokens, concurrency)
        client = ChatClient("local", *served, request, lengths=True, identity=who, oversight=oversight)
    else:
        client = ChatClient(llm.model, *access(), request, identity=who, oversight=oversight)
    try:
        yield client
    finally:
        await client.close()


@contextmanager
def connect_batches(llm: LLM, request: Request) -> Iterator[BatchClient]:
    """A client of the LLM's Batch API, closed at the end. Raises `LLMError` as `identity` does."""
    client = BatchClient(llm.model, *access(), request, identity(llm))
    try:
        yield client
    finally:
        client.close()


def access() -> tuple[str, str]:
    """The OpenAI-compatible endpoint and key of the environment. A server of one's own may need no key."""
    url = os.environ.get("OPENAI_BASE_URL", "").strip()
    key = os.environ.get("OPENAI_API_KEY", "").strip() or ("none" if url else "")
    if not key:
        raise LLMError(f"OPENAI_API_KEY is not set. The ways to name an LLM: {WAYS}")
    keep_secret(key)
    keep_secrets_of(url)
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        if not all("!" <= character <= "~" for character in os.environ.get(name, "").strip()):
            raise LLMError(f"{name} holds a character that no key has: a space, or one that is not ASCII")
    if url and not _is_web_address(url):
        raise LLMError(
            "OPENAI_BASE_URL is not a web address: it starts with http:// or https://, names a host and perhaps a port,"
            " and ends with /v1"
        )
    return url or OPENAI, key


def _is_web_address(url: str) -> bool:
    """Whether a request can go there: it is read as those read it that will send one."""
    from yarl import URL

    try:
        parts, read = urlsplit(url), URL(url)
        sendable = url.isprintable() and " " not in url and parts.port != 0
        return sendable and parts.scheme in ("http", "https") and bool(parts.hostname and read.host)
    except ValueError:
        return False
