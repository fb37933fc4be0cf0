"""The web server: listens, bounds what a connection may cost before anything is read of it, runs until interrupted."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.front_door.crowd import Crowd
from app.front_door.frames import BoundedPage
from app.front_door.messages import LARGEST
from describe.errors import InputError

__all__ = ["listening", "serve"]

REQUESTS = 200
"""Connections without a page behind them, in all: browsers open six each, for a moment."""

MOST_FILES = 65_536
ENDING_SECONDS = 5


class BoundedConnection(H11Protocol):
    """A connection before it is that of a page. Beyond room for `REQUESTS` of them, one that is silent is dropped."""

    crowd: Crowd[H11Protocol] = Crowd(REQUESTS)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once connected."""
        super().connection_made(transport)
        leaves = self.crowd.enter(self, (self.client or ("",))[0])
        if leaves is not None:
            leaves.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once the other side is gone."""
        self.crowd.left(self)
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Hand over to the connection of a page, of which `Visits` knows."""
        self.crowd.left(self)
        super().handle_websocket_upgrade(event)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises `InputError` where there can be none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot listen on {host} port {port}: {reason}") from error


def serve(app: ASGIApp, listener: socket.socket, certificate: str | None = None, key: str | None = None) -> None:
    """Serve until interrupted."""
    _raise_file_limit()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=BoundedConnection,
            ws=BoundedPage,
            ws_max_size=LARGEST,
            ws_ping_interval=30,
            ws_ping_timeout=30,
            ws_per_message_deflate=False,  # a few bytes would stand for many
            ssl_certfile=certificate,
            ssl_keyfile=key,
            access_log=False,  # addresses hold codes
            log_level="warning",
            use_colors=False,
            server_header=False,
            timeout_graceful_shutdown=ENDING_SECONDS,
        )
    )
    with suppress(KeyboardInterrupt):  # which is raised again once all is closed
        server.run(sockets=[listener])


def _raise_file_limit() -> None:
    """Have as many files open as the system allows this process: each page takes some."""
    if os.name != "posix":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # some systems have a lower limit that they do not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
