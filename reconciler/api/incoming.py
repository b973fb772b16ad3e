"""The body of a call as the server hands it over, piece by piece.

Owns: that it is read once, and how much of it is read at most. Must not: know what is in it, or answer.

Starlette's ``Request.stream`` does the same with two generators more, which an event every few hundred microseconds
pays for.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.types import Receive


class BodyTooLarge(Exception):
    """More came than is taken."""


class Body:
    """What a caller sends after its headers."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_over = False

    async def whole(self, largest: int) -> bytes:
        """Return all of it. Raises ``BodyTooLarge`` and ``ClientDisconnect``."""
        body = await self._piece()
        while not self._is_over and len(body) <= largest:
            body += await self._piece()
        if len(body) > largest:
            raise BodyTooLarge
        return body

    async def drain(self, largest: int, seconds: float) -> None:
        """Read and throw away what still comes: to close on a sender that writes would cut off the answer."""
        size = 0
        with suppress(ClientDisconnect, TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._is_over and size <= largest:
                    size += len(await self._piece())

    async def _piece(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._is_over = True
            raise ClientDisconnect
        self._is_over = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece
