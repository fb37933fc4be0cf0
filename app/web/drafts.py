"""Drafts of raters: what is chosen and written and not yet saved. Kept by the server, so that a reload loses none."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TypeVar, cast

__all__ = ["Drafts"]

T = TypeVar("T")

MOST = 20_000
"""Fields that are kept in all; of more, those that were changed longest ago are forgotten."""


class Drafts:
    """Fields of the forms that raters have before them, by name. Safe among threads; gone when the app ends.

    A name has the id of a presentation or a rater in it, which come from the rater's code and never from the page.
    """

    def __init__(self, most: int = MOST) -> None:
        self._fields: OrderedDict[str, object] = OrderedDict()
        self._most = most
        self._lock = threading.Lock()

    def get(self, name: str, otherwise: T) -> T:
        """A field as it was kept last, of the type of ``otherwise``, which stands for one that was not."""
        with self._lock:
            return cast(T, self._fields.get(name, otherwise))

    def keep(self, name: str, value: object) -> None:
        """Keep a field."""
        with self._lock:
            self._fields[name] = value
            self._fields.move_to_end(name)
            while len(self._fields) > self._most:
                self._fields.popitem(last=False)

    def drop(self, beginning: str) -> None:
        """Forget all fields whose names begin so."""
        with self._lock:
            for name in [name for name in self._fields if name.startswith(beginning)]:
                del self._fields[name]
