"""Makes the calls to the partner's callback address over real connections.

Owns: the address, its credential, and one HTTP request on the wire, also one that breaks in the middle of its body.
Must not: decide what is sent or whether it is sent again; ``callbacks`` does.

There is no HTTP library in between: none of them sends half a body on purpose.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from reconciler.simulator.callbacks import Callbacks
from reconciler.simulator.calls import Call
from reconciler.simulator.errors import SimulatorError

AT_ONCE: Final = 16
"""How many calls are under way at once."""
LONGEST_SLEEP: Final = 0.5
"""Seconds after which the sender looks again: options, faults and the clock may have changed."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """Where the calls go. ``authorization`` is the value of the header, or None."""

    url: str
    host: str
    port: int
    tls: bool
    path: str
    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str, basic: str | None = None) -> Target:
        """Read an address and ``user:password``. A ``SimulatorError`` says what is wrong with them."""
        try:
            parts = urlsplit(url)
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        except ValueError:
            raise SimulatorError("the callback address cannot be read") from None
        if port is None or not parts.hostname or not url.isascii() or not url.isprintable():
            raise SimulatorError("the callback address has to be an http or https URL")
        if parts.username is not None or parts.fragment or " " in url:
            raise SimulatorError("the callback address must not hold a user, a space or a fragment")
        path = parts.path or "/"
        if parts.query:
            path = f"{path}?{parts.query}"
        return cls(url, parts.hostname, port, parts.scheme == "https", path, _basic(basic))

    def head(self, headers: Mapping[str, str], length: int) -> bytes:
        """Return the request line and all headers, as they go on the wire."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: {host}:{self.port}",
            "Content-Type: application/json",
            f"Content-Length: {length}",
            "Connection: close",
        ]
        if self.authorization is not None:
            lines.append(f"Authorization: {self.authorization}")
        for name, value in headers.items():
            lines.append(f"{name}: {value}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Sender:
    """Sends what is due until it is cancelled."""

    def __init__(self, callbacks: Callbacks, target: Target) -> None:
        self.callbacks = callbacks
        self.target = target
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)

    def wake(self) -> None:
        """Look for calls at once: an event was made."""
        self._wake.set()

    async def run(self) -> None:
        """Send what is due, as long as nobody ends it. Calls under way at the end are broken off."""
        async with asyncio.TaskGroup() as group:
            while True:
                for call in self.callbacks.take():
                    await self._room.acquire()
                    group.create_task(self._make(call))
                await self._sleep()

    async def _sleep(self) -> None:
        """Wait until something may be due."""
        at = self.callbacks.next_at()
        now = self.callbacks.platform.now()
        seconds = LONGEST_SLEEP if at is None else min(max(at - now, 0.0), LONGEST_SLEEP)
        # Not wait_for: in Python 3.11 it loses a cancellation that comes together with the wake.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    async def _make(self, call: Call) -> None:
        """Make one call and report its answer."""
        platform = self.callbacks.platform
        try:
            status = await self._post(call, platform.options.callback_timeout)
        finally:
            self._room.release()
        self.callbacks.answer(call, status)
        self.wake()

    async def _post(self, call: Call, seconds: float) -> int | None:
        """Send one request and return the status of the answer, or None where there was none in time."""
        body = call.body()
        cut = call.cut if not call.attempts else None
        kept = body if cut is None else body[: int(len(body) * cut.keep)]
        breaks = cut is not None and cut.how == "connection"
        announced = len(body) if breaks else len(kept)
        head = self.target.head(call.headers(self.callbacks.platform), announced)
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(head + kept, breaks=breaks)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return None

    async def _exchange(self, request: bytes, *, breaks: bool) -> int | None:
        context = ssl.create_default_context() if self.target.tls else None
        reader, writer = await asyncio.open_connection(
            self.target.host, self.target.port, ssl=context
        )
        try:
            writer.write(request)
            with contextlib.suppress(ConnectionError):  # an early answer may be there all the same
                await writer.drain()
            return None if breaks else await _status(reader)
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await writer.wait_closed()


async def _status(reader: asyncio.StreamReader) -> int | None:
    """Read the head of an answer and return its status; None where it is no HTTP."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return None
        line = head.partition(b"\r\n")[0].split()
        if len(line) < 2 or not line[0].startswith(b"HTTP/") or not line[1].isdigit():  # noqa: PLR2004
            return None
        if not line[1].startswith(b"1"):  # an interim answer, the real one follows
            return int(line[1])


def _basic(words: str | None) -> str | None:
    """Return the value of an ``Authorization`` header for ``user:password``."""
    if words is None:
        return None
    if ":" not in words:
        raise SimulatorError("the callback's credential has to be user:password")
    return f"Basic {base64.b64encode(words.encode()).decode()}"
