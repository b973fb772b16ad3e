"""A partner's callback endpoint: a small HTTP server that keeps what it was sent and answers as it is asked to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Got:
    """One request as it came. ``whole`` is False where the connection ended before the announced end of the body."""

    line: str
    headers: dict[str, str]
    body: bytes
    whole: bool

    @property
    def message(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass(slots=True)
class Partner:
    """The endpoint. ``answers`` are raw bytes for one request each, then ``answer`` for all others.

    ``silent``: never answer, until the caller goes away.
    """

    port: int = 0
    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    answers: list[bytes] = field(default_factory=list)
    silent: bool = False
    got: list[Got] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the address of the endpoint."""
        return f"http://127.0.0.1:{self.port}/pcc/events"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request and answer it; a connection has only one."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.rstrip("\r\n").split("\r\n")
        headers = {}
        for one in rest:
            name, _, value = one.partition(":")
            headers[name.lower()] = value.strip()
        whole = True
        try:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        except asyncio.IncompleteReadError as error:
            body, whole = error.partial, False
        self.got.append(Got(line, headers, body, whole))
        if self.silent:
            await reader.read()
        elif whole:
            writer.write(self.answers.pop(0) if self.answers else self.answer)
        writer.close()
        await writer.wait_closed()


def status(number: int) -> bytes:
    """Return an answer with a status and no body."""
    return f"HTTP/1.1 {number} Status\r\nContent-Length: 0\r\n\r\n".encode()


@asynccontextmanager
async def partner() -> AsyncIterator[Partner]:
    """Serve an endpoint on a free loopback port."""
    one = Partner()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    async with server:
        yield one
