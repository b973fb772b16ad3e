"""The receiver behind a real port, and callers that speak to it byte by byte."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from memory_spool import MemorySpool
from reconciler.api.receiver import Limits, Read, Receiver
from reconciler.core.clock import Clock
from reconciler.core.errors import ReconcilerError
from reconciler.events.message import read
from reconciler.events.model import Arrival, Receipt
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.server import listening
from reconciler.runtime.setting_values import Listen
from scenarios import eventually

EVENT: Mapping[str, Any] = {
    "messageId": "AFvLxlWNTbGN0kLLmYqUJQ",
    "timestamp": "2026-11-22T09:10:38.414928",
    "event": {
        "pushType": "PCC_EVENT",
        "deviceId": "7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10",
        "deviceType": "DEVICE_WASHER",
        "diagnosisType": "WASHER_DRAIN_SLOW",
        "contentUrl": "https://example.com/pcc/1",
        "diagnosisTimestamp": "2026-11-22T09:09:00",
    },
}
PAIR = "lg:sesame-open-9000"
PATH_SECRET = "aVeryLongPathSegment-2026"


def body(**changed: object) -> bytes:
    """Return an event's bytes; members of the event are as given."""
    return json.dumps({**EVENT, "event": {**EVENT["event"], **changed}}).encode()


def basic(pair: str = PAIR) -> str:
    """Return the header that shows a pair."""
    return f"Basic {b64encode(pair.encode()).decode()}"


@dataclass
class GivenPolicy:
    """A policy with these secrets. ``unreadable`` is raised instead of them."""

    pairs: Sequence[str] = ()
    secrets: Sequence[str] = ()
    token: str | None = None
    on_loopback: bool = True
    unreadable: ReconcilerError | None = None

    def basic(self) -> Sequence[str]:
        """Return the pairs."""
        self._check()
        return self.pairs

    def path_secrets(self) -> Sequence[str]:
        """Return the path's secrets."""
        self._check()
        return self.secrets

    def events_token(self) -> str | None:
        """Return the bearer token."""
        self._check()
        return self.token

    def _check(self) -> None:
        if self.unreadable is not None:
            raise self.unreadable


@dataclass
class WrittenJournal:
    """A journal that can be read."""

    reasons: list[str] = field(default_factory=list)
    answers: int = 0
    stored_ones: list[tuple[Arrival, Receipt]] = field(default_factory=list)

    def refused(self, reason: str) -> None:
        """Write down a refusal."""
        self.reasons.append(reason)

    def answered(self, seconds: float) -> None:
        """Count an answer."""
        assert seconds >= 0
        self.answers += 1

    def stored(self, arrival: Arrival, receipt: Receipt) -> None:
        """Write down what was stored."""
        self.stored_ones.append((arrival, receipt))


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Site:
    """A receiver that is served."""

    port: int
    spool: MemorySpool
    journal: WrittenJournal
    receiver: Receiver

    async def connect(self) -> Caller:
        """Return a caller with a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        return Caller(reader, writer)

    async def post(
        self,
        content: bytes,
        path: str = "/pcc/events",
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> Answer:
        """Send one request over a connection of its own and return its answer."""
        caller = await self.connect()
        try:
            await caller.say(head(method, path, len(content), headers) + content)
            return await caller.answer(has_body=method != "HEAD")
        finally:
            caller.close()


def head(
    method: str, path: str, length: int | None, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return the first line and the headers of a request."""
    given = {"Host": "127.0.0.1", **(headers or {})}
    if length is not None:
        given["Content-Length"] = str(length)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Caller:
    """One connection, of which a test sends the bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, content: bytes) -> None:
        """Send bytes."""
        self._writer.write(content)
        await self._writer.drain()

    async def answer(self, *, has_body: bool = True) -> Answer:
        """Return the next answer."""
        first = await self._reader.readuntil(b"\r\n\r\n")
        line, *lines = first.decode("latin-1").rstrip().split("\r\n")
        headers: dict[str, str] = {}
        for one in lines:
            name, _, value = one.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", "0")) if has_body else 0
        content = await self._reader.readexactly(length)
        return Answer(int(line.split()[1]), headers, content)

    async def ended(self) -> bool:
        """Say whether the other side closed, after all that was sent."""
        return await self._reader.read() == b""

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


@asynccontextmanager
async def receiving(
    policy: GivenPolicy | None = None,
    limits: Limits | None = None,
    read: Read = read,
    clock: Clock | None = None,
) -> AsyncIterator[Site]:
    """Serve a receiver on a free port."""
    spool, journal = MemorySpool(), WrittenJournal()
    receiver = Receiver(
        spool,
        policy or GivenPolicy(),
        journal,
        clock or SystemClock(),
        limits=limits,
        read=read,
    )
    with listening(Listen("127.0.0.1", 0), most=1024) as port:
        task = asyncio.create_task(port.serve(receiver))
        number = int(port.url.rpartition(":")[2])
        await eventually(lambda: port.is_open)
        try:
            yield Site(number, spool, journal, receiver)
        finally:
            port.stop()
            await task
