"""One request to an OpenAI-compatible endpoint over HTTP, and what came of it in our own terms."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from describe.errors import CallError, LLMError
from describe.llm.wire import Wire

__all__ = ["Answer", "Sender", "shown_address"]

CLIENT_ID = "X-Client-Request-Id"
"""The header that gives our own name for a call, which OpenAI's support can search for."""


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
        import openai
        from yarl import URL

        url = URL(base_url)
        user = b64encode(f"{url.user}:{url.password or ''}".encode()).decode() if url.user else None
        self._wire = wire
        self._door = asyncio.Lock()
        self._client = openai.AsyncOpenAI(
            api_key=api_key,
            base_url=str(url.with_user(None)),
            default_headers={"Authorization": f"Basic {user}"} if user else None,
            max_retries=0,
            timeout=wire.request.timeout,
            http_client=openai.DefaultAioHttpClient(),  # a third of the CPU time of the default one
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def send(self, path: str, body: dict[str, Any], name: str) -> Answer:
        """Send a request, under our own name for it. Raises nothing: failures are part of the answer.

        So no exception that carries the server's own words, with the key perhaps among them, is ever on its way.

        Answers that come in together are handed over one by one: what a caller then does without waiting, to its next
        request, is done before the next has its answer. Otherwise all would be taken up first and all requests go out
        last, to be answered together again, and the server would be idle meanwhile.
        """
        answer = await self._sent(path, body, name)
        async with self._door:
            await asyncio.sleep(0)  # the request before, on its way out in a task of its own until Python 3.12
        return answer

    async def _sent(self, path: str, body: dict[str, Any], name: str) -> Answer:
        import httpx2
        import openai

        # By path, not by openai's typed method: to look through its parameters and build its models takes it longer
        # than to send them.
        try:
            response = await self._client.post(
                f"/{path}", cast_to=httpx2.Response, body=body, options={"headers": {CLIENT_ID: name}}
            )
        except openai.APIStatusError as error:
            return Answer(headers=error.response.headers, failure=self._wire.failed(error), unbilled=True)
        except openai.OpenAIError as error:
            return Answer(failure=self._wire.failed(error))
        try:
            return Answer(response.json(), response.headers)
        except (ValueError, RecursionError):
            return Answer(headers=response.headers, failure=self._wire.no_completion(response.text))


def shown_address(base_url: str) -> str:
    """An endpoint as people are shown it: without a user, a password or a query."""
    from yarl import URL

    return str(URL(base_url).with_user(None).with_query(None))
