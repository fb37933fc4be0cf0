"""The bodies of a server's answers, within bounds: from its own address only, in known encodings, up to a size.

Imported only where a request is about to be sent.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import httpx2

from describe.errors import CallError

__all__ = ["ENCODINGS", "bounded"]

ENCODINGS: Final = "gzip, deflate"
"""Encodings asked for. Both are unpacked piece by piece; of others, a few bytes could come to gigabytes at once."""

MOST_WORDS = 2**16
"""Bytes of an error's body that are read: only its words are used."""

_PIECE = 2**16
_GZIP_OR_ZLIB = 47  # zlib's windowBits for either, told apart by the header


def bounded(response: httpx2.Response, most: int) -> None:
    """Have the body of a response read up to so many unpacked bytes.

    Raises `CallError` for a redirect, wherever it leads, and for an encoding that was not asked for; reading the body
    raises it when there is more. Of an error's body only the beginning is read.
    """
    status = response.status_code
    if 300 <= status < 400 and "location" in response.headers:
        raise CallError("redirect", f"the server sends us on to {_target(response)}, where nothing was sent")
    encoding = response.headers.pop("content-encoding", "identity").strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate"):
        unpacking: Any = zlib.decompressobj(_GZIP_OR_ZLIB)
    elif encoding in ("identity", ""):
        unpacking = None
    else:
        raise CallError("server_error", f"the server's answer is packed as '{encoding[:40]}', which nobody asked for")
    failed = status >= 400
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _Body(response.stream, unpacking, min(most, MOST_WORDS) if failed else most, cut=failed)


def _target(response: httpx2.Response) -> str:
    """Where a redirect leads, without what may be secret in it."""
    try:
        target = response.url.join(response.headers["location"])
        return str(target.copy_with(userinfo=b"", query=None, fragment=None))[:200]
    except Exception:  # the server's words, which may be no address, in any of many ways
        return "what is no address"


class _Body(httpx2.AsyncByteStream):
    """A body of at most so many bytes; what is more is left out (``cut``), or a `CallError`."""

    def __init__(self, packed: httpx2.AsyncByteStream, unpacking: Any, most: int, *, cut: bool) -> None:
        self._packed = packed
        self._unpacking = unpacking
        self._most = most
        self._cut = cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most
        async for chunk in self._packed:
            for piece in self._unpacked(chunk):
                yield piece[:left]
                left -= len(piece)
                if left < 0 and self._cut:
                    return
                if left < 0:
                    raise CallError("server_error", f"the server's answer is longer than {self._most:,} bytes")

    async def aclose(self) -> None:
        await self._packed.aclose()

    def _unpacked(self, chunk: bytes) -> Iterator[bytes]:
        if self._unpacking is None:
            yield chunk
            return
        while chunk and not self._unpacking.eof:
            yield self._unpacking.decompress(chunk, _PIECE)
            chunk = self._unpacking.unconsumed_tail
