"""What is acknowledged, how fast, and the floor beneath it.

Owns: the events of a fleet, how waits are measured, and shared commits without any logic. Must not: know what is
measured beside the floor.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from reconciler.events.model import Message
from reconciler.events.spool import tables
from reconciler.state.sqlite.session import Session
from spooled import sent

AT_ONCE = 50
"""How many requests are under way at a time."""
FLEET = 10_007
RATE = 500
"""Requests a second of the open loop, which sends whatever is still under way."""
RATE_SECONDS, QUICK_RATE_SECONDS = 20, 4
RATE_WAIT = 250.0
"""Milliseconds within which 99 of 100 are to be acknowledged at that rate."""

ADD_EVENT = """INSERT INTO event (seq, key, received, fate, push_type, device, device_type, account, diagnosis,
    category, diagnosed, message_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
ADD_BODY = "INSERT INTO body VALUES (?, ?)"
ADD_DELIVERY = "INSERT INTO delivery VALUES (?, 'crm', ?, 'pending', 1, 0, 1, NULL, '')"


class Speed(NamedTuple):
    """Acknowledged events a second, and the seconds within which 99 of 100 were."""

    rate: float
    wait: float


@dataclass(frozen=True, slots=True)
class To:
    """The route of every event."""

    sinks: Sequence[str] = ("crm",)
    account: str | None = "seoul"
    category: str | None = "malfunction"


class Routes:
    """A router that has decided already."""

    ROUTE = To()

    def route(self, message: Message) -> To:
        """Return the one route."""
        del message
        return self.ROUTE


def body_of(number: int) -> bytes:
    """Return the bytes of one event of a fleet."""
    return sent(f"{number * 7919 % FLEET:064x}", number)


async def closed_loop(
    bodies: Sequence[bytes], acknowledge: Callable[[bytes], Awaitable[None]]
) -> Speed:
    """Have some requests under way at any time; return how fast they were acknowledged."""
    waits: list[float] = []
    left = iter(bodies)

    async def one_after_another() -> None:
        for body in left:
            began = time.perf_counter()
            await acknowledge(body)
            waits.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(one_after_another())
    return Speed(len(bodies) / (time.perf_counter() - began), p99(waits))


async def open_loop(seconds: int, acknowledge: Callable[[bytes], Awaitable[None]]) -> float:
    """Send ``RATE`` a second, whatever is still under way; return the wait of 99 of 100, from when each was due."""
    waits: list[float] = []

    async def one(number: int, due: float) -> None:
        await acknowledge(body_of(number))
        waits.append(time.perf_counter() - due)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(seconds * RATE):
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(one(number, due))
    return p99(waits)


def p99(waits: list[float]) -> float:
    """Return the seconds within which 99 of 100 were acknowledged."""
    return sorted(waits)[len(waits) * 99 // 100]


class Floor:
    """Shared commits of rows that nobody asks about."""

    def __init__(self, file: Path, *, routed: bool = True) -> None:
        self._file, self._routed = file, routed
        self._loop = asyncio.get_running_loop()
        self._work = threading.Condition()
        self._waiting: list[tuple[Any, asyncio.Future[None]]] = []
        self._last = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    async def acknowledge(self, body: bytes) -> None:
        """Return after the commit of the rows of an event."""
        self._last += 1
        made = _rows_of(self._last, body, routed=self._routed)
        future: asyncio.Future[None] = self._loop.create_future()
        with self._work:
            self._waiting.append((made, future))
            self._work.notify()
        await future

    def close(self) -> None:
        """End the thread."""
        with self._work:
            self._closed = True
            self._work.notify()
        self._thread.join()

    def _run(self) -> None:
        session = Session.make(self._file, tables.KIND, 2.0)
        while True:
            with self._work:
                while not self._waiting and not self._closed:
                    self._work.wait()
                batch, self._waiting = self._waiting, []
            if not batch:
                session.close()
                return
            with session.transaction():
                session.many(ADD_EVENT, [made[0] for made, _ in batch])
                session.many(ADD_BODY, [made[1] for made, _ in batch])
                if self._routed:
                    session.many(ADD_DELIVERY, [made[2] for made, _ in batch])
            futures = [future for _, future in batch]
            self._loop.call_soon_threadsafe(_done, futures)


def _done(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


def _rows_of(number: int, body: bytes, *, routed: bool) -> tuple[Any, Any, Any]:
    """Return the rows that the spool writes of an event that comes for the first time."""
    content = json.loads(body)
    event = content["event"]
    device, diagnosis, at = event["deviceId"], event["diagnosisType"], event["diagnosisTimestamp"]
    key = sha256(json.dumps([device, diagnosis, at], separators=(",", ":")).encode()).digest()
    diagnosed = round(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1e6)
    received = time.time_ns() // 1000
    fate = tables.KEPT if routed else tables.UNROUTED
    account, category = ("seoul", "malfunction") if routed else (None, None)
    row = (
        *(number, key, received, fate, event["pushType"], device, event["deviceType"], account),
        *(diagnosis, category, diagnosed, content["messageId"]),
    )
    return row, (number, body), (number, device)
