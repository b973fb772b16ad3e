"""How fast the spool of events acknowledges, beside the same rows in the same shared commits without any logic.

The floor has a thread that commits what has gathered, as the spool has, and writes the same rows to the same tables. It
reads a message with ``json.loads`` and hashes its key; it checks nothing, looks for no duplicate, asks no router and
keeps no order.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import Row, at_least, at_most, compared, turns
from benchmarks._acknowledging import (
    AT_ONCE,
    QUICK_RATE_SECONDS,
    RATE,
    RATE_SECONDS,
    RATE_WAIT,
    Floor,
    Routes,
    Speed,
    body_of,
    closed_loop,
    open_loop,
)
from benchmarks._processes import apart
from reconciler.events.message import read
from reconciler.events.spool import Spool, tables
from reconciler.runtime.clock import SystemClock

EVENTS, QUICK_EVENTS = 6_000, 1_500
"""How many events each run of a pair stores."""
PAIRS, QUICK_PAIRS = 9, 3
MANY, QUICK_MANY = 1_000_000, 30_000
IN_ONE_ARRAY = 1_000
LIMIT = 1 << 40


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
    waits = [(one.wait * 1000, other.wait * 1000) for one, other in zip(ours, floors, strict=True)]
    yield compared("99 % of them acknowledged within", waits, "ms", against, at_most(1.5))
    wait = asyncio.run(_paced(QUICK_RATE_SECONDS if quick else RATE_SECONDS))
    yield Row(
        f"99 % within, at {RATE} a second",
        wait * 1000,
        "ms",
        target=at_most(RATE_WAIT, absolute=True),
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


@contextmanager
def _opened(folder: str) -> Iterator[Spool]:
    spool = Spool(Path(folder), SystemClock(), Routes(), limit=LIMIT)
    spool.open()
    try:
        yield spool
    finally:
        spool.close()


async def _spool_speed(count: int) -> Speed:
    bodies = [body_of(number) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder, _opened(folder) as spool:

        async def acknowledge(body: bytes) -> None:
            await spool.store(read(body))

        return await closed_loop(bodies, acknowledge)


async def _floor_speed(count: int) -> Speed:
    bodies = [body_of(number) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        floor = Floor(Path(folder, tables.FILE))
        try:
            return await closed_loop(bodies, floor.acknowledge)
        finally:
            floor.close()


async def _paced(seconds: int) -> float:
    """Return the wait of 99 of 100 at a steady rate."""
    with tempfile.TemporaryDirectory() as folder, _opened(folder) as spool:

        async def acknowledge(body: bytes) -> None:
            await spool.store(read(body))

        return await open_loop(seconds, acknowledge)


def _fill(folder: str, first: int, last: int) -> None:
    """Store events in arrays; nobody delivers them."""
    asyncio.run(_fill_(folder, first, last))


async def _fill_(folder: str, first: int, last: int) -> None:
    with _opened(folder) as spool:
        for start in range(first, last, IN_ONE_ARRAY):
            numbers = range(start, min(start + IN_ONE_ARRAY, last))
            await spool.store(read(b"[" + b",".join(map(body_of, numbers)) + b"]"))


def _open(folder: str) -> float:
    """Return the seconds until a spool is open and has said what is due."""
    began = time.perf_counter()
    with _opened(folder) as spool:
        assert spool.due("crm", SystemClock().now(), 100, ordered=True, busy=())
        assert spool.next_due("crm", ordered=True, busy=()) is not None
        return time.perf_counter() - began
