"""Callers of a receiver: so many connections that send events, each the next as soon as the last is answered.

Owns: the load, and when each answer came. Must not: cost more than it has to; it shares the machine with what is
measured.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

ANSWERED = b"HTTP/1.1 200"
END = b"{}"


@dataclass(frozen=True)
class Load:
    """What became of a load: events a second, and the latencies in seconds, shortest first."""

    per_second: float
    latencies: list[float] = field(repr=False)

    def percentile(self, share: float) -> float:
        """Return the latency that this share of the answers did not exceed."""
        return self.latencies[max(math.ceil(share * len(self.latencies)) - 1, 0)]


def requests(count: int, first: int, credential: str) -> Iterator[bytes]:
    """Yield whole requests, each with an event of its own."""
    for number in range(first, first + count):
        message = {
            "messageId": f"message-{number:014}",
            "timestamp": "2026-11-22T09:10:38.414928",
            "event": {
                "pushType": "PCC_EVENT",
                "deviceId": f"{number % 5000:064x}",
                "deviceType": "DEVICE_WASHER",
                "diagnosisType": "WASHER_DRAIN_SLOW",
                "contentUrl": "https://example.com/pcc/instructions/1",
                "diagnosisTimestamp": f"2026-11-22T09:09:00.{number:09}",
            },
        }
        body = json.dumps(message).encode()
        head = (
            "POST /pcc/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: {credential}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        yield head.encode() + body


def hurried(port: int, waiting: list[bytes], connections: int) -> Load:
    """Send all requests as fast as they are answered, over so many connections."""
    return asyncio.run(_send(port, waiting, connections, None))


def paced(port: int, waiting: list[bytes], connections: int, per_second: float) -> Load:
    """Send requests at a steady rate, whatever the answers do, as long as a connection is free."""
    return asyncio.run(_send(port, waiting, connections, per_second))


async def _send(
    port: int, waiting: list[bytes], connections: int, per_second: float | None
) -> Load:
    loop = asyncio.get_running_loop()
    work = _Work(list(reversed(waiting)), loop.create_future())
    callers = []
    for _ in range(connections):
        _, caller = await loop.create_connection(lambda: _Caller(work), "127.0.0.1", port)
        callers.append(caller)
    began = time.perf_counter()
    if per_second is None:
        for caller in callers:
            caller.next()
    else:
        work.is_paced = True
        for caller in callers:
            work.free.put_nowait(caller)
        await _pace(work, per_second)
    await asyncio.wait_for(work.done, 120)
    seconds = time.perf_counter() - began
    for caller in callers:
        caller.hang_up()
    return Load(len(work.latencies) / seconds, sorted(work.latencies))


async def _pace(work: _Work, per_second: float) -> None:
    """Begin one request after the other when its time has come. One that finds no connection counts from then, too."""
    began = time.perf_counter()
    for number in range(len(work.left)):
        due = began + number / per_second
        delay = due - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        caller = await work.free.get()
        caller.next(due)


@dataclass
class _Work:
    left: list[bytes]
    done: asyncio.Future[None]
    is_paced: bool = False
    free: asyncio.Queue[_Caller] = field(default_factory=asyncio.Queue)
    under_way: int = 0
    latencies: list[float] = field(default_factory=list)


class _Caller(asyncio.Protocol):
    def __init__(self, work: _Work) -> None:
        self._work = work
        self._began = 0.0
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def next(self, due: float | None = None) -> None:
        """Send the next request, if there is one."""
        if not self._work.left or self._transport is None:
            return
        self._work.under_way += 1
        self._began = time.perf_counter() if due is None else due
        self._transport.write(self._work.left.pop())

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(END):
            return
        assert self._answer.startswith(ANSWERED), self._answer
        self._answer = b""
        work = self._work
        work.under_way -= 1
        work.latencies.append(time.perf_counter() - self._began)
        if work.is_paced:
            work.free.put_nowait(self)
        else:
            self.next()
        if not work.left and not work.under_way and not work.done.done():
            work.done.set_result(None)

    def hang_up(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
