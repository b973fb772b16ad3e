"""One run: a world made of one seed, hours of trouble, and then calm, in which everything has to come true.

Owns: what happens when. Must not: judge it (``check`` does).
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from structlog.testing import capture_logs

from reconciler.core.errors import SpoolError
from reconciler.events.config import Order, SinkConfig, SinkType
from reconciler.events.delivery import Delivery
from reconciler.events.envelope import Envelopes
from reconciler.events.logic import LogicInForce
from reconciler.events.message import read
from reconciler.events.model import Device, EventState, Receipt, Result, Stored
from reconciler.events.routing import SinkRouter
from reconciler.events.sinks.port import Sink
from reconciler.events.spool import open_beside
from simulation.clockwork import MachineClock, VirtualLoop
from simulation.deliveries.partners import Mode, Opened, Partner
from simulation.deliveries.spool import SpoolOnLoop

START = datetime(2026, 3, 28, tzinfo=UTC)
HOUR = 3600.0
CALM_HOURS = 8.0
"""All sinks work for so long at the end: more than the longest wait, for each of a long row of events."""
EVENTS_AN_HOUR = 25.0
DEVICES = 20
OTHER_PUSH = "DEVICE_UNREGISTERED"
FASTEST = "/dev/shm"  # noqa: S108 - a folder of our own is made in it


@dataclass(frozen=True)
class Diagnosis:
    """What LG found out: equal ones are one event, however often they are sent."""

    device: str | None
    kind: str
    at: str
    push_type: str = "PCC_EVENT"

    def message(self, message_id: str) -> bytes:
        """Return the message in which LG sends it."""
        event = {
            "pushType": self.push_type,
            "deviceId": self.device,
            "diagnosisType": self.kind,
            "diagnosisTimestamp": self.at,
        }
        present = {name: value for name, value in event.items() if value is not None}
        return json.dumps({"messageId": message_id, "event": present}).encode()


@dataclass
class Accepted:
    """An event that was answered with success. ``sinks`` are those it has to reach."""

    id: str
    seq: int
    diagnosis: Diagnosis
    sinks: frozenset[str]
    at: datetime


@dataclass
class Turn:
    """Something after which attempts may come in another order or number: a restart, a new file, a replay."""

    at: float
    what: str
    sink: str = ""


class NoNames:
    """A directory that knows no device."""

    def device(self, device: str) -> Device:
        """Return what is known of a device."""
        return Device(device)


class Uncounted:
    """Metrics that nobody reads."""

    def ended(self, sink: str, result: Result, seconds: float) -> None:
        """Take note of nothing."""


@dataclass
class Process:
    """One life of the receiving process."""

    spool: SpoolOnLoop
    router: SinkRouter
    delivery: Delivery
    task: asyncio.Task[None]


@dataclass
class Day:
    """A run. ``hours`` are those of trouble."""

    seed: int
    hours: float
    accepted: dict[str, Accepted] = field(default_factory=dict)
    ids: dict[Diagnosis, set[str]] = field(default_factory=dict)
    partners: dict[str, Partner] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    known: dict[str, SinkConfig] = field(default_factory=dict)
    """Each sink that ever was in the file, as it was last."""
    rows: dict[tuple[str, str], EventState] = field(default_factory=dict)
    """What the spool says in the end, by event and sink."""

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - repeatable
        self.loop = VirtualLoop(Random(self.seed + 1))  # noqa: S311 - repeatable
        self.clock = MachineClock(self.loop, START)
        self.file: dict[str, SinkConfig] = {}
        self.process: Process | None = None
        self.lives = 0
        self.number = 0
        self.folder = Path()

    def run(self) -> None:
        """Live through it."""
        home = FASTEST if Path(FASTEST).is_dir() else None
        with tempfile.TemporaryDirectory(dir=home) as folder, capture_logs():
            self.folder = Path(folder)
            for _ in range(2):
                self.add_sink()
            self.loop.run_until_complete(self._live())
        self.loop.close()

    def build(self, config: SinkConfig) -> Sink:
        """Return the way to a partner."""
        return Opened(config.name, self.partners[config.name])

    def add_sink(self) -> None:
        """Write a sink into the events file: a new one, or one that was there before."""
        name = f"s{self.random.randrange(4)}"
        partner = Partner(name, Random(f"{self.seed} {name}"), self.loop.time)  # noqa: S311 - repeatable
        self.partners.setdefault(name, partner)
        if name in self.known:
            self.file[name] = self.known[name]
            return
        self.file[name] = self.known[name] = SinkConfig(
            name,
            SinkType.HTTP,
            url=f"https://{name}.example.com/",
            push_types=frozenset(
                {"PCC_EVENT", OTHER_PUSH} if self.random.random() < 0.5 else {"PCC_EVENT"}
            ),
            order=self.random.choice([Order.DEVICE, Order.DEVICE, Order.NONE]),
            concurrency=self.random.choice([1, 2, 8]),
            give_up_after=timedelta(hours=self.random.choice([2, 6, 72])),
        )

    async def _live(self) -> None:
        troubles: list[Coroutine[Any, Any, None]] = [
            self._restart(),
            self._send(),
            self._change_file(),
            self._change_partners(),
            self._set_clock(),
            self._replay(),
        ]
        self._start()
        tasks = [asyncio.create_task(trouble) for trouble in troubles]
        await asyncio.sleep(self.hours * HOUR)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                task.result()
        await self._calm_down()

    async def _calm_down(self) -> None:
        """Let everything work, and see what came of it."""
        for partner in self.partners.values():
            partner.mode, partner.calm = Mode.WORKS, True
        if self.process is None:
            self._start()
        self.file = dict(self.known)
        self._enforce()
        await asyncio.sleep(CALM_HOURS * HOUR)
        process = self._running()
        for event in self.accepted.values():
            for kept in process.spool.event(event.id):
                for row in kept.deliveries:
                    self.rows[event.id, row.sink] = row.state
        await self._end(killed=False)

    def _running(self) -> Process:
        assert self.process is not None
        return self.process

    def _start(self) -> None:
        """Begin a life of the process."""
        self.lives += 1
        for partner in self.partners.values():
            partner.life = self.lives
        logic = LogicInForce()
        router = SinkRouter(NoNames(), logic)
        spool = SpoolOnLoop(self.folder / "events", self.clock, router, self.random)
        spool.open()
        delivery = Delivery(
            spool,
            Envelopes(NoNames(), logic, "urn:pcc:test"),
            self,
            clock=self.clock,
            random=self.random.random,
            watch=Uncounted(),
        )
        task = asyncio.create_task(delivery.run())
        self.process = Process(spool, router, delivery, task)
        self._enforce()

    async def _end(self, *, killed: bool) -> None:
        process = self._running()
        self.process = None
        if killed:
            process.task.cancel()
        else:
            process.delivery.stop()
        await asyncio.gather(process.task, return_exceptions=True)
        if not process.task.cancelled():
            process.task.result()
        if killed:
            process.spool.die()
        else:
            process.spool.close()

    def _enforce(self) -> None:
        self.turns.append(Turn(self.loop.time(), "file"))
        if self.process is not None:
            self.process.router.enforce(dict(self.file))
            self.process.delivery.use(dict(self.file))

    async def _wait(self, hours: float) -> None:
        """Let a random time pass, of so many hours on average."""
        await asyncio.sleep(self.random.expovariate(1 / (hours * HOUR)))

    async def _restart(self) -> None:
        while True:
            await self._wait(3.0)
            await self._end(killed=self.random.random() < 0.6)
            await self._wait(0.1)
            self._start()
            self.turns.append(Turn(self.loop.time(), "start"))

    async def _change_partners(self) -> None:
        while True:
            await self._wait(0.4)
            self.random.choice(list(self.partners.values())).change()

    async def _change_file(self) -> None:
        while True:
            await self._wait(2.0)
            happens = self.random.random()
            if happens < 0.4 or not self.file:
                self.add_sink()
            elif happens < 0.6:
                del self.file[self.random.choice(list(self.file))]
            elif happens < 0.8:
                name = self.random.choice(list(self.file))
                moved = replace(self.file[name], url=f"https://{self.random.random()}.example.com/")
                self.file[name] = self.known[name] = moved
            self._enforce()

    async def _set_clock(self) -> None:
        while True:
            await self._wait(8.0)
            self.clock.set_by(timedelta(minutes=self.random.uniform(-5, 5)))

    async def _replay(self) -> None:
        """Replay what is dead now and then, as a person does beside the running process."""
        while True:
            await self._wait(2.0)
            if self.process is None:
                continue
            name = self.random.choice(list(self.known))
            beside = open_beside(self.folder / "events", self.clock)
            since = self.clock.now() - timedelta(hours=5)
            beside.replay(name, since, states=[EventState.DEAD])
            beside.close()
            self.turns.append(Turn(self.loop.time(), "replay", name))
            self.process.spool.look()

    async def _send(self) -> None:
        """Be LG: each diagnosis is sent, some more than once, some days late, in any order."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wait(1 / EVENTS_AN_HOUR)
                diagnosis = self._diagnosis()
                times = 1 + (self.random.random() < 0.2) + (self.random.random() < 0.05)
                message_id = f"m{self.number}"
                for time in range(times):
                    if time and self.random.random() < 0.5:
                        message_id = f"m{self.number}-{time}"
                    late = (
                        self.random.expovariate(1 / HOUR)
                        if time or self.random.random() < 0.2
                        else 0
                    )
                    group.create_task(self._post(diagnosis, message_id, late))

    def _diagnosis(self) -> Diagnosis:
        self.number += 1
        device = f"d{self.random.randrange(DEVICES)}"
        kind = self.random.choice(["E1", "E2", "E3"])
        days = self.random.choice([0, 0, 0, 1, 5])
        at = (self.clock.true() - timedelta(days=days)).isoformat()
        if self.random.random() < 0.1:
            return Diagnosis(device if self.random.random() < 0.5 else None, kind, at, OTHER_PUSH)
        return Diagnosis(device, kind, at)

    async def _post(self, diagnosis: Diagnosis, message_id: str, late: float) -> None:
        """Send one message until it is taken."""
        await asyncio.sleep(late)
        while True:
            with_file = dict(self.file)
            receipt = await self._stored(diagnosis.message(message_id))
            if receipt is not None:
                break
            await asyncio.sleep(60.0)
        if receipt.stored is Stored.NEW:
            unchanged = with_file == self.file
            wanted = [
                name for name, sink in with_file.items() if diagnosis.push_type in sink.push_types
            ]
            sinks = frozenset(wanted if unchanged else [])
            self.accepted[receipt.id] = Accepted(
                receipt.id, receipt.seq, diagnosis, sinks, self.clock.now()
            )
        self.ids.setdefault(diagnosis, set()).add(receipt.id)

    async def _stored(self, body: bytes) -> Receipt | None:
        """Return how the receiving process answered; None where it did not."""
        if self.process is None:
            return None
        try:
            (receipt,) = await self.process.spool.store(read(body))
        except SpoolError:
            return None
        return receipt
