"""How fast the spool of events acknowledges, beside the same rows in the same shared commits without any logic.

The floor has a thread that commits what has gathered, as the spool has, and writes the same rows to the same tables. It
reads a message with ``json.loads`` and hashes its key; it checks nothing, looks for no duplicate, asks no router and
keeps no order.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import Row, at_least, at_most, compared, turns
from benchmarks._processes import apart
from reconciler.events.message import read
from reconciler.events.model import Message
from reconciler.events.spool import Spool, tables
from reconciler.runtime.clock import SystemClock
from reconciler.state.sqlite.session import Session
from spooled import sent

EVENTS, QUICK_EVENTS = 6_000, 1_500
"""How many events each run of a pair stores."""
PAIRS, QUICK_PAIRS = 9, 3
AT_ONCE = 50
"""How many requests are under way at a time."""
RATE = 500
"""Requests a second of the open loop, which sends whatever is still under way."""
RATE_SECONDS, QUICK_RATE_SECONDS = 20, 4
FLEET = 10_007
MANY, QUICK_MANY = 1_000_000, 30_000
IN_ONE_ARRAY = 1_000
LIMIT = 1 << 40

ADD_EVENT = """INSERT INTO event (seq, key, received, fate, push_type, device, device_type, account, diagnosis,
    category, diagnosed, message_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
ADD_BODY = "INSERT INTO body VALUES (?, ?)"
ADD_DELIVERY = "INSERT INTO delivery VALUES (?, 'crm', ?, 'pending', 1, 0, 1, NULL, '')"


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure speed, waits, memory, and the start with a backlog."""
    ours: list[Speed] = []
    floors: list[Speed] = []
    count = QUICK_EVENTS if quick else EVENTS
    for order in turns(QUICK_PAIRS if quick else PAIRS):
        for place in order:
            if place == 0:
                ours.append(asyncio.run(_spool_speed(count)))
            else:
                floors.append(asyncio.run(_floor_speed(count)))
    against = "the same rows, no logic"
    rates = [(one.rate, other.rate) for one, other in zip(ours, floors, strict=True)]
    yield compared(
        f"acknowledged events a second, {AT_ONCE} at once", rates, "/s", against, at_least(0.8)
    )
    waits = [(one.p99 * 1000, other.p99 * 1000) for one, other in zip(ours, floors, strict=True)]
    yield compared("99 % of them acknowledged within", waits, "ms", against, at_most(1.5))
    wait = asyncio.run(_paced(QUICK_RATE_SECONDS if quick else RATE_SECONDS))
    yield Row(
        f"99 % within, at {RATE} a second",
        wait * 1000,
        "ms",
        target=at_most(250, absolute=True),
    )
    yield from _backlog(QUICK_MANY if quick else MANY)


def _backlog(many: int) -> Iterator[Row]:
    """Yield what memory and the start come to with many undelivered events."""
    with tempfile.TemporaryDirectory() as folder:
        few = apart(_fill, folder, 0, many // 10)
        rest = apart(_fill, folder, many // 10, many)
        mib = [(rest.peak_bytes / 2**20, few.peak_bytes / 2**20)]
        what = f"memory at most, storing {many:,} events"
        yield compared(what, mib, "MiB", "a tenth of them", at_most(1.2))
        opened = apart(_open, folder)
        yield Row(
            f"open with {many:,} undelivered, to the first due",
            opened.given,
            "s",
            target=at_most(5, absolute=True),
        )


class Speed(NamedTuple):
    """Acknowledged events a second, and the seconds within which 99 of 100 were."""

    rate: float
    p99: float


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


def _body(number: int) -> bytes:
    return sent(f"{number * 7919 % FLEET:064x}", number)


@contextmanager
def _opened(folder: str) -> Iterator[Spool]:
    spool = Spool(Path(folder), SystemClock(), Routes(), limit=LIMIT)
    spool.open()
    try:
        yield spool
    finally:
        spool.close()


async def _spool_speed(count: int) -> Speed:
    bodies = [_body(number) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder, _opened(folder) as spool:

        async def acknowledge(body: bytes) -> None:
            await spool.store(read(body))

        return await _closed_loop(bodies, acknowledge)


async def _floor_speed(count: int) -> Speed:
    bodies = [_body(number) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        floor = Floor(Path(folder, tables.FILE))
        try:
            return await _closed_loop(bodies, floor.acknowledge)
        finally:
            floor.close()


async def _closed_loop(
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
    return Speed(len(bodies) / (time.perf_counter() - began), _p99(waits))


async def _paced(seconds: int) -> float:
    """Send at a steady rate, whatever is still under way; return the wait of 99 of 100."""
    waits: list[float] = []
    with tempfile.TemporaryDirectory() as folder, _opened(folder) as spool:

        async def one(number: int, due: float) -> None:
            await spool.store(read(_body(number)))
            waits.append(time.perf_counter() - due)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(seconds * RATE):
                due = began + number / RATE
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                tasks.create_task(one(number, due))
    return _p99(waits)


def _p99(waits: list[float]) -> float:
    return sorted(waits)[len(waits) * 99 // 100]


class Floor:
    """Shared commits of rows that nobody asks about."""

    def __init__(self, file: Path) -> None:
        self._file = file
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
        made = _rows_of(self._last, body)
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
                session.many(ADD_DELIVERY, [made[2] for made, _ in batch])
            futures = [future for _, future in batch]
            self._loop.call_soon_threadsafe(_done, futures)


def _done(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


def _rows_of(number: int, body: bytes) -> tuple[Any, Any, Any]:
    """Return the rows that the spool writes of an event."""
    content = json.loads(body)
    event = content["event"]
    device, diagnosis, at = event["deviceId"], event["diagnosisType"], event["diagnosisTimestamp"]
    key = sha256(f"{device} {diagnosis} {at}".encode()).digest()
    diagnosed = round(datetime.fromisoformat(at).timestamp() * 1e6)
    row = (
        *(number, key, 1, "kept", event["pushType"], device, event["deviceType"], "seoul"),
        *(diagnosis, "malfunction", diagnosed, content["messageId"]),
    )
    return row, (number, body), (number, device)


def _fill(folder: str, first: int, last: int) -> None:
    """Store events in arrays; nobody delivers them."""
    asyncio.run(_fill_(folder, first, last))


async def _fill_(folder: str, first: int, last: int) -> None:
    with _opened(folder) as spool:
        for start in range(first, last, IN_ONE_ARRAY):
            numbers = range(start, min(start + IN_ONE_ARRAY, last))
            await spool.store(read(b"[" + b",".join(map(_body, numbers)) + b"]"))


def _open(folder: str) -> float:
    """Return the seconds until a spool is open and has said what is due."""
    began = time.perf_counter()
    with _opened(folder) as spool:
        assert spool.due("crm", SystemClock().now(), 100, ordered=True, busy=())
        assert spool.next_due("crm", ordered=True, busy=()) is not None
        return time.perf_counter() - began
