"""State that all visitors of the app share: the catalogue, the raters' desk and drafts, failed attempts. One each.

Kept by this module and not by Streamlit's cache, which a message of its protocol clears.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field

from annotations.access import Attempts, PasswordAttempts
from annotations.rating import RatingDesk
from app.options import DEFAULT_CATALOGUE
from app.web.drafts import Drafts
from describe.catalog import Catalogue

__all__ = ["Door", "catalogue", "close", "desk", "door", "drafts", "where"]


@dataclass(frozen=True, slots=True)
class Door:
    """Failed attempts with codes and with the password; one password is tried at a time, scrypt being dear.

    Of an address, so many raters enter themselves within five minutes.
    """

    codes: Attempts = field(default_factory=lambda: Attempts(limit=30))
    entering: Attempts = field(default_factory=lambda: Attempts(limit=60))
    passwords: PasswordAttempts = field(default_factory=PasswordAttempts)
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Shared:
    """State shared by those who work on one catalogue."""

    catalogue: Catalogue
    desk: RatingDesk
    door: Door
    drafts: Drafts


_open: dict[str, Shared] = {}
_opening = threading.Lock()


def catalogue() -> Catalogue:
    """The catalogue that the app was started on, with an engine of its own for all sessions."""
    return _shared().catalogue


def desk() -> RatingDesk:
    """Where raters work."""
    return _shared().desk


def door() -> Door:
    """Who failed to get in."""
    return _shared().door


def drafts() -> Drafts:
    """Answers that raters have not saved yet."""
    return _shared().drafts


def where() -> str:
    """The place of the catalogue that the app was started on: a file, or a URL that may hold a password."""
    return os.environ.get("HEADSCRIBE_CATALOG") or DEFAULT_CATALOGUE


def close() -> None:
    """Close and forget all of it."""
    with _opening:
        while _open:
            _open.popitem()[1].catalogue.close()


def _shared() -> Shared:
    place = where()
    with _opening:
        if place not in _open:
            opened = Catalogue(place)
            _open[place] = Shared(opened, RatingDesk(opened), Door(), Drafts())
        return _open[place]
