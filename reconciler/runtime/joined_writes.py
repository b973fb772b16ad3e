"""A connection on which what is written in one turn of the event loop leaves as one packet.

Owns: holding what is written until the turn ends. Must not: hold anything longer, or know what the bytes are.

Uvicorn writes the head of an answer and its body one after the other. Each is a call of the system, and wakes the
caller: together that is a fifth of what a small answer costs.
"""

from __future__ import annotations

import asyncio
from typing import Any

MOST_HELD = 32 * 1024
"""Bytes from which on nothing is held: whoever writes much has to notice when the other side reads slowly."""


class JoinedWrites(asyncio.Transport):
    """A transport around another one. Only ``write`` differs; ``close`` still sends what was written."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport, self._loop = transport, loop
        self._held: list[bytes | bytearray | memoryview] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data at the end of this turn."""
        if not data:
            return
        if not self._held:
            self._loop.call_soon(self._release)
        self._held.append(data)
        self._size += len(data)
        if self._size > MOST_HELD:
            self._release()

    def _release(self) -> None:
        if not self._held:
            return
        joined = b"".join(self._held)
        self._drop()
        self._transport.write(joined)

    def _drop(self) -> None:
        self._held.clear()
        self._size = 0

    def close(self) -> None:
        """Close once all that was written has left."""
        self._release()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._drop()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Say whether the connection is closed, or about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who has the connection."""
        return self._transport.get_protocol()

    def pause_reading(self) -> None:
        """Read nothing for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()
