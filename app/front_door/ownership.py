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

__all__ = ["LEAVE", "TOKEN_PARAMETER", "TOKEN_VARIABLE", "Ownership", "own", "ownership", "same"]

TOKEN_PARAMETER = "token"  # noqa: S105  (the name of a parameter)
TOKEN_VARIABLE = "HEADSCRIBE_APP_TOKEN"  # noqa: S105  (the name of a variable)
LEAVE = "/sign-out"
"""The path at which a browser forgets its cookie."""

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
        self.cookie = self._signed("owner's cookie")
        self.cookie_name = f"headscribe-owner-{port}"
        self.browser_name = f"headscribe-browser-{port}"
        self._tickets: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def ticket(self, proof: str = "") -> str:
        """A ticket for a cookie, once within a minute: the command line of a browser is seen by everyone here.

        ``proof``: by what the owner is known, as `cookie_of` takes it.
        """
        with self._lock:
            now = time.monotonic()
            self._tickets = {one: found for one, found in self._tickets.items() if now < found[0]}
            made = secrets.token_urlsafe(32)
            self._tickets[made] = (now + TICKET_SECONDS, proof)
            return made

    def proved(self, given: str) -> str | None:
        """The proof that a ticket stands for, which is used up by that; of the token an empty one; else None."""
        with self._lock:
            until, proof = self._tickets.pop(given, (0.0, ""))
        if until:
            return proof if time.monotonic() < until else None
        return "" if same(given, self.token) else None

    def admits(self, given: str) -> bool:
        """Whether this is the token, or a ticket that was not used yet."""
        return self.proved(given) is not None

    def cookie_of(self, proof: str) -> str:
        """The cookie of a browser whose owner is known by this: the mark of a password, a login; empty: by the link."""
        return self._signed(f"owner's cookie {proof}") if proof else self.cookie

    def keeps(self, cookie: str, proof: str = "") -> bool:
        """Whether this is the cookie of a browser whose owner is known by this."""
        return same(cookie, self.cookie_of(proof))

    def _signed(self, what: str) -> str:
        return hmac.new(self.token.encode(), f"headscribe {what}".encode(), hashlib.sha256).hexdigest()


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
