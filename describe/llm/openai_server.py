"""``openai:MODEL``: OpenAI, or whatever server speaks its language."""

from __future__ import annotations

from describe.llm.access import access, endpoint_of
from describe.llm.asking import Oversight, Request
from describe.llm.batches import BatchClient
from describe.llm.client import ChatClient
from describe.llm.sending import shown_address
from describe.llm.spec import LLM
from describe.llm.wire import Wire

__all__ = ["identity", "open_batches", "open_client"]


def identity(llm: LLM) -> dict[str, str]:
    """The endpoint. Raises `LLMError` when there is no key."""
    return {"endpoint": endpoint_of(llm.kind)}


def open_client(llm: LLM, request: Request, concurrency: int, oversight: Oversight | None) -> ChatClient:
    """A client of the endpoint, to be closed."""
    url, key = access(llm.kind)
    return ChatClient(Wire(llm.model, shown_address(url), request, identity=identity(llm)), url, key, oversight)


def open_batches(llm: LLM, request: Request) -> BatchClient:
    """A client of the endpoint's Batch API, to be closed."""
    return BatchClient(llm.model, *access(llm.kind), request, identity(llm))
