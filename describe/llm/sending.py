"""One request to an OpenAI-compatible endpoint over HTTP, and what came of it in our own terms.

By aiohttp alone, not by the openai package: to look through its parameters and build its models takes that one several
times as long as to send them. Batches, whose requests are few, go through the package.
"""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from describe.errors import CallError, LLMError
from describe.llm.failures import answered_with, retry_after
from describe.llm.wire import Wire
from describe.versions import headscribe_version

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Answer", "Sender", "shown_address"]

CLIENT_ID = "X-Client-Request-Id"
"""The header that gives our own name for a call, which OpenAI's support can search for."""

_ACCOUNT = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
"""Headers that name the account to bill, and where they are read from."""

_KEPT = 4.0
"""Seconds a connection is kept for the next request: fewer than the 5 after which uvicorn, and so vLLM, ends it."""


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    Attributes:
        body: the server's JSON; None where there was none.
        headers: as the server sent them.
        failure: what went wrong, if anything did.
        unbilled: the server refused the request, so that it was surely free.
    """

    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: CallError | LLMError | None = None
    unbilled: bool = False


class Sender:
    """Connections to one endpoint, kept open between requests. To be made within an event loop, and closed.

    Args:
        base_url: the endpoint, such as ``https://api.openai.com/v1``; a user in it is sent in the place of the key.
        wire: says what the key is, and takes it out of whatever is told of failures.
    """

    def __init__(self, base_url: str, api_key: str, wire: Wire) -> None:
        import aiohttp
        from yarl import URL

        url = URL(base_url)
        user = b64encode(f"{url.user}:{url.password or ''}".encode()).decode() if url.user else None
        self._url = url.with_user(None)
        self._wire = wire
        self._patience = wire.request.timeout
        account = {name: os.environ[variable] for name, variable in _ACCOUNT.items() if os.environ.get(variable)}
        self._session = aiohttp.ClientSession(
            trust_env=True,  # proxies
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEPT, ssl=_trusted() if url.scheme == "https" else True
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._patience, sock_read=self._patience),
            headers={
                "Authorization": f"Basic {user}" if user else f"Bearer {api_key}",
                "Content-Type": "application/json",
                "Accept": "application/json",
                "User-Agent": f"headscribe/{headscribe_version()}",
                **account,
            },
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()

    async def send(self, path: str, body: dict[str, Any], name: str) -> Answer:
        """Send a request, under our own name for it. Raises nothing: failures are part of the answer.

        So no exception that carries the server's own words, with the key perhaps among them, is ever on its way.
        """
        import aiohttp

        try:
            async with self._session.post(
                self._url.joinpath(*path.split("/")), data=json.dumps(body).encode(), headers={CLIENT_ID: name}
            ) as response:
                text = await response.read()
        except asyncio.TimeoutError:
            return Answer(failure=CallError("timeout", f"no answer within {self._patience:g} s"))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = self._wire.line(str(error)) or type(error).__name__
            return Answer(failure=CallError("connection", f"{self._wire.where} cannot be reached: {why}"))
        if response.status >= 300:
            return Answer(headers=response.headers, failure=self._refusal(response, text), unbilled=True)
        try:
            return Answer(json.loads(text), response.headers)
        except (ValueError, RecursionError):
            return Answer(headers=response.headers, failure=self._wire.no_completion(text.decode("utf-8", "replace")))

    def _refusal(self, response: aiohttp.ClientResponse, text: bytes) -> CallError | LLMError:
        """What an answer with an HTTP status of failure means."""
        said = text.decode("utf-8", "replace")
        try:
            told = json.loads(said)
        except (ValueError, RecursionError):
            told = None
        error = told.get("error", told) if isinstance(told, dict) else None
        code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, said)
        shown = self._wire.line(f"status {response.status}: {message or response.reason or ''}")
        waits = retry_after(response.headers)
        return answered_with(response.status, code, shown, self._wire.where, self._wire.model, waits)


def shown_address(base_url: str) -> str:
    """An endpoint as people are shown it: without a user, a password or a query."""
    from yarl import URL

    return str(URL(base_url).with_user(None).with_query(None))


def _trusted() -> Any:
    """The certificates that the openai package trusts too."""
    import httpx2

    return httpx2.create_ssl_context()
