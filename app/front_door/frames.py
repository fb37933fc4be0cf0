"""Messages of a WebSocket that are too large: read past, without keeping what is in them.

A limit of the WebSocket library would end the connection, and a browser would connect again and say the same again.
"""

from __future__ import annotations

from collections.abc import Iterator

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.front_door.messages import LARGEST

__all__ = ["BoundedPage", "Frames"]


class Frames:
    """A client's messages, with the payload of large messages left out (RFC 6455, section 5.2).

    Attributes:
        cut: whether something was left out of the message that is being read.
    """

    def __init__(self, largest: int) -> None:
        self.cut = False
        self._largest = largest
        self._header = bytearray()
        self._payload = 0  # bytes of the frame that are yet to come
        self._dropped = False  # whether they are left out
        self._size = 0  # of the message, all its frames together

    def read(self, data: bytes) -> Iterator[bytes]:
        """Bytes to pass on, at most a frame at a time: `cut` is about the message that this is of."""
        rest = memoryview(data)
        while rest:
            if self._payload:
                part, rest = rest[: self._payload], rest[self._payload :]
                self._payload -= len(part)
                if not self._dropped:
                    yield bytes(part)
                continue
            self._header.append(rest[0])
            rest = rest[1:]
            if len(self._header) == self._header_length():
                yield self._begin()

    def _header_length(self) -> int:
        if len(self._header) < 2:
            return 2
        masked, length = self._header[1] & 0x80, self._header[1] & 0x7F
        return 2 + {126: 2, 127: 8}.get(length, 0) + (4 if masked else 0)

    def _begin(self) -> bytes:
        """The header of a frame that begins; it is empty where it would make its message too large."""
        header, self._header = self._header, bytearray()
        first, masked, length = header[0], header[1] & 0x80, header[1] & 0x7F
        extended = {126: 2, 127: 8}.get(length, 0)
        self._payload = int.from_bytes(header[2 : 2 + extended], "big") if extended else length
        operation = first & 0x0F
        if operation >= 8:  # of the connection, between the frames of a message; too large a one is an error at once
            self._dropped = False
            return bytes(header)
        if operation:
            self._size, self.cut = 0, False
        self._size += self._payload
        self.cut = self._dropped = self.cut or self._size > self._largest
        return bytes([first, masked]) + header[2 + extended :] if self.cut else bytes(header)


class BoundedPage(WebSocketsSansIOProtocol):
    """The connection of a page. A message that is too large arrives as an empty one."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **named)  # type: ignore[arg-type]
        self._bounded = Frames(LARGEST)

    def data_received(self, data: bytes) -> None:
        """Called with the request that asks for the connection, then with frames."""
        if not self.handshake_initiated:
            return super().data_received(data)
        for part in self._bounded.read(data):
            super().data_received(part)

    def send_receive_event_to_app(self) -> None:
        """Called once a message is complete."""
        if self._bounded.cut:
            self.frames, self.curr_msg_data_type = [b""], "bytes"
        super().send_receive_event_to_app()
