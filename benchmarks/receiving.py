"""How many events a second are acknowledged over HTTP, beside a bare Starlette route with the same shared commits.

The floor is the least that such a receiver can be: Starlette and uvicorn as they come, LG's bytes read and stored by
the same spool. What the program adds is who may call, the limits of time and number, what it counts and logs. The CPU
time is what the rest of the machine changes least.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks import Row, at_least, at_most, compared, turns
from benchmarks._load import Load, hurried, paced, requests
from benchmarks._processes import apart, processor_seconds
from reconciler.events.logic import LogicInForce
from reconciler.events.message import read
from reconciler.events.routing import SinkRouter
from reconciler.events.spool import Spool
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.directory import DesiredDirectory

PAIRS, QUICK_PAIRS = 5, 2
EVENTS, QUICK_EVENTS = 6_000, 2_000
CONNECTIONS = 50
STEADY, STEADY_SECONDS = 500.0, 10.0
PAIR = "lg:a-password-for-measuring"
CREDENTIAL = f"Basic {b64encode(PAIR.encode()).decode()}"
LIMIT = 8 * 1024**3
Receiver = Callable[[Path], AbstractContextManager[tuple[int, int]]]
"""Runs a receiver with its files in a folder, and gives its port and the id of its process."""


@dataclass(frozen=True)
class Cost:
    """What a load came to, and the CPU time of one event in microseconds."""

    load: Load
    event_us: float

    @property
    def slowest_ms(self) -> float:
        """The latency that one in a hundred exceeded, in milliseconds."""
        return self.load.percentile(0.99) * 1000


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure with the load in a process of its own beside the receiver's."""
    events = QUICK_EVENTS if quick else EVENTS
    rates, slowest, costs = [], [], []
    for order in turns(QUICK_PAIRS if quick else PAIRS):
        found: dict[int, Cost] = {}
        for place in order:
            found[place] = _hurried((ours, floor)[place], events)
        rates.append((found[0].load.per_second, found[1].load.per_second))
        slowest.append((found[0].slowest_ms, found[1].slowest_ms))
        costs.append((found[0].event_us, found[1].event_us))
    against = "bare Starlette route, same commits"
    what = f"acknowledged events, {CONNECTIONS} connections"
    yield compared(what, rates, "/s", against, at_least(0.8))
    yield Row(
        what,
        sorted(ours for ours, _ in rates)[len(rates) // 2],
        "/s",
        target=at_least(1000, absolute=True),
    )
    yield compared("CPU of the receiver, one event", costs, "us", against, at_most(1.25))
    yield compared(f"p99, {CONNECTIONS} connections", slowest, "ms", against)
    steady = _paced(ours, STEADY, STEADY_SECONDS / (2 if quick else 1))
    yield Row(
        f"p99 at {STEADY:.0f}/s",
        steady.percentile(0.99) * 1000,
        "ms",
        target=at_most(250, absolute=True),
    )


def _hurried(receiver: Receiver, events: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder, receiver(Path(folder)) as (port, pid):
        apart(_send, port, 500, 1_000_000, None)  # caches are warm afterwards
        before = processor_seconds(pid)
        load: Load = apart(_send, port, events, 0, None).given
        return Cost(load, (processor_seconds(pid) - before) / events * 1e6)


def _paced(receiver: Receiver, per_second: float, seconds: float) -> Load:
    with tempfile.TemporaryDirectory() as folder, receiver(Path(folder)) as (port, _):
        apart(_send, port, 500, 1_000_000, None)
        given: Load = apart(_send, port, int(per_second * seconds), 0, per_second).given
        return given


def _send(port: int, count: int, first: int, per_second: float | None) -> Load:
    waiting = list(requests(count, first, CREDENTIAL))
    if per_second is None:
        return hurried(port, waiting, CONNECTIONS)
    return paced(port, waiting, CONNECTIONS * 2, per_second)


@contextmanager
def ours(folder: Path) -> Iterator[tuple[int, int]]:
    """Run the program's own receiving process, with a credential; its log goes nowhere."""
    port = _free_port()
    given = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "PCC_RECEIVE_LISTEN": f"127.0.0.1:{port}",
        "PCC_RECEIVE_BASIC": PAIR,
        "PCC_EVENTS_DIR": str(folder / "events"),
        "PCC_EVENTS_CONFIG": str(folder / "events.toml"),
        "PCC_DESIRED_STATE": str(folder / "desired-state.toml"),
        "PCC_SPOOL_LIMIT": "8GiB",
        "PCC_LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "reconciler", "receive"]
    process = subprocess.Popen(command, env=given, stderr=subprocess.DEVNULL)  # noqa: S603 - our own program
    try:
        _wait_for(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def floor(folder: Path) -> Iterator[tuple[int, int]]:
    """Run the bare route in a process of its own."""
    port = _free_port()
    begin = f"from benchmarks import receiving; receiving.serve_floor({str(folder)!r}, {port})"
    process = subprocess.Popen([sys.executable, "-c", begin])  # noqa: S603 - our own program
    try:
        _wait_for(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def serve_floor(folder: str, port: int) -> None:
    """Serve the bare route, for ever."""
    clock = SystemClock()
    router = SinkRouter(DesiredDirectory(clock), LogicInForce())
    spool = Spool(Path(folder, "events"), clock, router, limit=LIMIT)

    async def take(request: Request) -> JSONResponse:
        await spool.store(read(await request.body()))
        return JSONResponse({})

    async def serve() -> None:
        spool.open()
        app = Starlette(routes=[Route("/pcc/events", take, methods=["POST"])])
        config = uvicorn.Config(
            app, port=port, http="h11", lifespan="off", access_log=False, log_level="error"
        )
        await uvicorn.Server(config).serve()

    asyncio.run(serve())


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        number: int = one.getsockname()[1]
        return number


def _wait_for(port: int) -> None:
    for _ in range(300):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the receiver does not answer")
