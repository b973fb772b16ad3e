"""The passes of 20 accounts: without a receiver of events, and with one that is down, answers nonsense or is slow.

A pass never waits for a receiver. Receivers are asked 120 times as often as in production, so that passes have
questions beside them. What answers is a process of its own, all daemons run in this one, and they take turns.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import AsyncExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx
import structlog

from benchmarks import Row, at_most, compared
from benchmarks._processes import PROCESSES
from benchmarks.neighbours import ENDED_SECONDS, GOOD, Fleet, noting
from reconciler.runtime.services.receivers import Receivers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from reconciler.runtime.daemon import Daemon

ROUNDS, QUICK_ROUNDS = 40, 10
EVERY_SECONDS = 0.5
SLOW_SECONDS = 10.0
NOT_SLOWER = 1.1
WITHOUT, DOWN, NONSENSE, SLOW = "none", "down", "nonsense", "slow"
WORDS = {
    DOWN: "a receiver that is down",
    NONSENSE: "a receiver that answers nonsense",
    SLOW: "a receiver that is slow",
}


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure all in turns. Each has every place in a round as often: whoever comes later finds warm caches."""
    with _answering() as ports:
        seconds = asyncio.run(_measured(QUICK_ROUNDS if quick else ROUNDS, ports))
    for kind, words in WORDS.items():
        pairs = zip(seconds[kind], seconds[WITHOUT], strict=True)
        what = f"{GOOD} passes beside {words}"
        yield compared(what, pairs, "s", "without a receiver", at_most(NOT_SLOWER))


async def _measured(rounds: int, ports: dict[str, int]) -> dict[str, list[float]]:
    """Return what the rounds took, by what is beside them."""
    fleets = [Fleet(WITHOUT, ())]
    for kind in WORDS:
        given = {"PCC_EVENTS_FROM": f"http://127.0.0.1:{ports[kind]}"}
        fleets.append(Fleet(kind, (), given, _hurry))
    seconds: dict[str, list[float]] = {fleet.name: [] for fleet in fleets}
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, noting(fleets)])
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=ENDED_SECONDS))
        for fleet in fleets:
            await stack.enter_async_context(fleet.running())
        for number in range(rounds):
            first = number % len(fleets)
            for fleet in (*fleets[first:], *fleets[:first]):
                seconds[fleet.name].append(await fleet.round(http))
    structlog.reset_defaults()
    return seconds


def _hurry(daemon: Daemon) -> None:
    """Let a daemon ask its receivers far more often than it does."""
    assert daemon.process is not None
    (service,) = (one for one in daemon.process.services if isinstance(one, Receivers))
    service.every = EVERY_SECONDS


@contextmanager
def _answering() -> Iterator[dict[str, int]]:
    """Give the ports of what answers in place of a receiver; at one of them nobody does."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_answer, args=(theirs,), daemon=True)
    process.start()
    yield ours.recv()
    process.terminate()
    process.join()


def _answer(ports: Connection) -> None:
    nobody = ThreadingHTTPServer(("127.0.0.1", 0), _Nonsense)
    nonsense = ThreadingHTTPServer(("127.0.0.1", 0), _Nonsense)
    slow = ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    nobody.server_close()
    ports.send(
        {
            DOWN: nobody.server_address[1],
            NONSENSE: nonsense.server_address[1],
            SLOW: slow.server_address[1],
        }
    )
    threading.Thread(target=nonsense.serve_forever, daemon=True).start()
    slow.serve_forever()


class _Nonsense(BaseHTTPRequestHandler):
    """Is another program."""

    def do_GET(self) -> None:
        """Answer what no receiver answers."""
        body = b"<html>" + b"Log in. " * 1000
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Slow(_Nonsense):
    """Is a receiver that takes its time."""

    def do_GET(self) -> None:
        """Answer much later."""
        time.sleep(SLOW_SECONDS)
        super().do_GET()
