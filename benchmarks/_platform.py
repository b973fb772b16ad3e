"""LG's platform as a server that costs so little that whoever calls it is what is measured.

It answers as LG does where nothing goes wrong, and checks nothing: the simulator, which checks everything, takes more
CPU a call than the program does, and would be the bottleneck of every rate.

Owns: the answers, their latency, and what was asked of it. Must not: be used where answers matter.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import NamedTuple

from benchmarks._processes import PROCESSES

HEADER_END = b"\r\n\r\n"


class Heard(NamedTuple):
    """What the platform was asked since the last question: calls by method, and when the first of each came.

    Moments are of the monotonic clock, which all processes of a machine share.
    """

    calls: dict[str, int]
    first: dict[str, float]


class Platform:
    """The platform in its own process: where it is, and what it heard."""

    def __init__(self, url: str, process: Connection) -> None:
        self.url = url
        self._process = process

    def heard(self) -> Heard:
        """Return what was asked of it since the last question."""
        self._process.send("heard")
        return Heard(*self._process.recv())

    def subscribe(self, devices: Iterable[str]) -> None:
        """Let exactly these devices be subscribed."""
        self._process.send(list(devices))
        self._process.recv()

    def settings(self, token: str = "a-refresh-token") -> dict[str, str]:  # noqa: S107 - made up, as the others
        """Return the settings with which an account speaks to it."""
        return {
            "PCC_REFRESH_TOKEN": token,
            "PCC_BASE_URL": self.url,
            "PCC_TOKEN_URL": f"{self.url}/emp/v2/token",
            "PCC_COUNTRY": "KR",
            "PCC_SERVICE_ID": "benchmark-service",
            "PCC_SERVICE_KEY": "benchmark-service-key",
            "PCC_CLIENT_ID": "benchmark-client",
        }


@contextmanager
def platform(*, latency_seconds: float) -> Iterator[Platform]:
    """Give a platform that answers so much later than it was asked."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_serve, args=(theirs, latency_seconds), daemon=True)
    process.start()
    try:
        yield Platform(str(ours.recv()), ours)
    finally:
        process.terminate()
        process.join()


class _World:
    """What the platform knows: who is subscribed, and what was asked."""

    def __init__(self) -> None:
        self.subscribed: dict[str, None] = {}
        self._list: bytes | None = None
        self.calls: Counter[str] = Counter()
        self.first: dict[str, float] = {}

    def let(self, devices: Iterable[str]) -> None:
        """Let exactly these devices be subscribed."""
        self.subscribed, self._list = dict.fromkeys(devices), None
        self._listed()

    def _listed(self) -> bytes:
        """Return the list, which was written down when it was asked for before."""
        if self._list is None:
            self._list = json.dumps([{"deviceId": one} for one in self.subscribed]).encode()
        return self._list

    def answer(self, method: str, path: str) -> bytes | None:
        """Do what a request asks, and return what comes back under ``response``; nothing for a token."""
        device = path.removeprefix("/pcc/")
        kind = "TOKEN" if method == "POST" and device == path else method
        self.calls[kind] += 1
        self.first.setdefault(kind, time.monotonic())
        if kind == "TOKEN":
            return None
        if kind == "GET":
            return self._listed()
        self._list = None
        if kind == "POST":
            self.subscribed[device] = None
        else:
            self.subscribed.pop(device, None)
        return b"{}"

    def told(self) -> tuple[dict[str, int], dict[str, float]]:
        """Return what was asked since the last time."""
        calls, self.calls = self.calls, Counter()
        first, self.first = self.first, {}
        return dict(calls), first


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as far as our own clients speak it: one request at a time, bodies by their length."""

    def __init__(self, world: _World, latency_seconds: float) -> None:
        self._world = world
        self._latency_seconds = latency_seconds
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(HEADER_END)
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        if len(body) < int(headers.get("content-length", "0")):
            return
        self._read = b""
        method, path, _ = first.split(" ")
        given = self._world.answer(method, path)
        if given is None:
            content = b'{"access_token":"an-access-token","expires_in":"3600"}'
        else:
            message_id = headers.get("x-message-id", "").encode()
            content = b'{"messageId":"%b","timestamp":"2026-01-01T00:00:00","response":%b}' % (
                message_id,
                given,
            )
        start = f"HTTP/1.1 200 OK\r\ncontent-type: application/json;charset=UTF-8\r\ncontent-length: {len(content)}"
        send: Callable[[bytes], None] = self._transport.write
        asyncio.get_running_loop().call_later(
            self._latency_seconds, send, start.encode() + HEADER_END + content
        )


def _serve(told: Connection, latency_seconds: float) -> None:
    world = _World()

    def asked() -> None:
        match told.recv():
            case "heard":
                told.send(world.told())
            case devices:
                world.let(devices)
                told.send("done")

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Connection(world, latency_seconds), "127.0.0.1", 0
        )
        loop.add_reader(told.fileno(), asked)
        told.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()

    asyncio.run(serve())
