"""From an LLM argument to a client that can be asked: by the module that its provider's row names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import Protocol, cast

from describe.errors import LLMError
from describe.llm.asking import Oversight, Request
from describe.llm.batches import BatchClient
from describe.llm.client import ChatClient
from describe.llm.spec import LLM
from describe.providers import WAYS

__all__ = ["ProviderModule", "connect", "connect_batches", "endpoint", "identity"]


class ProviderModule(Protocol):
    """The interface of a provider's module, such as `describe.llm.openai_server`."""

    def identity(self, llm: LLM) -> dict[str, str]:
        """Fields that tell this LLM from a namesake: its ``endpoint``, or its file's ``content_hash``.

        Asks nobody. Raises `LLMError` when there is no key, no such file, or no package for it.
        """
        ...

    def open_client(self, llm: LLM, request: Request, concurrency: int, oversight: Oversight | None) -> ChatClient:
        """A client of the LLM, to be closed. Raises `LLMError` as ``identity`` does, or when it cannot be served."""
        ...

    def open_batches(self, llm: LLM, request: Request) -> BatchClient:
        """A client of its Batch API, to be closed; only where the row says that there is one."""
        ...


def _module(llm: LLM) -> ProviderModule:
    if llm.kind.module is None:
        raise LLMError(f"{llm} asks nobody. The ways to name an LLM: {WAYS}")
    return cast("ProviderModule", import_module(llm.kind.module))


def identity(llm: LLM) -> dict[str, str]:
    """Fields that tell it from a namesake, for provenance. Raises `LLMError` as `ProviderModule.identity` does."""
    return _module(llm).identity(llm)


def endpoint(llm: LLM) -> str | None:
    """The endpoint that stands in for the provider's own, whose prices are known; None for that one, or for a file."""
    found = identity(llm).get("endpoint")
    return None if found == llm.kind.official else found


@asynccontextmanager
async def connect(
    llm: LLM, request: Request, concurrency: int, oversight: Oversight | None = None
) -> AsyncIterator[ChatClient]:
    """A client of the LLM, closed at the end. Raises `LLMError` as `ProviderModule.open_client` does."""
    client = _module(llm).open_client(llm, request, concurrency, oversight)
    try:
        yield client
    finally:
        await client.close()


@contextmanager
def connect_batches(llm: LLM, request: Request) -> Iterator[BatchClient]:
    """A client of the LLM's Batch API, closed at the end. Raises `LLMError` as `identity` does."""
    client = _module(llm).open_batches(llm, request)
    try:
        yield client
    finally:
        client.close()
