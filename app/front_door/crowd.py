"""Room for so many and no more: who came last is let in, and who has been silent for longest has to leave."""

from __future__ import annotations

from collections import Counter
from typing import Generic, TypeVar

__all__ = ["Crowd"]

Guest = TypeVar("Guest")


class Crowd(Generic[Guest]):
    """Guests, each of some address. Not safe among threads."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._guests: dict[Guest, str] = {}  # those silent for longest first

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, guest: Guest, address: str) -> Guest | None:
        """Let a guest in, or hear of one again; returns who has to leave for that.

        It is somebody of the address that most guests are of, so that a crowd of one address keeps no other out.
        """
        self._guests.pop(guest, None)
        self._guests[guest] = address
        if len(self._guests) <= self._room:
            return None
        crowded = Counter(self._guests.values()).most_common(1)[0][0]
        leaves = next(one for one, address in self._guests.items() if address == crowded)
        del self._guests[leaves]
        return leaves

    def left(self, guest: Guest) -> None:
        """A guest is gone."""
        self._guests.pop(guest, None)
