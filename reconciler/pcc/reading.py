"""How much of an answer is read.

Owns: the bounds on an answer, as it comes over the wire and unpacked, for one answer and for all that are read at once.
Must not: know what an answer means, or wait longer than the reader.

An answer without end, or a megabyte that unpacks to a gigabyte, costs its own call. It must not cost the memory of a
process that serves every account.
"""

from __future__ import annotations

import asyncio
import zlib

import httpx

MEBIBYTE = 1024 * 1024

LONGEST_LIST = 128 * MEBIBYTE
"""Bytes of a list: that of a million devices has 80 MB. Unpacked, and on the wire."""
LONGEST_OTHER = MEBIBYTE
"""Bytes of any other answer: a confirmation, an error, a token. Real ones have a few hundred."""
FREE = MEBIBYTE
"""Bytes of each answer that need no room: what nearly every answer has waits for no other."""
ALL_AT_ONCE = 160 * MEBIBYTE
"""Bytes of long answers in memory while they are read. One for which there is no room waits, while its call may."""
STEP = MEBIBYTE
"""Bytes that are unpacked before others get their turn."""

_EITHER = zlib.MAX_WBITS | 32
"""What zlib calls "gzip or zlib, whichever it is"."""


class TooLongError(httpx.HTTPError):
    """An answer that is longer than any real one. ``status`` is that of the answer."""

    def __init__(self, limit: int, status: int) -> None:
        super().__init__(
            f"the answer is longer than {limit // MEBIBYTE} MiB, so it was not read to its end"
        )
        self.status = status


class Room:
    """The memory for long answers that all calls share."""

    def __init__(self, size: int = ALL_AT_ONCE) -> None:
        self._left = size
        self._freed = asyncio.Event()

    async def take(self, size: int) -> None:
        """Take this number of bytes of the room, as soon as they are free."""
        while self._left < size:
            self._freed.clear()
            await self._freed.wait()
        self._left -= size

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self._left += size
        self._freed.set()


async def read_whole(response: httpx.Response, limit: int, room: Room) -> bytes:
    """Return an answer's content, unpacked.

    Raises ``TooLongError`` beyond the limit, and ``httpx.DecodingError`` for a packed answer that is broken.
    """
    if response.is_stream_consumed:
        return _within(response.content, limit, response.status_code)
    if _announced_length(response) > limit:
        raise TooLongError(limit, response.status_code)
    taken = 0
    unpacking = _Unpacking() if _is_packed(response) else None
    content, wire = bytearray(), 0
    try:
        async for chunk in response.aiter_raw():
            wire += len(chunk)
            rest = chunk
            while rest:
                piece, rest = (rest, b"") if unpacking is None else unpacking.some(rest)
                if wire > limit or len(content) + len(piece) > limit:
                    raise TooLongError(limit, response.status_code)
                while len(content) + len(piece) > FREE + taken:
                    await room.take(STEP)
                    taken += STEP
                content += piece
                if len(piece) >= STEP:
                    await asyncio.sleep(0)
        if unpacking is not None:
            unpacking.end()
        return bytes(content)
    finally:
        room.give(taken)


def limit_for(request: httpx.Request, status: int) -> int:
    """Return how many bytes the answer to a request may have."""
    return LONGEST_LIST if request.method == "GET" and status < 300 else LONGEST_OTHER  # noqa: PLR2004 - success


def _within(content: bytes, limit: int, status: int) -> bytes:
    if len(content) > limit:
        raise TooLongError(limit, status)
    return content


def _announced_length(response: httpx.Response) -> int:
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0  # noqa: PLR2004 - digits of a 64-bit number


def _is_packed(response: httpx.Response) -> bool:
    """Say whether an answer is packed in the one way that we ask for. What is packed otherwise is left as it is."""
    return response.headers.get("content-encoding", "").strip().lower() in {
        "gzip",
        "x-gzip",
        "deflate",
    }


class _Unpacking:
    """Unpacks piece by piece: a few bytes may become thousands."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(_EITHER)
        self._began = False

    def some(self, packed: bytes) -> tuple[bytes, bytes]:
        """Return one piece, unpacked, and what is left to be unpacked."""
        self._began = True
        try:
            piece = self._zlib.decompress(packed, STEP)
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from error
        return piece, self._zlib.unconsumed_tail

    def end(self) -> None:
        """Insist that nothing is missing."""
        if self._began and not self._zlib.eof:
            raise httpx.DecodingError("the packed answer ends too early")
