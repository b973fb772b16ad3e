"""Events: LG sends them, others forge them, and receivers list them for the daemon.

Owns: which events are sent, by whom and when, what becomes of each on its way, and what the receivers answer.
Must not: judge what the daemon makes of them.

It has its own source of chance: a world with receivers lives through the same troubles as the one without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar

from reconciler.core.errors import NoDaemon
from reconciler.simulator import Platform
from simulation.checker import Checker
from simulation.clockwork import MachineClock, VirtualLoop

Value = TypeVar("Value")
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
PAGE = 1000
"""How many events one page has."""
FORGED = 0.25
"""The share of events that are not LG's."""
FRESH_SECONDS = 15 * MINUTE
"""A device is asked about so long after we subscribed it: the healthy flow, in which an event proves nothing."""
FLOOD_PER_HOUR = 240.0
FAST_SECONDS, SLOW_SECONDS = 0.3, 20.0
"""How long an answer takes at most."""
DOCUMENTS: tuple[Any, ...] = (
    {"status": "ok"},
    {"spool": 1, "last": "x", "events": {}},
    {"spool": "s", "last": 1, "events": [{"seq": 1, "id": "i", "received": "now"}]},
    {"spool": "s", "last": 0, "events": [{"seq": 1}] * (PAGE + 1)},
)
"""What answers in place of a receiver, and is none."""


@dataclass(slots=True)
class Receiver:
    """One receiver. ``how`` it answers: well, slow, down, nonsense. ``events`` are as it lists them, in their order."""

    address: str
    spool: str
    how: str = "well"
    well_since: float = 0.0
    events: list[dict[str, Any]] = field(default_factory=list)

    def take(self, device: str, received: datetime, **more: Any) -> None:
        """Keep an event."""
        number = len(self.events) + 1
        seen = {"seq": number, "id": f"{self.spool}-{number}", "device": device}
        self.events.append(seen | {"received": received.isoformat(), **more})

    def page(self, after: int) -> dict[str, Any]:
        """Return a page of what it has."""
        events = self.events[after : after + PAGE]
        return {
            "spool": self.spool,
            "last": events[-1]["seq"] if events else after,
            "events": events,
        }

    @contextmanager
    def troubled(self, how: str, now: Callable[[], float]) -> Iterator[None]:
        """Answer otherwise for a while."""
        self.how = how
        try:
            yield
        finally:
            self.how, self.well_since = "well", now()


class Receivers:
    """The receivers that the daemon asks."""

    def __init__(self, loop: VirtualLoop, random: Random, *, foreign: bool) -> None:
        self._loop, self._random = loop, random
        self.own = [self._receiver(number) for number in range(random.choice((1, 2)))]
        self.foreign = [self._receiver(9)] if foreign else []
        self.slow_seconds = FAST_SECONDS
        self.read: Callable[[Receiver, list[dict[str, Any]]], None] = lambda _receiver, _events: (
            None
        )

    def _receiver(self, number: int) -> Receiver:
        return Receiver(f"http://receiver-{number}.invalid:8081", self._new_spool())

    def _new_spool(self) -> str:
        return f"{self._random.getrandbits(64):016x}"

    @property
    def all(self) -> list[Receiver]:
        """Return them all, also the one that is another fleet's."""
        return [*self.own, *self.foreign]

    def ask(self, address: str, path: str, _token: str | None, seconds: float) -> dict[str, Any]:
        """Be the network between the daemon and its receivers."""
        receiver = next(one for one in self.all if one.address == address)
        if receiver.how == "down":
            raise NoDaemon(f"no receiver answers at {address}")
        if receiver.how == "nonsense":
            document: dict[str, Any] = self._random.choice(DOCUMENTS)
            return document
        if self._random.random() * self.slow_seconds > seconds:
            raise NoDaemon(f"no receiver answers at {address} (it took too long)")
        if not path.startswith("/api/v1/seen?after="):
            return {"events": [{**one, "deliveries": []} for one in receiver.events[-1:]]}
        page = receiver.page(int(path.rpartition("=")[2]))
        self.read(receiver, page["events"])
        return page

    async def beside(self, work: Callable[[], Value], name: str) -> Value:
        """Wait for another program as the daemon does, on virtual time."""
        del name
        await asyncio.sleep(self._random.uniform(0.01, self.slow_seconds))
        return await asyncio.to_thread(work)

    def lose_spool(self, receiver: Receiver) -> None:
        """Begin with an empty spool."""
        receiver.spool, receiver.events = self._new_spool(), []
        receiver.well_since = self._loop.time()


class Events:
    """Who sends events, and what happens to receivers. ``lost``: LG sends nothing, and its lists hide that."""

    def __init__(
        self,
        loop: VirtualLoop,
        clock: MachineClock,
        random: Random,
        platform: Platform,
        receivers: Receivers,
        checker: Checker,
        tell: Callable[[str], None],
    ) -> None:
        self._loop, self._clock, self._random = loop, clock, random
        self._platform, self._checker, self._tell = platform, checker, tell
        self.receivers = receivers
        self.lost = False
        self.flood = False
        self._per_hour = random.choice((10.0, 20.0, 40.0))
        self._trouble: asyncio.Task[None] | None = None

    def begin(self) -> list[asyncio.Task[None]]:
        """Let events come and receivers fail; return what has to be ended."""
        self._trouble = self._loop.create_task(self._troubles())
        return [self._loop.create_task(self._send()), self._trouble]

    async def calm_down(self) -> None:
        """End every trouble of receivers, let LG send again, and let somebody forge more than ever."""
        if self._trouble is not None:
            self._trouble.cancel()
            await asyncio.wait({self._trouble})
        self.lost = False
        self.flood = self._random.random() < 0.5

    async def _send(self) -> None:
        while True:
            per_hour = FLOOD_PER_HOUR if self.flood else self._per_hour
            await asyncio.sleep(self._random.expovariate(per_hour / HOUR))
            if self.lost:
                continue
            if self.flood or self._random.random() < FORGED:
                self._forge()
            else:
                self._diagnose()
            for one in self.receivers.foreign:
                one.take(f"stranger-{self._random.getrandbits(32):08x}", self._clock.true())

    def _diagnose(self) -> None:
        """Let LG send an event of a subscribed device; often of one that was subscribed a moment ago."""
        users = self._platform.world.users
        live = [device for name in users for device in sorted(self._platform.subscribed(name))]
        fresh = self._checker.subscribed_since(self._loop.time() - FRESH_SECONDS)
        again = [device for device in live if device in fresh]
        if not live:
            return
        is_fresh = bool(again) and self._random.random() < 0.5
        device = self._random.choice(again if is_fresh else live)
        ago = 0.0 if is_fresh else self._random.uniform(0.0, 5 * MINUTE)
        dated = self._random.random() < 0.9
        diagnosed = self._clock.true() - timedelta(seconds=ago) if dated else None
        late = self._random.uniform(MINUTE, 3 * HOUR) if self._random.random() < 0.05 else 0.0
        self._loop.call_later(late, self._deliver, device, diagnosed, "PCC_EVENT")

    def _forge(self) -> None:
        """Send an event of any device there is, was or never was, with any date."""
        world = self._platform.world
        devices = sorted({one for user in world.users.values() for one in user.devices})
        gone = sorted(self._checker.unsubscribed())
        name = f"forged-{self._random.getrandbits(32):08x}"
        kinds = [devices, [name]] if not gone else [devices, gone, gone, [name]]
        device = self._random.choice(self._random.choice(kinds))
        ahead = self._random.choice((0.0, 0.0, -2 * HOUR, 3 * DAY, -400 * DAY))
        dated = self._clock.true() + timedelta(seconds=ahead)
        diagnosed = dated if self._random.random() < 0.6 else None
        push_type = self._random.choice(("PCC_EVENT", "PCC_EVENT", "DEVICE_PUSH"))
        self._deliver(device, diagnosed, push_type)

    def _deliver(self, device: str, diagnosed: datetime | None, push_type: str) -> None:
        self._random.choice(self.receivers.own).take(
            device,
            self._clock.true(),
            diagnosed=None if diagnosed is None else diagnosed.astimezone(UTC).isoformat(),
            push_type=push_type,
            diagnosis="SIM_FILTER_DUE",
            category=self._random.choice(("maintenance", None)),
        )

    async def _troubles(self) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(1 / (3 * HOUR)))
            receiver = self._random.choice(self.receivers.own)
            await self._random.choice((self._answers_otherwise, self._is_slow, self._is_empty))(
                receiver
            )

    async def _answers_otherwise(self, receiver: Receiver) -> None:
        how = self._random.choice(("down", "nonsense"))
        self._tell(f"{receiver.address} is {how}")
        with receiver.troubled(how, self._loop.time):
            await asyncio.sleep(self._random.uniform(2 * MINUTE, 2 * HOUR))
        self._tell(f"{receiver.address} is well again")

    async def _is_slow(self, _receiver: Receiver) -> None:
        self._tell("receivers are slow")
        self.receivers.slow_seconds = SLOW_SECONDS
        with ExitStack() as stack:
            for one in self.receivers.all:
                stack.enter_context(one.troubled("slow", self._loop.time))
            stack.callback(setattr, self.receivers, "slow_seconds", FAST_SECONDS)
            await asyncio.sleep(self._random.uniform(2 * MINUTE, HOUR))
        self._tell("receivers are fast again")

    async def _is_empty(self, receiver: Receiver) -> None:
        if self.lost:  # without events a daemon that starts anew could not know how often they came
            return
        self._tell(f"{receiver.address} begins with an empty spool")
        self.receivers.lose_spool(receiver)


async def hide_a_loss(events: Events, after: float, tell: Callable[[str], None]) -> None:
    """After some seconds all subscriptions of LG's die, and neither lists nor calls show it."""
    await asyncio.sleep(after)
    tell("LG sends no events any more, and its lists show every device")
    events.lost = True
