"""LG's platform reduced to what answering costs: a few fixed answers, so that a rate is never that of the other side.

Owns: the bytes of those answers and when they were asked for. Must not: judge a request, which is the simulator's work.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Any, NamedTuple

from benchmarks._processes import PROCESSES

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
TOKEN = b"token-of-"
"""What stands before an account's name in its access token."""


def devices_of(account: str, count: int) -> list[str]:
    """Return the devices that an account has from the beginning."""
    return [f"{account}-{number:07}".ljust(64, "0") for number in range(count)]


class _Platform:
    def __init__(self, devices: int, latency: float, others: Mapping[str, int]) -> None:
        self._devices, self._others = devices, others
        self.latency = latency
        self._lists: dict[str, list[str]] = {}
        self.lists = 0
        self.listed: dict[str, float] = {}
        self.changes: list[tuple[float, float, str]] = []

    def answer(self, request: bytes) -> bytes:
        """Return the body for one request."""
        method, path, _ = request.split(b" ", 2)
        if path == b"/_told":
            return json.dumps({"lists": self.lists, "changes": self.changes}).encode()
        account = request.partition(TOKEN)[2].partition(b"\r\n")[0].decode()
        live = self._live(account)
        response: Any = None
        if method == b"GET":
            self.lists += 1
            self.listed[account] = time.monotonic()
            response = [{"deviceId": device} for device in live]
        else:
            device = path.rpartition(b"/")[2].decode()
            self.changes.append((self.listed[account], time.monotonic(), device))
            (live.append if method == b"POST" else live.remove)(device)
        named = request.lower().partition(b"\r\nx-message-id: ")[0]
        message_id = (
            request[len(named) + len(b"\r\nx-message-id: ") :].partition(b"\r\n")[0].decode()
        )
        return json.dumps(
            {"messageId": message_id, "timestamp": "t", "response": response}
        ).encode()

    def _live(self, account: str) -> list[str]:
        if account not in self._lists:
            count = self._others.get(account, self._devices)
            self._lists[account] = devices_of(account, count)
        return self._lists[account]


class _Connection(asyncio.Protocol):
    """One connection, on which requests without a body come one after the other."""

    def __init__(self, platform: _Platform) -> None:
        self._platform = platform
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request once all of it is there."""
        self._heard += data
        while b"\r\n\r\n" in self._heard:
            request, _, self._heard = self._heard.partition(b"\r\n\r\n")
            body = self._platform.answer(request + b"\r\n")
            asyncio.get_running_loop().call_later(
                self._platform.latency, self._send, HEAD % len(body) + body
            )

    def _send(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


@contextmanager
def answering(
    devices: int, latency: float, others: Mapping[str, int] = MappingProxyType({})
) -> Iterator[str]:
    """Give the address of such a platform, in a process of its own, where each account has so many devices.

    ``others`` are accounts that have another number of devices.
    """
    ours, theirs = PROCESSES.Pipe()
    arguments = (theirs, devices, latency, dict(others))
    process = PROCESSES.Process(target=_serve, args=arguments, daemon=True)
    process.start()
    try:
        yield str(ours.recv())
    finally:
        process.terminate()
        process.join()


def _serve(told: Connection, devices: int, latency: float, others: Mapping[str, int]) -> None:
    async def serve() -> None:
        platform = _Platform(devices, latency, others)
        server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(platform), "127.0.0.1", 0
        )
        host, port = server.sockets[0].getsockname()
        told.send(f"http://{host}:{port}")
        await server.serve_forever()

    asyncio.run(serve())


class Changed(NamedTuple):
    """A change: when the list that it rests on was asked for, and when it came, on the machine's steady clock."""

    listed: float
    made: float
    device: str


def told(base_url: str) -> tuple[int, list[Changed]]:
    """Return how many lists were asked for so far, and each change."""
    with urllib.request.urlopen(f"{base_url}/_told") as answer:  # noqa: S310 - loopback
        found = json.load(answer)
    return found["lists"], [Changed(*one) for one in found["changes"]]
