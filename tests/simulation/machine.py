"""The daemon as a process on a machine: started, asked, stopped in good order, killed.

Owns: the daemon's settings and its lives. A kill leaves what was written at that moment and nothing else: the next
life gets a copy of the state as it was, and whatever the old one still does is heard by nobody. A loss of power leaves
what was on the disk for good, and a part of the rest.
Must not: know what is right or wrong in what the daemon does.
"""

from __future__ import annotations

import asyncio
import contextvars
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import httpx
from starlette.types import ASGIApp

from reconciler.runtime import settings
from reconciler.runtime.daemon import Daemon
from reconciler.runtime.environment import Environment
from reconciler.runtime.setting_values import Listen
from reconciler.runtime.ticker import SchedulerTicker
from reconciler.simulator import Platform
from reconciler.telemetry.masking import Masking
from simulation.callbacks import Receivers
from simulation.clockwork import MachineClock, VirtualLoop
from simulation.disk import Disk
from simulation.wire import Listener, Weather, Wire

LIFE: contextvars.ContextVar[int] = contextvars.ContextVar("life", default=0)
"""Which life of the daemon a log line comes from."""


class Door:
    """Where HTTP comes in, without a port: requests are handed to the app itself."""

    url = "http://127.0.0.1"

    def __init__(self) -> None:
        self.app: ASGIApp | None = None
        self._stopping = asyncio.Event()

    async def serve(self, app: ASGIApp) -> None:
        """Let the app answer until ``stop``."""
        self.app = app
        await self._stopping.wait()
        self.app = None

    def stop(self) -> None:
        """Answer nothing more."""
        self._stopping.set()


class Machine:
    """One machine. ``life`` counts the processes on it, from 1."""

    def __init__(
        self,
        loop: VirtualLoop,
        clock: MachineClock,
        disk: Disk,
        platform: Platform,
        weather: Weather,
        random: Random,
        listener: Listener,
        folder: Path,
        given: Mapping[str, str],
        masking: Masking,
    ) -> None:
        self.life = 0
        self.folder = folder
        self.given = dict(given)
        self.receivers: Receivers | None = None
        self.ended: Callable[[BaseException | None], None] = lambda _error: None
        self._loop, self._clock, self._disk, self._platform = loop, clock, disk, platform
        self._weather, self._random, self._listener = weather, random, listener
        self._masking = masking
        self._states = 0
        self._wire: Wire | None = None
        self._daemon: Daemon | None = None
        self._running: asyncio.Task[None] | None = None
        self._dying: set[asyncio.Task[None]] = set()
        self._door = Door()
        (folder / "state-0").mkdir()
        loop.due, loop.busy = self._first_due, lambda: self._disk.busy

    @property
    def state(self) -> Path:
        """Return where the state is now."""
        return self.folder / f"state-{self._states}"

    @property
    def is_up(self) -> bool:
        """Say whether a daemon runs."""
        return self._running is not None

    def speaks(self, life: int) -> bool:
        """Say whether what a life of the daemon logs or reads is heard by anybody."""
        return life == self.life and self.is_up

    def start(self) -> None:
        """Start the daemon on what is on the disk."""
        assert self._running is None
        self.life += 1
        self._wire = Wire(self._loop, self._platform, self._weather, self._random, self._listener)
        self._door = door = Door()
        around = Environment(
            clock=self._clock,
            random=self._random.random,
            unique=lambda: UUID(int=self._random.getrandbits(128), version=4),
            transport=self._wire,
            connect=self._disk.connect,
            watch=self._disk.watch,
            look=self._disk.look,
            file_time=self._clock.seconds,
        )
        if self.receivers is not None:
            around = replace(around, ask_receiver=self.receivers.ask, apart=self.receivers.beside)

        @contextmanager
        def front(_listen: Listen) -> Iterator[Door]:
            yield door

        ticker = partial(SchedulerTicker, self._clock.steady)
        chosen = settings.load({**self.given, "PCC_STATE_DIR": str(self.state)})
        self._daemon = Daemon(
            chosen, masking=self._masking, environment=around, ticker=ticker, front=front
        )
        context = contextvars.copy_context()
        context.run(LIFE.set, self.life)
        self._running = self._loop.create_task(self._daemon.run(), context=context)
        self._running.add_done_callback(self._over)

    async def stop(self) -> None:
        """Stop the daemon in good order."""
        running, daemon = self._running, self._daemon
        if running is not None and daemon is not None:
            daemon.stop()
            await asyncio.wait({running})

    def kill(self, *, power: float | None = None) -> None:
        """Kill the daemon where it stands; with ``power``, that part of what no disk has for good is left."""
        running, wire = self._running, self._wire
        if running is None or wire is None:
            return
        before = self.state
        self._states += 1
        shutil.copytree(before, self.state)
        if power is not None:
            self._disk.power.fail(self.state / "state.db", power)
        wire.severed = True
        self._running = None
        self._dying.add(running)
        running.add_done_callback(self._dying.discard)
        running.cancel()

    async def bury(self) -> None:
        """Wait until killed daemons are gone."""
        if self._dying:
            await asyncio.wait(self._dying)

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response | None:
        """Send a request to the daemon; nothing where none answers."""
        if self._door.app is None or self._running is None:
            return None
        transport = httpx.ASGITransport(self._door.app)
        async with httpx.AsyncClient(transport=transport, base_url=Door.url) as client:
            return await client.request(method, path, json=body if method == "POST" else None)

    def _first_due(self) -> float | None:
        process = self._daemon.process if self._daemon is not None else None
        heap = process.queue._heap if process is not None else ()
        return heap[0][0] if heap else None

    def _over(self, running: asyncio.Task[None]) -> None:
        error = None if running.cancelled() else running.exception()
        if running is self._running:
            self._running = None
            self.ended(error)
