"""Parameters that one call is made without, because the server seems not to know them."""

from __future__ import annotations

from collections.abc import Iterable

from describe.errors import CallError
from describe.llm.failures import refused_parameter
from describe.llm.wire import GUESSED, Wire

__all__ = ["Trial"]

ENOUGH = 2
"""Prompts for which leaving a parameter out by guess has helped, before it is left out of all."""


class Trial:
    """One call's own parameters to leave out.

    A parameter that the server names is left out of all later calls too. One that is left out by guess, or that a
    server names while it fails, is about this prompt alone, which may have been refused for what it says.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._own: set[str] = set()

    @property
    def left_out(self) -> set[str]:
        """Parameters not to send."""
        return self._wire.refused | self._own

    def leave_out(self, failure: CallError, sent: Iterable[str]) -> bool:
        """Whether a call that failed is to be made again without one more parameter."""
        complaint, sent = str(failure), set(sent)
        if failure.cause not in ("bad_request", "server_error"):
            return False
        named = refused_parameter(complaint, sent, guess=False)
        if named is not None and failure.cause == "bad_request":
            self._wire.refused.add(named)
            return True
        guessed = named or (refused_parameter(complaint, sent) if failure.cause == "bad_request" else None)
        if guessed is None:
            return False
        self._own.add(guessed)
        return True

    def helped(self, sent: Iterable[str]) -> None:
        """The call was answered, asked with these: what was left out may be no parameter of this server."""
        self._wire.known.update(GUESSED & set(sent))
        for name in self._own - self._wire.known:
            self._wire.doubted[name] += 1
            if self._wire.doubted[name] >= ENOUGH:
                self._wire.refused.add(name)
