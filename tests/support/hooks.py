"""A receiving system: a small HTTP server that answers webhooks as a test wants, byte by byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CLOSE = b""
"""The answer of a server that closes the connection without one."""


def answer(status: int, body: str = "", **headers: str) -> bytes:
    """Return an answer; in names of headers ``_`` is a hyphen."""
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body.encode())}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", body]).encode()


@dataclass
class Posted:
    """One request that came in."""

    head: str
    headers: dict[str, str]
    body: bytes
    connection: int


Script = Callable[[int], bytes | list[bytes]]
"""Returns the answer to the request with this number, from 0; a list is sent piece by piece, and then it hangs."""


@dataclass
class Hooks:
    """What a receiving system saw."""

    script: Script
    url: str = ""
    posted: list[Posted] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        number, self.connections = self.connections, self.connections + 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while await self._one(reader, writer, number):
                    pass
        finally:
            writer.close()
            with suppress(OSError, ssl.SSLError):
                await writer.wait_closed()
            self.open_now -= 1

    async def settled(self, posted: int, open_now: int) -> None:
        """Return when so many requests have come and so many connections are open."""
        for _ in range(1000):
            if (len(self.posted), self.open_now) == (posted, open_now):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{len(self.posted)} requests, {self.open_now} open")

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> bool:
        """Answer one request; say whether there may be another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        pairs = [line.partition(":") for line in lines]
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.posted.append(Posted(first, headers, body, connection))
        said = self.script(len(self.posted) - 1)
        if said == CLOSE:
            return False
        for piece in [said] if isinstance(said, bytes) else said:
            writer.write(piece)
            await writer.drain()
        if isinstance(said, list):
            await reader.read()  # until the other side gives up
            return False
        return True


@asynccontextmanager
async def hooks(
    script: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Hooks]:
    """Serve a receiving system."""
    seen = Hooks(script)
    server = await asyncio.start_server(seen.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    seen.url = f"{'https' if tls else 'http'}://{host}:{port}/pcc?tenant=7"
    try:
        yield seen
    finally:
        server.close()
        for _ in range(200):
            await asyncio.sleep(
                0.01
            )  # also where none is open: closing takes some turns of the loop
            if not seen.open_now:
                break
