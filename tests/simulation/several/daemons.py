"""Three daemons that share the accounts, each on its own machine, in place of the one machine of a usual run.

Owns: their lives, their ways to LG and to the database, and their copies of the files. A killed one leaves what is in
the database; nothing of a frozen one runs until it goes on.
Must not: know what is right or wrong in what they do.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast
from uuid import UUID

import httpx

from memory_coordination import Database
from reconciler.core.model import AccountName
from reconciler.core.replicas import MemberId
from reconciler.runtime import settings
from reconciler.runtime.daemon import Daemon
from reconciler.runtime.environment import Environment, Shared
from reconciler.runtime.setting_values import Listen
from reconciler.runtime.ticker import SchedulerTicker
from reconciler.simulator import Platform
from reconciler.state.coordination import Fleet
from reconciler.state.sqlite.storage import SqliteStorage
from reconciler.telemetry.masking import Masking
from simulation.callbacks import Receivers
from simulation.clockwork import MACHINE, MachineClock, VirtualLoop
from simulation.disk import Disk
from simulation.machine import LIFE, Door
from simulation.replicas import BODY, Body
from simulation.several.database import Hears, Link, coordination, storage
from simulation.several.leaps import (
    LONGEST,
    LONGEST_AWAY,
    LONGEST_BESIDE_A_DEAD_ONE,
    LeapingLoop,
)
from simulation.wire import Listener, Weather, Wire

LEASE_SECONDS = 45.0
SHORTLY_BEFORE_SECONDS = 3.0
"""So long before a lease may run out every second counts."""
BRIEF_SECONDS = 6.0
"""How long every second counts after a file or a command came."""
SELDOM_SECONDS = 1800.0
"""Whoever looks now and then whether files changed does so as seldom, where none do."""
ANSWER_SECONDS = 30.0
"""Whoever asks a daemon waits for so long."""


class Outside:
    """The loop as the network has it: what was sent travels on, whatever becomes of its sender."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.time, self.create_future = loop.time, loop.create_future

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Any:
        """Call something that concerns no daemon."""
        return self._loop.call_later(delay, callback, *args, context=contextvars.Context())


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all daemons have around them."""

    loop: LeapingLoop
    disk: Disk
    platform: Platform
    weather: Weather
    random: Random
    listener: Listener
    folder: Path
    given: dict[str, str]
    masking: Masking
    database: Database
    start: MachineClock
    ended: Callable[[BaseException | None], None]


class Node:
    """One daemon on its machine. ``files`` is its copy of the texts, ``lag`` how late that is, in seconds."""

    def __init__(self, name: str, around: Surroundings, hears: Hears) -> None:
        self.name, self.life = name, 0
        self.body = Body(gone=True)
        self.link = Link(around.database, around.random, hears, self._joined)
        self.clock = MachineClock(around.loop, around.start.start)
        self.files: dict[str, bytes] = {}
        self.lag = 0.0
        self.members: list[MemberId] = []
        self._around = around
        self._delivered_until = 0.0
        self.well_since: float | None = None
        self._daemon: Daemon | None = None
        self._door = Door()
        self._running: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()
        self.bodies: list[Body] = []
        self.texts.mkdir(parents=True)

    def _joined(self, member: MemberId) -> None:
        self.members.append(member)

    @property
    def texts(self) -> Path:
        """Return where its copy of the texts is."""
        return self._around.folder / self.name / "texts"

    @property
    def up(self) -> bool:
        """Say whether a daemon runs, frozen or not."""
        return not self.body.gone

    @property
    def well(self) -> bool:
        """Say whether a daemon runs and reaches the database."""
        return self.up and not self.body.stopped and self.link.well

    @property
    def daemon(self) -> Daemon | None:
        """Return the daemon, if one runs."""
        return self._daemon

    def epoch(self, account: str) -> int | None:
        """Return the epoch in which it has an account."""
        process = self._daemon.process if self._daemon is not None else None
        if process is None or process.replica is None:
            return None
        epoch: int | None = process.replica._replica.tenure.term(AccountName(account))
        return epoch

    @property
    def tries_again(self) -> bool:
        """Say whether a write failed that it tries again each second, or it has not yet reported that one succeeded."""
        process = self._daemon.process if self._daemon is not None else None
        if process is None or self.body.stopped or self.link.cut or self._around.database.away:
            return False
        return bool(process._state._trouble) or not process.components.state.is_writable()

    def first_due(self) -> float | None:
        """Return when its first account is due."""
        process = self._daemon.process if self._daemon is not None else None
        heap = process.queue._heap if process is not None and not self.body.stopped else ()
        return heap[0][0] if heap else None

    def start(self, life: int) -> None:
        """Start the daemon."""
        around = self._around
        self.life, self.body = life, Body()
        self.bodies.append(self.body)
        self._door = door = Door()
        wire = Wire(
            cast("VirtualLoop", Outside(around.loop)),
            around.platform,
            around.weather,
            around.random,
            around.listener,
            f"{self.name}/{life}",
        )
        environment = Environment(
            clock=self.clock,
            random=around.random.random,
            unique=lambda: UUID(int=around.random.getrandbits(128), version=4),
            transport=wire,
            watch=around.disk.watch,
            look=around.disk.look,
            file_time=self.clock.seconds,
            shared=self._shared,
        )

        @contextmanager
        def front(_listen: Listen) -> Iterator[Door]:
            yield door

        home = {
            "PCC_DESIRED_STATE": str(self.texts),
            "PCC_STATE_DIR": str(around.folder / self.name / "state"),
        }
        self._daemon = Daemon(
            settings.load({**around.given, **home}),
            masking=around.masking,
            environment=environment,
            ticker=partial(SchedulerTicker, self.clock.steady),
            front=front,
        )
        self._context = context = contextvars.copy_context()
        for variable, value in ((BODY, self.body), (LIFE, life), (MACHINE, self.clock)):
            context.run(variable.set, value)  # type: ignore[arg-type]  # each has its own kind
        self._running = around.loop.create_task(self._daemon.run(), context=context)
        self._running.add_done_callback(self._over)

    def _shared(self) -> Shared:
        around = self._around
        return Shared(storage(self.link), coordination(self.link), LEASE_SECONDS, around.loop.time)

    def _over(self, running: asyncio.Task[None]) -> None:
        if running is not self._running:
            return
        self._running, self._daemon = None, None
        self.body.gone = True
        self._around.ended(None if running.cancelled() else running.exception())

    async def stop(self) -> None:
        """Stop the daemon in good order."""
        running, daemon = self._running, self._daemon
        if running is not None and daemon is not None:
            daemon.stop()
            await asyncio.wait({running}, timeout=10 * ANSWER_SECONDS)

    def kill(self) -> None:
        """Kill the daemon where it is: nothing of it ever runs again."""
        self.body.gone, self.body.stopped = True, False
        self._daemon, self._running = None, None

    def freeze(self) -> None:
        """Stop everything of the daemon, as SIGSTOP does."""
        self.body.stopped = self.up

    def thaw(self) -> None:
        """Let it go on."""
        self.body.stopped, kept = False, self.body.kept
        self.body.kept = []
        for turn in kept:
            turn.again()

    def end(self) -> None:
        """Let everything that was ever of it come to its end, where nobody looks any more."""
        self.link.cut = True
        for body in self.bodies:
            body.gone = body.stopped = False
            for turn in body.kept:
                turn.again()

    def when_delivered(self) -> float:
        """Return how many seconds from now what is written now is in its copy: everything comes in order."""
        now = self._around.loop.time()
        self._delivered_until = max(self._delivered_until, now + self.lag)
        return self._delivered_until - now

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response | None:
        """Send a request to the daemon; None where none answers in time."""
        door = self._door
        if door.app is None or not self.up or self.body.stopped:
            return None
        loop = self._around.loop
        task = loop.create_task(_asked(door, method, path, body), context=self._context.copy())
        await asyncio.wait({task}, timeout=ANSWER_SECONDS)
        return task.result() if task.done() else None


async def _asked(door: Door, method: str, path: str, body: Any) -> httpx.Response | None:
    assert door.app is not None
    transport = httpx.ASGITransport(door.app)
    async with httpx.AsyncClient(transport=transport, base_url=Door.url) as client:
        with suppress(asyncio.CancelledError):
            return await client.request(method, path, json=body if method == "POST" else None)
    return None


class Daemons:
    """Three daemons, their database and their files. It takes the place of the one machine."""

    def __init__(
        self,
        loop: VirtualLoop,
        clock: MachineClock,
        disk: Disk,
        platform: Platform,
        weather: Weather,
        random: Random,
        listener: Any,
        folder: Path,
        given: Mapping[str, str],
        masking: Masking,
    ) -> None:
        assert isinstance(loop, LeapingLoop)
        self.folder, self.given = folder, dict(given) | {"PCC_WORKERS": "4"}
        self.receivers: Receivers | None = None
        self.ended: Callable[[BaseException | None], None] = lambda _error: None
        self.loop, self._random, self._disk = loop, random, disk
        self.storage = SqliteStorage.in_memory(clock)
        self.database = Database(self.storage, clock.now)
        self.checker = listener
        self._lives = 0
        self._stopping: set[Node] = set()
        self._reader: Node | None = None
        around = Surroundings(
            *(loop, disk, platform, weather, random, listener, folder, self.given, masking),
            *(self.database, clock, self._over),
        )
        self.nodes = [Node(f"node-{number}", around, self) for number in range(3)]
        self.database.accepted = self._accepted
        disk.seldom_seconds = SELDOM_SECONDS
        loop.longest = self._longest_rest
        loop.due, loop.busy = self._first_due, self._is_busy

    # -- what a usual run asks of its machine

    @property
    def life(self) -> int:
        """Return how many lives there were."""
        return self._lives

    @property
    def is_up(self) -> bool:
        """Say whether any daemon runs."""
        return any(node.up for node in self.nodes)

    def speaks(self, life: int) -> bool:
        """Say whether a life is one of those that go on."""
        return any(node.life == life and node.up for node in self.nodes)

    def start(self) -> None:
        """Start every daemon that is down."""
        for node in self.nodes:
            if not node.up:
                self.start_one(node)

    async def stop(self) -> None:
        """Stop all of them in good order."""
        for node in self.nodes:
            await self.stop_one(node)

    def kill(self, *, power: float | None = None) -> None:
        """Kill all of them."""
        del power
        for node in self.nodes:
            node.kill()

    async def bury(self) -> None:
        """Wait until everything that was left of them is gone."""
        mine = asyncio.current_task()
        for node in self.nodes:
            node.end()
        left = {task for task in asyncio.all_tasks() if task is not mine}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response | None:
        """Send a request to any daemon that may answer; None where none does."""
        able = [node for node in self.nodes if node.up and not node.body.stopped]
        if not able:
            return None
        if method == "POST":
            self.loop.alert(BRIEF_SECONDS)
        return await self._random.choice(able).ask(method, path, body)

    # -- what befalls one of them

    def start_one(self, node: Node) -> None:
        """Start one daemon."""
        self.trouble()
        self._lives += 1
        node.start(self._lives)
        self.moved()

    async def stop_one(self, node: Node) -> None:
        """Stop one daemon in good order."""
        self.trouble()
        self._stopping.add(node)
        await node.stop()
        self._stopping.discard(node)
        self.moved()

    def trouble(self) -> None:
        """Take that something befell a daemon or the database, or that this ended."""
        self.loop.alert(BRIEF_SECONDS)
        before = SHORTLY_BEFORE_SECONDS
        self.loop.alert(before + BRIEF_SECONDS, after=LEASE_SECONDS - before)
        for node in self.nodes:
            since = node.well_since if node.well_since is not None else self.loop.time()
            node.well_since = since if node.well else None
        self.loop.slow_bodies = {node.body for node in self.nodes if node.link.slow}
        self.checker.able_changed()

    def _over(self, error: BaseException | None) -> None:
        if error is not None or not self._stopping:
            self.ended(error or AssertionError("a daemon ended that nobody stopped"))

    def _longest_rest(self) -> float:
        """Return for how long replicas may rest: nobody may be declared dead late."""
        if self.database.away:
            return LONGEST_AWAY
        well = {node.members[-1] for node in self.nodes if node.well and node.members}
        calm = self.database.tables.members.keys() <= well
        return LONGEST if calm else LONGEST_BESIDE_A_DEAD_ONE

    def _is_busy(self) -> bool:
        """Say whether every tick matters: files changed a moment ago, or a daemon will write again what failed."""
        return self._disk.busy or any(node.tries_again for node in self.nodes)

    def _first_due(self) -> float | None:
        due = [one for one in (node.first_due() for node in self.nodes) if one is not None]
        return min(due, default=None)

    # -- files

    def deliver(self, name: str, content: bytes | None, *, in_place: bool) -> None:
        """Let each daemon's copy have a file now or a while later; with no content it is removed."""
        for node in self.nodes:
            after = node.when_delivered()
            if after > 0:
                self.loop.call_later(after, partial(self._deliver, node, name, content, in_place))
            else:
                self._deliver(node, name, content, in_place)

    def _deliver(self, node: Node, name: str, content: bytes | None, in_place: bool) -> None:  # noqa: FBT001 - for ``partial``
        path = node.texts / name
        if content is None:
            node.files.pop(name, None)
            self._disk.remove(path)
        else:
            node.files[name] = content
            (self._disk.write if in_place else self._disk.rename_over)(path, content)
        self.loop.alert(BRIEF_SECONDS)
        if node is self._reader or self._reader is None:
            self.checker.copy_changed(node)

    # -- what is heard of the tables

    @property
    def reader(self) -> Node | None:
        """Return the daemon that reads the files for all."""
        return self._reader

    def node_of(self, member: MemberId) -> Node | None:
        """Return whose life a member was."""
        return next((node for node in self.nodes if member in node.members), None)

    def moved(self) -> None:
        """Hear that owners, members or the reader of the source may be others now."""
        tables = self.database.tables
        lives = tables.reader in tables.members
        reader = self.node_of(tables.reader) if lives else None
        if reader is not self._reader:
            self._reader = reader
            self.checker.reader_changed(reader)

    def _accepted(self) -> None:
        self.checker.accepted()

    def freed(self, accounts: Mapping[AccountName, int]) -> None:
        """Hear that accounts were freed in good order, each in an epoch. The others take them at their next look."""
        self.loop.alert(BRIEF_SECONDS)
        self.checker.freed(accounts)

    def declared_dead(self, member: MemberId) -> None:
        """Hear that somebody declared a member dead."""
        node = self.node_of(member)
        if node is not None and node.members[-1] == member:
            self.checker.declared_dead(node)

    def told(self, fleet: Fleet) -> None:
        """Hear what a daemon reads of the whole fleet."""
        self.checker.told(fleet)

    def drift(self, node: Node, seconds: float) -> None:
        """Set one machine's clock."""
        node.clock.set_by(timedelta(seconds=seconds))
