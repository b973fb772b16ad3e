"""Several replicas of the daemon on one virtual clock, over one database in memory, before one simulated platform.

Owns: the replicas' lives and what befalls them: stopped and continued, killed, cut off, restarted in good order, each
with a copy of the files that lags. Must not: judge what they do; ``judge`` does.

A stopped replica is one of which nothing runs: what would run is kept, in its order, until it continues. What it sent
before travels on, as a kernel would see to it.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import httpx
import structlog

from memory_coordination import Database, MemoryCoordination, MemoryMembers, shared
from reconciler.core.errors import StateError
from reconciler.core.model import AccountName
from reconciler.core.replicas import MemberId
from reconciler.runtime import settings
from reconciler.runtime.daemon import Daemon
from reconciler.runtime.environment import Environment, Shared
from reconciler.runtime.setting_values import Listen
from reconciler.runtime.ticker import SchedulerTicker
from reconciler.simulator import Answer, Options, Platform, Request, sample_devices
from reconciler.state.coordination import Renewal
from reconciler.state.sqlite.storage import SqliteStorage
from reconciler.telemetry.masking import Masking
from simulation.clockwork import MACHINE, MachineClock, VirtualLoop
from simulation.disk import Disk
from simulation.machine import Door

START = datetime(2026, 11, 1, tzinfo=UTC)
BODY: contextvars.ContextVar[Body | None] = contextvars.ContextVar("body", default=None)
"""Whose work it is that runs."""


class StoppableLoop(VirtualLoop):
    """A loop on virtual time that runs nothing of a replica that is stopped."""

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Call something soon, or when its replica continues."""
        turn = Turn(self, callback, args, context)
        turn.handle = super().call_soon(turn.run, context=context)
        return turn.handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call something at a moment, or when its replica continues."""
        turn = Turn(self, callback, args, context)
        handle = super().call_at(when, turn.run, context=context)
        turn.handle = handle
        return handle


class Turn:
    """Something that is to be called."""

    def __init__(
        self,
        loop: StoppableLoop,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> None:
        self._loop, self._callback, self._args = loop, callback, args
        self._context = context
        self.handle: asyncio.Handle | None = None

    def run(self) -> None:
        """Call it, unless its replica is stopped."""
        body = BODY.get()
        if body is not None and (body.stopped or body.gone):
            body.kept.append(self)
        else:
            self._callback(*self._args)

    def again(self) -> None:
        """Call it now that its replica continues, if nobody cancelled it."""
        if self.handle is not None and not self.handle.cancelled():
            self._loop.call_soon(self._callback, *self._args, context=self._context)


@dataclass(eq=False)
class Body:
    """One life of a replica. ``stopped``: nothing of it runs now; ``gone``: nothing of it runs any more."""

    stopped: bool = False
    gone: bool = False
    kept: list[Turn] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """A call that a replica sent. ``epoch`` is that of the account as its sender has it."""

    node: Node
    life: int
    account: AccountName
    epoch: int | None
    method: str
    device: str
    at: float


class Judge:
    """Hears of every call. This one says nothing."""

    def sent(self, call: Sent) -> None:
        """Hear of a call that leaves a replica."""

    def came_back(self, call: Sent) -> None:
        """Hear that nothing is in flight of it any more."""

    def done(self, call: Sent, *, changed: bool) -> None:
        """Hear that LG dealt with a call."""


class Network(httpx.AsyncBaseTransport):
    """What one life of a replica sends its calls over."""

    def __init__(self, world: World, node: Node, life: int) -> None:
        self._world, self._node, self._life = world, node, life

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and wait for its answer."""
        world, node = self._world, self._node
        if node.life != self._life or node.gone:
            raise httpx.ConnectError("killed", request=request)
        if node.lg_cut:
            raise httpx.ConnectError("no way to LG", request=request)
        call = self._call(request)
        answered: asyncio.Future[Answer] = world.loop.create_future()
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Request(
            request.method, request.url.raw_path.decode(), headers, await request.aread()
        )
        if call.method != "POST /token":
            world.judge.sent(call)
        outside = contextvars.Context()
        outside.run(MACHINE.set, world.clock)
        world.loop.call_later(
            world.way(), partial(self._arrive, call, asked, answered), context=outside
        )
        answer = await answered
        return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)

    def _call(self, request: httpx.Request) -> Sent:
        world, node = self._world, self._node
        account = AccountName(str(structlog.contextvars.get_contextvars().get("account", "")))
        path = request.url.path
        device = path.removeprefix("/pcc/") if path.startswith("/pcc/") else ""
        method = "POST /token" if path.endswith("/token") else request.method
        epoch = node.epoch(account)
        return Sent(node, self._life, account, epoch, method, device, world.loop.time())

    def _arrive(self, call: Sent, asked: Request, answered: asyncio.Future[Answer]) -> None:
        world = self._world
        before = world.platform.world.changes
        answer = world.platform.handle(asked)
        world.judge.done(call, changed=world.platform.world.changes != before)
        back = partial(self._back, call, answer, answered)
        outside = contextvars.Context()
        world.loop.call_later(world.way(), back, context=outside)

    def _back(self, call: Sent, answer: Answer, answered: asyncio.Future[Answer]) -> None:
        if call.method != "POST /token":
            self._world.judge.came_back(call)
        if not answered.done():
            answered.set_result(answer)


class CutMembers(MemoryMembers):
    """The members as a replica sees them whose renewals may be cut off while all else works."""

    def __init__(self, database: Database, node: Node) -> None:
        super().__init__(database)
        self._node = node

    async def renew(self, member: MemberId) -> Renewal | None:
        """Renew, unless that is cut off."""
        if self._node.renewals_cut:
            raise StateError("the renewals are cut off")
        return await super().renew(member)


@dataclass(eq=False)
class Node:
    """One replica, with one life after the other. ``slept``: for how many seconds its machine was suspended."""

    world: World
    name: str
    life: int = 0
    body: Body = field(default_factory=lambda: Body(gone=True))
    renewals_cut: bool = False
    lg_cut: bool = False
    slept: float = 0.0
    daemon: Daemon | None = None
    door: Door | None = None
    running: asyncio.Task[None] | None = None
    error: BaseException | None = None

    @property
    def gone(self) -> bool:
        """Say whether nothing of it runs any more."""
        return self.body.gone

    @property
    def stopped(self) -> bool:
        """Say whether nothing of it runs now."""
        return self.body.stopped

    @property
    def texts(self) -> Path:
        """Return this replica's copy of the files."""
        return self.world.folder / self.name / "texts"

    @property
    def replica(self) -> Any:
        """Return what of the daemon takes part in the fleet, or None."""
        process = self.daemon.process if self.daemon is not None else None
        return None if process is None or process.replica is None else process.replica._replica

    @property
    def accounts(self) -> Any:
        """Return what this replica remembers of accounts."""
        assert self.daemon is not None
        assert self.daemon.process is not None
        return self.daemon.process.components.state.accounts

    def epoch(self, account: AccountName) -> int | None:
        """Return the epoch in which this replica has an account."""
        replica = self.replica
        if replica is None:
            return None
        epoch: int | None = replica.tenure.term(account)
        return epoch

    def owned(self) -> frozenset[AccountName]:
        """Return the accounts that this replica works on."""
        replica = self.replica
        return frozenset() if replica is None else frozenset(replica.tenure.planned())

    def start(self) -> None:
        """Start the daemon."""
        world = self.world
        self.life, self.body = self.life + 1, Body()
        world.bodies.append(self.body)
        self.door = door = Door()

        @contextmanager
        def front(_listen: Listen) -> Iterator[Door]:
            yield door

        chosen = settings.load({**world.given(self), **world.extra})
        around = Environment(
            clock=world.clock,
            random=world.random.random,
            unique=world.unique,
            transport=Network(world, self, self.life),
            watch=world.disk.watch,
            look=world.disk.look,
            file_time=world.clock.seconds,
            shared=self._shared,
        )
        self.daemon = Daemon(
            chosen,
            masking=Masking(),
            environment=around,
            ticker=partial(SchedulerTicker, world.clock.steady),
            front=front,
            ready=self._ready,
        )
        context = contextvars.copy_context()
        context.run(BODY.set, self.body)
        self.running = world.loop.create_task(self.daemon.run(), context=context)
        self.running.add_done_callback(self._over)

    def _shared(self) -> Shared:
        world = self.world
        coordination = MemoryCoordination(world.database)
        coordination.members = CutMembers(world.database, self)
        return Shared(shared(world.database), coordination, world.lease, self._boottime)

    def _boottime(self) -> float:
        return self.world.loop.time() + self.slept

    def _ready(self, _url: str) -> None:
        if self.world.no_deadline:
            self.replica.lease._before_end = -math.inf

    def _over(self, running: asyncio.Task[None]) -> None:
        if not running.cancelled() and running is self.running:
            self.error = running.exception()

    async def stop(self) -> None:
        """End the daemon in good order."""
        if self.daemon is not None and self.running is not None and not self.gone:
            self.daemon.stop()
            await asyncio.wait({self.running})
            self.body.gone = True

    def kill(self) -> None:
        """Kill the daemon where it is: nothing of it ever runs again."""
        self.body.gone, self.body.stopped = True, False
        self.daemon, self.running = None, None

    def halt(self) -> None:
        """Stop everything of the daemon, as SIGSTOP does."""
        self.body.stopped = not self.body.gone

    def go_on(self) -> None:
        """Continue."""
        self.body.stopped, kept = False, self.body.kept
        self.body.kept = []
        for turn in kept:
            turn.again()

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response | None:
        """Send a request to the daemon; nothing where none answers."""
        if self.door is None or self.door.app is None or self.gone or self.stopped:
            return None
        transport = httpx.ASGITransport(self.door.app)
        async with httpx.AsyncClient(transport=transport, base_url=Door.url) as client:
            with suppress(TimeoutError):
                async with asyncio.timeout(60.0):
                    return await client.request(
                        method, path, json=body if method == "POST" else None
                    )
        return None


class World:
    """Replicas, their database, their files and LG."""

    def __init__(
        self,
        loop: StoppableLoop,
        folder: Path,
        *,
        replicas: int = 3,
        accounts: int = 8,
        devices: int = 12,
        seed: int = 1,
        lease: float = 45.0,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self.loop, self.folder, self.lease = loop, folder, lease
        self.random = Random(seed)  # noqa: S311 - repeatable, and no secret
        self.clock = MachineClock(loop, START)
        MACHINE.set(self.clock)
        self.disk = Disk(loop, self.clock)
        self.extra = dict(extra or {})
        self.judge = Judge()
        self.slow_seconds = 0.0
        self.bodies: list[Body] = []
        self.no_deadline = False
        self.database = Database(SqliteStorage.in_memory(self.clock), self.clock.now)
        self.platform = Platform(
            seed=seed,
            options=Options(token_life=4 * 3600.0),
            now=lambda: START.timestamp() + loop.time(),
            log_size=0,
        )
        (folder / "credentials").mkdir(parents=True)
        self.devices: dict[str, list[str]] = {}
        for number in range(accounts):
            self._user(f"hotel-{number}", devices, seed)
        self.policy: dict[str, str] = {}
        self.wanted = {name: list(ids[: devices // 2]) for name, ids in self.devices.items()}
        self.nodes = [Node(self, f"node-{number}") for number in range(replicas)]
        for node in self.nodes:
            node.texts.mkdir(parents=True)
            self.deliver(node)

    def _user(self, name: str, devices: int, seed: int) -> None:
        user = self.platform.world.add_user(name)
        made = sample_devices(seed, name, devices, only_pcc=True)
        self.platform.world.add_devices(user, made)
        self.devices[name] = [one.id for one in made]
        token = self.folder / "credentials" / f"{name}.refresh_token"
        self.disk.write(token, (user.refresh_token or "").encode())

    def unique(self) -> UUID:
        """Return an id that nobody else has."""
        return UUID(int=self.random.getrandbits(128), version=4)

    def way(self) -> float:
        """Return how long a request or an answer is under way."""
        return self.random.uniform(0.01, 0.2) + self.random.random() * self.slow_seconds

    def given(self, node: Node) -> dict[str, str]:
        """Return a replica's settings."""
        service = self.platform.world.service
        return {
            "PCC_DESIRED_STATE": str(node.texts),
            "PCC_CREDENTIALS_DIR": str(self.folder / "credentials"),
            "PCC_STATE_DIR": str(self.folder / node.name / "state"),
            "PCC_BASE_URL": "https://lg.invalid",
            "PCC_TOKEN_URL": "https://lg.invalid/emp/v2/token",
            "PCC_BACKEND_URL": service.backend_url,
            "PCC_COUNTRY": "KR",
            "PCC_SERVICE_ID": service.id,
            "PCC_SERVICE_KEY": service.key,
            "PCC_CLIENT_ID": service.client_id,
            "PCC_LISTEN": "127.0.0.1:0",
            "PCC_INTERVAL": "10m",
            "PCC_CONCURRENCY": "3",
            "PCC_WORKERS": "4",
        }

    def text(self) -> bytes:
        """Return what people want, as a document."""
        lines = ["version = 1", *(f"policy.{key} = {value}" for key, value in self.policy.items())]
        for name, wanted in sorted(self.wanted.items()):
            listed = ", ".join(f'"{one}"' for one in wanted)
            lines += ["", f"[accounts.{name}]", f"devices = [{listed}]"]
        return ("\n".join(lines) + "\n").encode()

    def deliver(self, node: Node, text: bytes | None = None) -> None:
        """Let a replica's copy of the files be the newest, or this one."""
        self.disk.rename_over(node.texts / "fleet.toml", text or self.text())

    def live(self, name: str) -> set[str]:
        """Return what LG has subscribed."""
        return set(self.platform.subscribed(name))

    def agrees(self) -> bool:
        """Say whether LG has everything as people want it."""
        return all(self.live(name) == set(wanted) for name, wanted in self.wanted.items())

    async def until(self, true: Callable[[], bool], seconds: float) -> float:
        """Wait until something is true, at most for some time; return how long that took."""
        began = self.loop.time()
        while not true():
            assert self.loop.time() - began < seconds, f"not true after {seconds:.0f} s"
            await asyncio.sleep(0.5)
        return self.loop.time() - began


@contextmanager
def living(folder: Path, seed: int = 1, **chosen: Any) -> Iterator[tuple[StoppableLoop, World]]:
    """Give a world, and end it."""
    loop = StoppableLoop(Random(seed))  # noqa: S311 - as above
    asyncio.set_event_loop(loop)
    world = World(loop, folder, seed=seed, **chosen)
    try:
        yield loop, world
    finally:
        for body in world.bodies:  # they are brought to their end, where nobody looks any more
            body.gone = body.stopped = False
            for turn in body.kept:
                turn.again()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.waits.clear()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()
        asyncio.set_event_loop(None)
