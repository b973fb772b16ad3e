"""What the tests of the client share: credentials, a clock moved by hand, a server that keeps the bytes it reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ssl import SSLContext
from typing import Any

from pydantic import SecretStr

from reconciler.core.model import AccountName
from reconciler.pcc.credentials import Credentials

ACCOUNT = AccountName("seoul-hotel")
START = datetime(2026, 11, 1, tzinfo=UTC)
ACCESS, REFRESH = "access-token-of-the-tests", "refresh-token-of-the-tests"
SERVICE_ID, SERVICE_KEY = "service-id-of-the-tests", "service-key-of-the-tests"

OF_THE_TESTS = Credentials(
    account=ACCOUNT,
    base_url="http://127.0.0.1:1",
    country="KR",
    service_id=SecretStr(SERVICE_ID),
    service_key=SecretStr(SERVICE_KEY),
    client_id="client-of-the-tests",
    token_url="http://127.0.0.1:1/emp/v2/token",
    backend_url=None,
    access_token=SecretStr(ACCESS),
    refresh_token=None,
)


def credentials(**changes: Any) -> Credentials:
    """Return credentials that differ from those of the tests in a few parts; tokens may be plain text."""
    secret = {
        name: SecretStr(value)
        for name, value in changes.items()
        if name in SECRETS and value is not None
    }
    return replace(OF_THE_TESTS, **{**changes, **secret})


SECRETS = {"access_token", "refresh_token", "service_id", "service_key"}


class StillClock:
    """A clock that a test moves by hand."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment

    def steady(self) -> float:
        """Return the moment in seconds."""
        return self.moment.timestamp()

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.moment += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Seen:
    """One request as it came over the wire."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def method(self) -> str:
        """Return the verb."""
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        """Return what stands between the verb and the version, byte by byte."""
        return self.line.split(" ")[1]

    def header(self, name: str) -> str | None:
        """Return the value of a header that is there once at most."""
        values = [value for key, value in self.headers if key.lower() == name]
        assert len(values) <= 1
        return values[0] if values else None


def answer(
    body: bytes = b'{"messageId":"m","timestamp":"t","response":{}}',
    status: str = "200 OK",
    *headers: str,
) -> bytes:
    """Return an answer as it goes over the wire."""
    lines = [
        f"HTTP/1.1 {status}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class RawServer:
    """A server on loopback. ``reply`` is given each request and its connection's number, and returns bytes to send.

    ``None`` closes the connection without an answer.
    """

    reply: Callable[[Seen, int], Awaitable[bytes | None]]
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_open: int = 0
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        number = self.connections
        try:
            while True:
                request = await _request(reader)
                self.seen.append(request)
                reply = await self.reply(request, number)
                if reply is None:
                    break
                writer.write(reply)
                await writer.drain()
        finally:
            self.open_now -= 1


async def _request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.rstrip("\r\n").split("\r\n")
    headers = tuple((name, value) for name, value in (one.split(": ", 1) for one in rest))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Seen(line, headers, await reader.readexactly(length))


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler, tls: SSLContext | None = None) -> AsyncIterator[int]:
    """Give the port of a server on loopback; at the end every connection of it is closed, whatever it was doing."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(one(reader, writer)))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def serving(
    reply: Callable[[Seen, int], Awaitable[bytes | None]] | bytes, tls: SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Give a running server that answers everything with the same bytes, or as told."""

    async def same(_seen: Seen, _connection: int) -> bytes:
        return reply if isinstance(reply, bytes) else b""

    server = RawServer(
        same if isinstance(reply, bytes) else reply, scheme="https" if tls else "http"
    )
    async with listening(server.serve, tls) as server.port:
        yield server
