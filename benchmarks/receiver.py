"""How fast the receiving process acknowledges over HTTP, beside a bare server that commits the same rows.

The floor is one Starlette route under uvicorn with the same HTTP parser: it reads a body, decodes it, writes the same
rows in the same shared commits, and answers. It knows no credential, no limit, no duplicate, and counts nothing.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from socket import AF_INET, IPPROTO_TCP, SOCK_STREAM, create_server, socket

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks import Row, at_least, at_most, compared, turns
from benchmarks._acknowledging import (
    AT_ONCE,
    QUICK_RATE_SECONDS,
    RATE,
    RATE_SECONDS,
    RATE_WAIT,
    Floor,
    Speed,
    body_of,
    closed_loop,
    open_loop,
)
from benchmarks._processes import PROCESSES
from reconciler.events.spool import tables

EVENTS, QUICK_EVENTS = 6_000, 1_000
FIRST_EVENTS = 500
"""How many events are sent before the time is taken."""
PAIRS, QUICK_PAIRS = 9, 3
WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.05
LEAST = 1_000
"""Acknowledged events a second that are to be reached on two cores, with whoever sends them."""

Served = Callable[[str], AbstractContextManager[int]]
"""Serves from a folder; gives the port."""


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure speed and waits of a fresh process each time."""
    speeds: dict[int, list[Speed]] = {0: [], 1: []}
    for order in turns(QUICK_PAIRS if quick else PAIRS):
        for place in order:
            serve = (_receiver, _floor)[place]
            speeds[place].append(_speed(serve, QUICK_EVENTS if quick else EVENTS))
    pairs = list(zip(speeds[0], speeds[1], strict=True))
    against = "a bare server, the same rows"
    rates = [(ours.rate, floor.rate) for ours, floor in pairs]
    what = f"acknowledged events a second, {AT_ONCE} connections"
    yield compared(what, rates, "/s", against, at_least(0.8))
    yield Row(what, compared("", rates, "", "").ours, "/s", target=at_least(LEAST, absolute=True))
    waits = [(ours.wait * 1000, floor.wait * 1000) for ours, floor in pairs]
    yield compared("99 % of them acknowledged within", waits, "ms", against, at_most(1.5))
    yield Row(
        f"99 % within, at {RATE} a second",
        _paced(QUICK_RATE_SECONDS if quick else RATE_SECONDS) * 1000,
        "ms",
        target=at_most(RATE_WAIT, absolute=True),
    )


def _speed(serve: Served, count: int) -> Speed:
    bodies = [body_of(number) for number in range(FIRST_EVENTS + count)]
    with tempfile.TemporaryDirectory() as folder, serve(folder) as port:
        return asyncio.run(_send(port, bodies))


def _paced(seconds: int) -> float:
    with tempfile.TemporaryDirectory() as folder, _receiver(folder) as port:
        return asyncio.run(_send_paced(port, seconds))


async def _send(port: int, bodies: list[bytes]) -> Speed:
    async with _callers(port) as acknowledge:
        await closed_loop(bodies[:FIRST_EVENTS], acknowledge)
        return await closed_loop(bodies[FIRST_EVENTS:], acknowledge)


async def _send_paced(port: int, seconds: int) -> float:
    async with _callers(port) as acknowledge:
        return await open_loop(seconds, acknowledge)


@asynccontextmanager
async def _callers(port: int) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """Open connections; yield what sends an event over a free one and returns once it is acknowledged."""
    callers: asyncio.Queue[Caller] = asyncio.Queue()
    for _ in range(AT_ONCE):
        callers.put_nowait(await Caller.connect(port))

    async def acknowledge(body: bytes) -> None:
        caller = await callers.get()
        await caller.post(body)
        callers.put_nowait(caller)

    yield acknowledge
    while not callers.empty():
        await callers.get_nowait().close()


class Caller:
    """One connection that stays open, as a sender of webhooks has it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> Caller:
        """Open a connection."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, body: bytes) -> None:
        """Send an event, and return once it is acknowledged."""
        head = (
            f"POST /pcc/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        await self._reader.readexactly(len(b"{}"))

    async def close(self) -> None:
        """End the connection."""
        self._writer.close()
        await self._writer.wait_closed()


@contextmanager
def _receiver(folder: str) -> Iterator[int]:
    """Run our receiving process, without sinks."""
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "PCC_RECEIVE_LISTEN": f"127.0.0.1:{port}",
        "PCC_EVENTS_DIR": f"{folder}/events",
    }
    command = [str(Path(sys.executable).with_name("pcc-reconciler")), "receive"]
    with Path(folder, "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, env=environment, cwd=folder, stdout=log, stderr=log
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/readyz")
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _floor(folder: str) -> Iterator[int]:
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_serve_floor, args=(theirs, folder))
    process.start()
    try:
        port: int = ours.recv()
        _wait_for(f"http://127.0.0.1:{port}/readyz")
        yield port
    finally:
        process.terminate()
        process.join()


def _serve_floor(told: Connection, folder: str) -> None:
    listener = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP)  # else asyncio lets small answers wait
    listener.bind(("127.0.0.1", 0))
    told.send(listener.getsockname()[1])
    config = uvicorn.Config(
        BareApp(folder).app, http="h11", lifespan="off", log_level="error", access_log=False
    )
    uvicorn.Server(config).run([listener])


class BareApp:
    """One route: it reads a body, commits its rows, and answers."""

    def __init__(self, folder: str) -> None:
        self._file = Path(folder, tables.FILE)
        self._floor: Floor | None = None
        routes = [
            Route("/pcc/events", self.take, methods=["POST"]),
            Route("/readyz", self.ready),
        ]
        self.app = Starlette(routes=routes)

    async def ready(self, _request: Request) -> Response:
        """Say that it is ready."""
        return Response()

    async def take(self, request: Request) -> Response:
        """Answer one request."""
        if self._floor is None:
            self._floor = Floor(self._file, routed=False)
        await self._floor.acknowledge(await request.body())
        return Response(b"{}", media_type="application/json")


def _wait_for(address: str) -> None:
    """Wait until somebody answers that all is read."""
    began = time.monotonic()
    while time.monotonic() - began < WAIT_SECONDS:
        try:
            with urllib.request.urlopen(address):  # noqa: S310 - our own program on loopback
                return
        except OSError:
            time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"{address} does not say that it is ready")
