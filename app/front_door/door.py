"""The ASGI layer in front of Streamlit: who may connect, what they may ask for and say, what browsers are told."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from functools import cache
from http.cookies import SimpleCookie
from importlib import resources
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.addresses import network_of
from app.front_door.messages import Conversation
from app.front_door.ownership import TOKEN_PARAMETER, Ownership
from app.front_door.policy import is_own_origin, security_headers
from app.front_door.visits import OWNER, VISIT_HEADER, Visit, Visits

__all__ = ["KEYS_SCRIPT", "POLICY", "FrontDoor"]

_log = logging.getLogger("headscribe.app")

STREAM = "/_stcore/stream"
OPEN = ("/_stcore/health", "/_stcore/host-config")
CLOSED = ("/_stcore/", "/component/", "/app/static/")
KEYS_SCRIPT = "/headscribe/keys.js"
"""Where the script of the raters' keys is: the policy lets no script stand in a page."""

FILES = ("/static/", "/media/", "/headscribe/", *CLOSED)
"""Beginnings of paths that are no pages."""

POLICY = "headscribe.policy"
"""Where a page of ours that is not Streamlit's leaves its own Content-Security-Policy, in the scope of its request."""

TRY_AGAIN, POLICY_VIOLATION, NO_MESSAGE = 1013, 1008, 1007
YEAR = 365 * 24 * 3600


class FrontDoor:
    """An ASGI application before another: Streamlit's."""

    def __init__(self, app: ASGIApp, visits: Visits, ownership: Ownership, public: str = "", base: str = "") -> None:
        """``public``: the origin under which a proxy shows the app; ``base``: what all paths begin with."""
        self._app, self._visits, self._ownership, self._public, self._base = app, visits, ownership, public, base
        self._headers = security_headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._refusal(scope) or self._script(scope) or self._entry(scope)
        cookies = [] if answer else self._first_cookies(scope)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers:
                    headers[name.decode()] = value.decode()
                if POLICY in scope:
                    headers["content-security-policy"] = scope[POLICY]
                for cookie in cookies:
                    headers.append("set-cookie", cookie)
            await send(message)

        await (answer or self._app)(scope, receive, told)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to what no page of ours asks for: nothing is uploaded, no figures of the server are told."""
        path = self._path(scope)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("This server is only read from.\n", 405, {"Allow": "GET, HEAD"})
        if path.startswith(CLOSED) and path not in OPEN:
            return PlainTextResponse("Not found.\n", 404)
        return None

    def _script(self, scope: Scope) -> Response | None:
        """The script of the raters' keys, where that is asked for."""
        if self._path(scope) != KEYS_SCRIPT:
            return None
        return Response(_keys_script(), media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    def _entry(self, scope: Scope) -> Response | None:
        """Take the token out of the address of a page, and leave the cookie with a browser that had the right one."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == TOKEN_PARAMETER]
        if not given or self._path(scope).startswith(FILES):
            return None
        rest = urlencode([(name, value) for name, value in query if name != TOKEN_PARAMETER])
        path = "/" + scope["path"].lstrip("/\\")  # two slashes would lead to another host
        answer = RedirectResponse(f"{path}?{rest}" if rest else path, 303, {"Cache-Control": "no-store"})
        proofs = [proof for one in given if (proof := self._ownership.proved(one)) is not None]
        if proofs:
            cookie = self._ownership.cookie_of(proofs[0])
            answer.headers.append("set-cookie", self._cookie(scope, self._ownership.cookie_name, cookie))
        return answer

    def _first_cookies(self, scope: Scope) -> list[str]:
        """A browser that opens a page gets a name of its own: one that signed in before is told from strangers."""
        name = self._ownership.browser_name
        if self._path(scope).startswith(FILES) or name in cookie_parser(Headers(scope=scope).get("cookie", "")):
            return []
        return [self._cookie(scope, name, secrets.token_urlsafe(24), YEAR)]

    def _cookie(self, scope: Scope, name: str, value: str, age: int | None = None) -> str:
        jar: SimpleCookie = SimpleCookie({name: value})
        jar[name]["path"], jar[name]["httponly"], jar[name]["samesite"] = self._base or "/", True, "Strict"
        jar[name]["secure"] = scope["scheme"] == "https" or self._public.startswith("https:")
        if age is not None:
            jar[name]["max-age"] = age
        return jar[name].OutputString()

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = MutableHeaders(scope=scope)
        origin = headers.get("origin")
        # Programs that are no browsers send no origin, and carry nobody's cookies but their own.
        foreign = origin is not None and not is_own_origin(origin, headers.get("host", ""), self._public)
        if self._path(scope) != STREAM or foreign:
            await receive()
            return await send({"type": "websocket.close", "code": POLICY_VIOLATION})  # which answers 403
        if origin:  # compared already: Streamlit would ask a server elsewhere for the address of this machine
            headers["host"] = urlsplit(origin).netloc
        visit = self._visits.arrive(network_of((scope.get("client") or ("",))[0]), _closer(send))
        headers[VISIT_HEADER] = visit.id
        try:
            await self._app(scope, self._listening(visit, receive, send), send)
        finally:
            self._visits.depart(visit)

    def _listening(self, visit: Visit, receive: Receive, send: Send) -> Receive:
        """``receive`` with the messages that Streamlit is to see."""
        conversation = Conversation()

        async def heard() -> Message:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive":
                    return message
                self._visits.heard(visit)
                try:
                    data = conversation.heard(_bytes(message), owner=visit.account == OWNER)
                except ValueError:
                    await send({"type": "websocket.close", "code": NO_MESSAGE})
                    return {"type": "websocket.disconnect", "code": NO_MESSAGE}
                if data is not None:
                    return {"type": "websocket.receive", "bytes": data}

        return heard

    def _path(self, scope: Scope) -> str:
        """The path without what all addresses begin with."""
        return str(scope["path"]).removeprefix(self._base) if self._base else str(scope["path"])


@cache
def _keys_script() -> str:
    return (resources.files("app.web") / "keys.js").read_text(encoding="utf-8")


def _bytes(message: Message) -> bytes:
    """The bytes in a message. Raises `ValueError` for text: pages send none."""
    data = message.get("bytes")
    if not isinstance(data, bytes):
        raise ValueError("this is text")
    return data


def _closer(send: Send) -> Callable[[], None]:
    """Closes a connection, from whatever thread."""
    loop = asyncio.get_running_loop()

    async def close() -> None:
        try:
            await send({"type": "websocket.close", "code": TRY_AGAIN, "reason": "others want to come in"})
        except Exception:  # it is closed already, in one of several ways
            _log.debug("a connection was gone before it was closed", exc_info=True)

    def from_any_thread() -> None:
        loop.call_soon_threadsafe(lambda: loop.create_task(close()))

    return from_any_thread
