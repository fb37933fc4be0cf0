"""Visitors of the web app without a browser: Streamlit's WebSocket, spoken to as its page speaks to it.

`serving` starts the real command as a process; a `Visitor` is one browser tab. One thread holds hundreds of them.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

__all__ = ["AppProcess", "Visitor", "serving", "visiting"]

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class AppProcess:
    """A running ``headscribe app``."""

    process: subprocess.Popen[str]
    port: int

    @property
    def address(self) -> str:
        """Where its pages are."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(where: str | Path, *options: str, port: int = 0, log: Path | None = None) -> Iterator[AppProcess]:
    """``headscribe app`` on a catalogue (a path or URL), on a free port; what it says is added to the file ``log``."""
    with socket.create_server(("127.0.0.1", port)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "app", "app", "--catalog", str(where), "--port", str(port), "--no-browser"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
    with open(log or os.devnull, "a") as told:
        process = subprocess.Popen([*command, *options], env=environment, stdout=told, stderr=told, text=True, cwd=ROOT)
        try:
            _await_health(process, port)
            yield AppProcess(process, port)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=30)
            finally:
                process.kill()


def _await_health(process: subprocess.Popen[str], port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).close()
            return
        except OSError:
            assert process.poll() is None, "the app did not start"
            assert time.monotonic() < until, "the app does not answer"
            time.sleep(0.1)


@asynccontextmanager
async def visiting(
    port: int,
    query: str = "",
    page: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    origin: str | None = None,
    session: str | None = None,
) -> AsyncIterator[Visitor]:
    """A tab that has opened a page and seen it drawn.

    Args:
        port: of the app on this machine.
        query: behind the ``?`` of the address.
        page: the page's path; ``""`` is the first.
        headers, origin: what the browser sends when it connects.
        session: the id of a session to take up again, as after a lost connection.
    """
    known = [session] if session else []
    async with connect(
        f"ws://127.0.0.1:{port}/_stcore/stream",
        origin=origin,  # type: ignore[arg-type]
        additional_headers=dict(headers or {}),
        subprotocols=["streamlit", "-", *known],  # type: ignore[list-item]
        max_size=None,
        proxy=None,
    ) as connection:
        visitor = Visitor(connection, query, page)
        reading = asyncio.create_task(visitor.read())
        try:
            await visitor.rerun()
            yield visitor
        finally:
            reading.cancel()


@dataclass
class Drawn:
    """An element of the page, the fragment it belongs to, and the run that drew it."""

    element: Any
    fragment: str
    run: str


class Visitor:
    """One tab: what is on the page, and what can be pressed and typed. Made by `visiting`.

    Attributes:
        session: the id of the session that the server gave.
        finished: how many runs of the page's script have ended (those that began another one do not count).
        received: bytes of messages.
    """

    def __init__(self, connection: ClientConnection, query: str = "", page: str = "") -> None:
        self.query, self.page = query, page
        self.session, self.finished, self.received = "", 0, 0
        self._connection = connection
        self._page_hash = ""
        self._drawn: dict[tuple[int, ...], Drawn] = {}
        self._passing: dict[tuple[int, ...], list[str]] = {}
        self._typed: dict[str, str] = {}
        self._run, self._fragments = "", frozenset[str]()
        self._news, self._ended = asyncio.Condition(), False

    # -- what is there --------------------------------------------------------------------------------------------

    def elements(self, kind: str) -> list[Any]:
        """All elements of a kind (``"button"``, ``"html"``, ...) as Streamlit's messages, in the order of the page."""
        places = sorted(self._drawn)
        return [getattr(e, kind) for e in (self._drawn[at].element for at in places) if e.WhichOneof("type") == kind]

    def html(self) -> str:
        """All HTML of the page, and the words beside its progress bar."""
        return "\n".join([one.text for one in self.elements("progress")] + [one.body for one in self.elements("html")])

    def notices(self) -> list[tuple[str, str]]:
        """The kind and the words of every notice."""
        return re.findall(r'class="hs-notice hs-(\w+)" role="\w+">(.*?)</p>', self.html(), re.S)

    def waits(self) -> list[str]:
        """The words beside every spinner."""
        return [words for place in sorted(self._passing) for words in self._passing[place]]

    def buttons(self) -> dict[str, Any]:
        """The buttons that can be pressed, by their key."""
        return {_key(button.id): button for button in self.elements("button") if not button.disabled}

    # -- what a visitor does --------------------------------------------------------------------------------------

    async def press(self, ending: str, *, wait: bool = True, timeout: float = 60) -> float:
        """Press the button whose key ends like this; the seconds until the page was drawn again.

        Raises ``LookupError`` when there is no such button.
        """
        found = next((button for key, button in self.buttons().items() if key.endswith(ending)), None)
        if found is None:
            raise LookupError(f"no button '{ending}' among {', '.join(self.buttons())}")
        return await self.rerun(pressed=found.id, wait=wait, timeout=timeout)

    def type(self, ending: str, text: str) -> None:
        """Fill a text field whose key ends like this; it is sent with the next press."""
        (field,) = [one for one in self.elements("text_input") if _key(one.id).endswith(ending)]
        self._typed[field.id] = text

    async def rerun(self, *, pressed: str | None = None, wait: bool = True, timeout: float = 60) -> float:
        """Ask for the page anew, with the id of a button that was pressed; the seconds until it is drawn."""
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.page_name, asked.page_script_hash = self.query, self.page, self._page_hash
        if pressed is not None:
            asked.widget_states.widgets.add(id=pressed, trigger_value=True)
            asked.fragment_id = self._fragment_of(pressed)
        for id_, text in self._typed.items():
            asked.widget_states.widgets.add(id=id_, string_value=text)
        start, before = time.perf_counter(), self.finished
        await self._connection.send(message.SerializeToString())
        if wait:
            await self.until(lambda _: self.finished > before, timeout)
        return time.perf_counter() - start

    async def until(self, holds: Callable[[Visitor], bool], timeout: float = 60) -> None:
        """Wait until something holds of this tab.

        Raises ``asyncio.TimeoutError``, or ``ConnectionError`` when the server ended the connection.
        """
        await asyncio.wait_for(self._hears(holds), timeout)

    async def _hears(self, holds: Callable[[Visitor], bool]) -> None:
        async with self._news:
            await self._news.wait_for(lambda: holds(self) or self._ended)
        if not holds(self):
            raise ConnectionError("the connection ended")

    # -- what the server sends ------------------------------------------------------------------------------------

    async def read(self) -> None:
        """Take in what the server sends, until cancelled or cut off."""
        try:
            async for raw in self._connection:
                message = ForwardMsg()
                message.ParseFromString(raw)  # type: ignore[arg-type]
                async with self._news:
                    self.received += len(raw)
                    self._take(message)
                    self._news.notify_all()
        finally:
            self._ended = True
            async with self._news:
                self._news.notify_all()

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            started, run = message.new_session, message.metadata.run
            self._run, self._fragments = run.script_run_id, frozenset(run.fragment_ids)
            self._page_hash = started.page_script_hash
            self.session = started.initialize.session_id or self.session
        elif kind == "delta":
            self._draw(tuple(message.metadata.delta_path), message.delta)
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            self._sweep()
            self.finished += 1

    def _draw(self, place: tuple[int, ...], delta: Delta) -> None:
        if delta.WhichOneof("type") == "new_element":
            self._drawn[place] = Drawn(delta.new_element, delta.fragment_id, self._run)
        elif delta.WhichOneof("type") == "add_block":
            self._drawn.pop(place, None)
        else:
            self._passing[place] = [one.spinner.text for one in delta.new_transient.elements]

    def _sweep(self) -> None:
        """Drop what the run that ended has not drawn again; the run of a fragment says nothing of the rest."""

        def stale(one: Drawn) -> bool:
            return one.run != self._run and (not self._fragments or one.fragment in self._fragments)

        self._drawn = {place: one for place, one in self._drawn.items() if not stale(one)}
        self._passing.clear()

    def _fragment_of(self, widget: str) -> str:
        for one in self._drawn.values():
            kind = one.element.WhichOneof("type")
            if kind and getattr(getattr(one.element, kind), "id", None) == widget:
                return one.fragment
        return ""


def _key(widget: str) -> str:
    """The key that the page gave a widget: ``$$ID-<hash>-<key>``."""
    return widget.split("-", 2)[-1]
