"""The owner is known by a token where no password is set: it is in the link that the app prints, as Jupyter's is.

That a visitor comes from this machine proves nothing: whoever comes through a proxy on it does, and any page that the
owner has open can have the browser ask. A browser that came by the link keeps the proof in a cookie, which is not the
token, and the front door takes the token out of the address.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time

from describe.errors import InputError

__all__ = ["TOKEN_PARAMETER", "TOKEN_VARIABLE", "Ownership", "own", "ownership", "same"]

TOKEN_PARAMETER = "token"  # noqa: S105  (the name of a parameter)
TOKEN_VARIABLE = "HEADSCRIBE_APP_TOKEN"  # noqa: S105  (the name of a variable)
SHORTEST = 16
TICKET_SECONDS = 60.0


class Ownership:
    """Proofs of the owner to one server.

    Attributes:
        token: in the link; kept by whoever starts several servers for one app, else another at each start.
        cookie: what a browser keeps that came by the link. Made from the token, which cannot be made from it.
        cookie_name: browsers do not tell the ports of a machine apart, so the port is in it.
    """

    def __init__(self, token: str | None = None, port: int = 0) -> None:
        if token is not None and len(token) < SHORTEST:
            raise InputError(f"{TOKEN_VARIABLE} has {len(token)} characters: use at least {SHORTEST}")
        self.token = token or secrets.token_urlsafe(32)
        self.cookie = hmac.new(self.token.encode(), b"headscribe owner's cookie", hashlib.sha256).hexdigest()
        self.cookie_name = f"headscribe-owner-{port}"
        self.browser_name = f"headscribe-browser-{port}"
        self._ticket, self._until = "", 0.0
        self._lock = threading.Lock()

    def ticket(self) -> str:
        """A ticket for the token, once within a minute: the command line of a browser is seen by everyone here."""
        with self._lock:
            self._ticket, self._until = secrets.token_urlsafe(32), time.monotonic() + TICKET_SECONDS
            return self._ticket

    def admits(self, given: str) -> bool:
        """Whether this is the token, or a ticket that was not used yet."""
        with self._lock:
            if self._ticket and same(given, self._ticket):
                self._ticket = ""
                return time.monotonic() < self._until
        return same(given, self.token)

    def keeps(self, cookie: str) -> bool:
        """Whether this is the cookie of a browser that came by the link."""
        return same(cookie, self.cookie)


def same(given: str, right: str) -> bool:
    """Whether two texts are the same, in a time that does not tell how far they are."""
    return hmac.compare_digest(given.encode("utf-8", "backslashreplace"), right.encode())


_ownership = Ownership()


def ownership() -> Ownership:
    """Proofs of the owner to this process."""
    return _ownership


def own(token: str | None, port: int) -> Ownership:
    """Let the owner be whoever has this token, or a new one. Raises `InputError` for one that is too short."""
    global _ownership
    _ownership = Ownership(token, port)
    return _ownership
