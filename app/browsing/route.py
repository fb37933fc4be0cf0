"""Browsing, an ASGI layer before Streamlit: pages, heads and searches for the owner; all else is passed on."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from annotations.access import LINK_PARAMETER, has_password
from annotations.recruiting import JOIN_PARAMETER
from app.addresses import READ_ONLY
from app.browsing import parts
from app.browsing.owner import login_configured, owns
from app.front_door.door import POLICY
from app.front_door.ownership import LEAVE, ownership
from app.web.shared import catalogue
from describe.errors import HeadscribeError, InputError
from describe.export.html import App
from describe.export.html.data import to_json
from describe.records import HeadId
from describe.text import json_text
from describe.versions import headscribe_version

__all__ = ["PAGES", "Browsing"]

PAGES = {
    "Browse": "./",
    "Operations": "operations",
    "Checks": "checks",
    "Runs": "runs",
    "Studies": "studies",
    "Report": "report",
}
"""The owner's pages, by the addresses that lead to them from any other."""

READABLE = ("Browse", "Operations", "Checks")
"""Pages for who may only read."""

PARTS = "browse/"
_RATERS = {LINK_PARAMETER, JOIN_PARAMETER}
Query = Mapping[str, str]


class Browsing:
    """An ASGI application before another: Streamlit's, which is at all other addresses and for all other visitors."""

    def __init__(self, app: ASGIApp, base: str = "") -> None:
        """``base``: what all paths begin with."""
        self._app, self._base = app, base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        answer = None
        if scope["type"] == "http":
            path = str(scope["path"]).removeprefix(self._base) if self._base else str(scope["path"])
            query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            if path == LEAVE:
                answer = self._left()
            elif self._is_here(path, query):
                answer = await self._answer(scope, path, query)
        await (answer or self._app)(scope, receive, send)

    @staticmethod
    def _is_here(path: str, query: Query) -> bool:
        """Whether this is an address of browsing. A code makes raters, where there are any."""
        rating = bool(_RATERS & set(query)) and not os.environ.get(READ_ONLY)
        return not rating and (path in _PAGES or path.startswith(f"/{PARTS}"))

    async def _answer(self, scope: Scope, path: str, query: Query) -> Response | None:
        cookie = cookie_parser(Headers(scope=scope).get("cookie", "")).get(ownership().cookie_name, "")
        if not await run_in_threadpool(owns, cookie):
            refused = PlainTextResponse("Only the owner may see this.\n", 403)
            return refused if path.startswith(f"/{PARTS}") else None
        if path in _PAGES:
            scope[POLICY] = "frame-ancestors 'none'"  # and what the page itself says, with the hash of its script
        asked = _PAGES.get(path) or _PARTS.get(path.removeprefix(f"/{PARTS}"))
        try:
            return await run_in_threadpool(asked, query) if asked else PlainTextResponse("Not found.\n", 404)
        except HeadscribeError as error:
            return await run_in_threadpool(_trouble, str(error), path)

    def _left(self) -> Response:
        """Forget the browser; who signed in at an identity provider is signed out by Streamlit's own page."""
        on = "/auth/logout" if login_configured() else "/"
        answer = RedirectResponse(self._base + on, 303, {"Cache-Control": "no-store"})
        answer.delete_cookie(ownership().cookie_name, path=self._base or "/", httponly=True, samesite="strict")
        return answer


def _page(text: str, status: int = 200) -> Response:
    return Response(
        text.encode("utf-8", "backslashreplace"), status, {"Cache-Control": "no-store"}, media_type="text/html"
    )


def _json(value: object) -> Response:
    text = to_json(value).encode("utf-8", "backslashreplace")
    return Response(text, 200, {"Cache-Control": "no-store"}, media_type="application/json")


def _app() -> App:
    if os.environ.get(READ_ONLY):
        return App({title: PAGES[title] for title in READABLE}, PARTS)
    leave = LEAVE.lstrip("/") if has_password(catalogue()) or login_configured() else ""
    return App(PAGES, PARTS, leave)


def _made() -> dict[str, str]:
    return {"generated": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC", "version": headscribe_version()}


def _map(query: Query) -> Response:
    """The map of the model in the address; without one that of the only model, or all models."""
    models = parts.models(catalogue())
    if "model" not in query and len({one["model_id"] for one in models}) != 1:
        return _page(parts.index_page(catalogue(), models, _app(), **_made()))
    one = parts.shown(catalogue(), query.get("model") or models[0]["model"])
    return _page(parts.model_page(catalogue(), one, _app(), **_made(), home="./" if len(models) > 1 else ""))


def _search(query: Query) -> Response:
    """The address of search as older links have it: search is a part of the map, or of all models."""
    return RedirectResponse("./?" + urlencode(query), 303)


def _trouble(words: str, path: str) -> Response:
    """A wrong address in one line: on the page of all models, or as the answer to a page."""
    if path not in _PAGES:
        return PlainTextResponse(words + "\n", 404)
    models = parts.models(catalogue())
    return _page(parts.index_page(catalogue(), models, _app(), **_made(), trouble=words), 404)


def _head(query: Query) -> Response:
    one, head = _named(query)
    file = f"{PARTS}record?" + urlencode({"model": one.address, "head": str(head)})
    found = parts.head_part(catalogue(), one, head, file)
    return _json(found) if found else _none(head)


def _record(query: Query) -> Response:
    """The whole record of a head, as a file."""
    one, head = _named(query)
    record = next(catalogue().head_records(one.info, one.extraction_id, only=head), None)
    if record is None:
        return _none(head)
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", one.info.name)[:60].strip("-.") or "head"
    headers = {"Content-Disposition": f'attachment; filename="{name}-{head}.json"', "Cache-Control": "no-store"}
    text = json_text(record.to_json(), indent=1, ascii_only=True)
    return Response(text, 200, headers, media_type="application/json")


def _none(head: HeadId) -> Response:
    return PlainTextResponse(f"Head {head} of this model is not in the catalogue.\n", 404)


def _named(query: Query) -> tuple[parts.Shown, HeadId]:
    if "model" not in query or "head" not in query:
        raise InputError("which head? name a model and a head")
    return parts.shown(catalogue(), query["model"]), HeadId.parse(query["head"])


def _found(query: Query) -> Response:
    one = parts.shown(catalogue(), query["model"]) if "model" in query else None
    return _json(parts.found(catalogue(), query.get("q", ""), one))


_PAGES: dict[str, Callable[[Query], Response]] = {"/": _map, "/head": _map, "/search": _search}
_PARTS: dict[str, Callable[[Query], Response]] = {"head": _head, "record": _record, "search": _found}
