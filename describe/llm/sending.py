"""Requests to an OpenAI-compatible server over HTTP, and what came of each in our own terms. None goes another way.

A server may be broken or hostile: whatever it sends, and however slowly, a request ends within its time, takes so much
memory at most, and comes to an answer or to a failure with its cause. Neither key nor prompt goes to another address.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from describe.errors import CallError, LLMError
from describe.llm.failures import package_of, proxy_of
from describe.llm.wire import Answer, Wire
from describe.providers import Provider
from describe.secrets import keep_secret, keep_secrets_of

if TYPE_CHECKING:
    import ssl

    import anyio
    import httpx2
    import openai

__all__ = ["MOST_ANSWER", "Ask", "Sender", "shown_address"]

CLIENT_ID = "X-Client-Request-Id"
"""The header that gives our own name for a call, which OpenAI's support can search for."""

MOST_ANSWER: Final = 8 * 2**20
"""Bytes of an answer, unpacked. The longest replies of today's models, reasoning included, are under one million."""

Ask = Callable[["openai.AsyncOpenAI", "anyio.CancelScope"], Awaitable["httpx2.Response | None"]]
"""Sends one request; the scope's deadline is when it ends."""

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that name files of certificates."""

_SETTINGS = (
    *_CERTIFICATES,
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
    *("OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS"),
)
"""Variables of the environment that the client reads when it is made."""


class Sender:
    """Connections to one endpoint, kept open between requests. To be used within one event loop, and closed.

    Args:
        base_url: the endpoint, such as ``https://api.openai.com/v1``; a user in it is sent in the place of the key.
        wire: says what failures mean, and how long a request may take.
        most: bytes of an answer, unpacked; a longer one is a failure.

    ``heard``: an answer has begun to come, so that the endpoint is there. Raises `LLMError` when the settings of the
    environment for HTTP cannot be used.
    """

    def __init__(self, base_url: str, api_key: str, wire: Wire, most: int = MOST_ANSWER) -> None:
        keep_secret(api_key)
        keep_secrets_of(base_url)
        self._wire = wire
        self._door = asyncio.Lock()
        name, proxy = proxy_of(wire.where) or ("", "")
        if "://" in proxy and not proxy.startswith("http"):
            scheme = proxy.split("://")[0]
            raise LLMError(f"{name} names a {scheme} proxy, which is not supported: set it to one of HTTP, or unset it")
        self.heard = False
        try:
            self._client = _client(wire.row, base_url, api_key, self._within(most))
        except Exception as error:  # of the package, httpx2 and ssl, and they name no setting
            given = [name for name in _SETTINGS if name in os.environ or name.lower() in os.environ]
            reason = LLMError(
                f"HTTP cannot be set up with {', '.join(given) or wire.row.address}: {wire.first_line(error)}"
            )
        else:
            return
        raise reason

    def _within(self, most: int) -> Callable[[httpx2.Response], Awaitable[None]]:
        """A hook that looks at each answer before its body is read."""

        async def look(response: httpx2.Response) -> None:
            from describe.llm.bodies import bounded

            self.heard = self.heard or not response.is_redirect
            bounded(response, most)

        return look

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def send(self, path: str, body: dict[str, Any], name: str) -> Answer:
        """Send a call, under our own name for it. Raises nothing: failures are part of the answer.

        Answers that come in together are handed over one by one: what a caller then does without waiting, to its next
        request, is done before the next has its answer. Otherwise all would be taken up first and all requests go out
        last, to be answered together again, and the server would be idle meanwhile.
        """
        answer = await self._sent(path, body, name)
        async with self._door:
            await asyncio.sleep(0)  # the request before, on its way out in a task of its own until Python 3.12
        return answer

    async def _sent(self, path: str, body: dict[str, Any], name: str) -> Answer:
        answer = await self.post(f"/{path}", body, {CLIENT_ID: name})
        failure = self._wire.failed_inside(answer.body) if answer.failure is None else None
        return answer if failure is None else replace(answer, failure=failure)

    async def post(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
        """Send JSON to a path behind the endpoint, or to an address that begins with a scheme. Raises nothing."""
        import httpx2

        # By path, not by openai's typed method: to look through its parameters and build its models takes it longer
        # than to send them.
        return await self.ask(
            lambda client, _: client.post(path, cast_to=httpx2.Response, body=body, options={"headers": headers or {}})
        )

    async def ask(self, ask: Ask, seconds: float | None = None) -> Answer:
        """Have one request sent, within so many seconds in all (as the wire's request says). Raises nothing.

        So no exception that carries the server's own words, with a key perhaps among them, is ever on its way.
        """
        import anyio

        package = package_of(self._wire.row)
        seconds = self._wire.request.timeout if seconds is None else seconds
        try:
            with anyio.fail_after(seconds) as scope:
                response = await ask(self._client, scope)
            return Answer() if response is None else self._read(response)
        except TimeoutError:
            failure: CallError | LLMError = CallError("timeout", f"no answer within {seconds:g} s")
        except CallError as error:
            failure = CallError(error.cause, f"{self._wire.where}: {error}")
        except package.APIStatusError as error:
            return Answer(
                headers=error.response.headers,
                failure=self._wire.failed(error),
                unbilled=True,
                status=error.response.status_code,
                words=self._wire.first_line(error),
            )
        except package.APIError as error:
            failure = self._wire.failed(error)
        except Exception as error:
            # At what a hostile server sends, aiohttp, httpx2, zlib, codecs and json raise what no list of ours would
            # hold, and one answer that cannot be read must not cost the calls that are under way.
            failure = CallError(
                "server_error", f"{self._wire.where} answered what is no HTTP: {self._wire.first_line(error)}"
            )
        return Answer(failure=failure, unbilled=isinstance(failure, CallError) and failure.cause == "redirect")

    def _read(self, response: httpx2.Response) -> Answer:
        content = response.content
        try:
            return Answer(response.json(), response.headers, status=response.status_code, content=content)
        except (ValueError, RecursionError):
            failure = self._wire.no_completion(content)
            return Answer(None, response.headers, failure, status=response.status_code, content=content)


def _client(row: Provider, base_url: str, api_key: str, look: Callable[[httpx2.Response], Awaitable[None]]) -> Any:
    from yarl import URL

    from describe.llm.bodies import ENCODINGS

    url = URL(base_url)
    query = dict(url.query)
    headers = {"Accept-Encoding": ENCODINGS}
    if url.user:
        user = b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
        headers["Authorization"] = f"Basic {user}"
    package = package_of(row)
    make = getattr(package, "AsyncOpenAI", None) or package.AsyncAnthropic
    return make(
        api_key=api_key,
        base_url=str(url.with_user(None).with_query(None).with_fragment(None)),
        default_headers=headers,
        default_query=query,
        max_retries=0,
        timeout=None,  # the whole request has its time
        http_client=package.DefaultAioHttpClient(  # a third of the CPU time of the default one
            follow_redirects=False,
            event_hooks={"response": [look]},
            verify=_certificates(*map(os.environ.get, _CERTIFICATES)),
        ),
    )


@cache
def _certificates(*_: str | None) -> ssl.SSLContext:
    """By which servers are known, as two variables of the environment name them: 24 ms to read, so once a process."""
    import httpx2

    return httpx2.create_ssl_context()


def shown_address(base_url: str) -> str:
    """An endpoint as people are shown it: without a user, a password or a query."""
    from yarl import URL

    return str(URL(base_url).with_user(None).with_query(None))
