"""Who is connected: strangers, raters and the owner, each with room of their own, so that nobody crowds out another.

A connection is a stranger's until its page has looked who is there. The page knows its connection by a header that the
front door adds to the handshake.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from app.front_door.crowd import Crowd

__all__ = ["OWNER", "VISIT_HEADER", "Visit", "Visits", "visits"]

VISIT_HEADER = "X-Headscribe-Visit"

OWNER = "owner"
"""The account of the owner; that of a rater is any other."""

STRANGERS = 100
"""Connections of those who proved nothing, in all."""

OF_AN_ACCOUNT = 16
"""Connections with one code, or of the owner."""


@dataclass(eq=False, slots=True)
class Visit:
    """A connection to a page. ``leave`` has it closed, and may be called from any thread."""

    address: str
    leave: Callable[[], None]
    account: str = ""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))


class Visits:
    """All connections. Safe among threads: the server announces them, pages say whose they are."""

    def __init__(self, strangers: int = STRANGERS, of_an_account: int = OF_AN_ACCOUNT) -> None:
        self._lock = threading.Lock()
        self._visits: dict[str, Visit] = {}
        self._strangers: Crowd[Visit] = Crowd(strangers)
        self._accounts: dict[str, Crowd[Visit]] = {}
        self._of_an_account = of_an_account

    def arrive(self, address: str, leave: Callable[[], None]) -> Visit:
        """A connection was made, by a stranger as far as is known."""
        visit = Visit(address, leave)
        with self._lock:
            self._visits[visit.id] = visit
        self.heard(visit)
        return visit

    def heard(self, visit: Visit) -> None:
        """A connection said something: others have been silent for longer."""
        with self._lock:
            if visit.id not in self._visits:
                return
            leaves = self._crowd(visit.account).enter(visit, visit.account or visit.address)
        if leaves is not None:
            leaves.leave()

    def known(self, visit_id: str, account: str) -> None:
        """Whose a connection is: ``account`` is empty for a stranger. Ids of nobody are passed over."""
        with self._lock:
            visit = self._visits.get(visit_id)
            if visit is None or visit.account == account:
                return
            self._forget(visit)
            visit.account = account
        self.heard(visit)

    def depart(self, visit: Visit) -> None:
        """A connection is closed."""
        with self._lock:
            self._visits.pop(visit.id, None)
            self._forget(visit)

    def _crowd(self, account: str) -> Crowd[Visit]:
        return self._accounts.setdefault(account, Crowd(self._of_an_account)) if account else self._strangers

    def _forget(self, visit: Visit) -> None:
        crowd = self._crowd(visit.account)
        crowd.left(visit)
        if visit.account and not len(crowd):
            del self._accounts[visit.account]


_visits = Visits()


def visits() -> Visits:
    """Those of this process: the server's and its pages' alike."""
    return _visits
