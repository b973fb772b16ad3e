"""The parts of a running daemon: which secret each one hands on, and which of them end before which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from starlette.types import ASGIApp

from memory_coordination import Database, MemoryCoordination
from reconciler.core.errors import NoDaemon
from reconciler.runtime import settings
from reconciler.runtime.daemon import Process
from reconciler.runtime.dispatcher import Dispatcher
from reconciler.runtime.environment import Environment
from reconciler.runtime.replicas.replica import Replica, Terms
from reconciler.runtime.ticker import SchedulerTicker
from reconciler.runtime.wiring import built
from reconciler.simulator import Platform, sample_platform
from reconciler.state import State
from reconciler.state.sqlite.storage import SqliteStorage
from scenarios import environment, eventually, owned, text, write
from simulated import SimulatedClock, SimulatedTransport

TOKENS = {
    name: f"sesame-for-{name.lower()}-2026"
    for name in ("PCC_EVENTS_TOKEN", "PCC_READ_TOKEN", "PCC_LISTEN_TOKEN")
}


class NoFront:
    """A front at which nobody comes in."""

    url = "http://127.0.0.1"

    async def serve(self, app: ASGIApp) -> None:
        """Answer nobody."""

    def stop(self) -> None:
        """Do nothing."""


class Silent:
    """Receivers that do not answer, and what each was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str | None]] = []

    def __call__(
        self, address: str, path: str, token: str | None, seconds: float
    ) -> dict[str, Any]:
        """Take a question."""
        del path, seconds
        self.shown.append((address, token))
        raise NoDaemon("no receiver is there")


def sampled(clock: SimulatedClock, folder: Path) -> Platform:
    """Return a platform whose devices the file in a folder wants."""
    platform = sample_platform(devices=2, only_pcc=True, now=clock.steady)
    write(folder / "desired-state.toml", text(owned(platform)))
    return platform


def replica(clock: SimulatedClock) -> Replica:
    """Return this process as one of several replicas."""
    database = Database(SqliteStorage.in_memory(clock), clock.now)
    unique = map(UUID, (f"{number:032x}" for number in count()))
    terms = Terms(lease=10.0, request_timeout=9.0, concurrency=4)
    return Replica(MemoryCoordination(database), clock, clock.steady, lambda: next(unique), terms)


@asynccontextmanager
async def parts(
    folder: Path, given: Mapping[str, str], *, shares: bool = False, receivers: Silent | None = None
) -> AsyncIterator[Process]:
    """Give the parts of a daemon that has its revision in force, and whose services are not started."""
    clock = SimulatedClock()
    platform = sampled(clock, folder)
    usual = environment(platform, "http://127.0.0.1:9", folder)
    chosen = settings.load({**usual, **given})
    around = Environment(
        clock=clock,
        transport=SimulatedTransport(platform, clock),
        ask_receiver=receivers or Silent(),
    )
    dispatcher, state = Dispatcher(asyncio.Event()), State.in_memory(clock)
    async with built(chosen, state, environment=around) as components:
        await components.informer.require()
        yield Process(
            components,
            dispatcher,
            NoFront(),
            SchedulerTicker,
            lambda: 0,
            replica=replica(clock) if shares else None,
        )


async def test_a_receiver_is_shown_no_token_but_its_own(tmp_path: Path) -> None:
    """Neither who reads its events again and again nor who asks for one page hands on what opens this daemon."""
    receivers = Silent()
    addresses = ("https://one.example", "https://two.example")
    given = {"PCC_EVENTS_FROM": ",".join(addresses), **TOKENS}
    async with parts(tmp_path, given, receivers=receivers) as process:
        await process.surface().queries.events()
        asked = len(receivers.shown)
        assert asked >= len(addresses)
        (following,) = (one for one in process.services if one.name == "receivers")
        running = asyncio.create_task(following.run())
        await eventually(lambda: len(receivers.shown) >= asked + len(addresses))
        following.stop()
        await running
    assert set(receivers.shown) == {(one, TOKENS["PCC_EVENTS_TOKEN"]) for one in addresses}


async def test_what_a_call_under_way_needs_ends_after_it(tmp_path: Path) -> None:
    """Nothing new begins, passes end, and only then are accounts free for others and what is written closed."""
    events = {"PCC_EVENTS_FROM": "https://one.example"}
    async with parts(tmp_path, events, shares=True) as process:
        names = [one.name for one in process.services]
    assert len(names) == len(set(names))
    for chain in (
        ("ticks", "errands", "passes", "replica", "source", "http"),
        ("receivers", "passes", "replica", "state", "http"),
        ("registries", "passes", "replica", "credentials", "http"),
    ):
        for first, then in pairwise(chain):
            assert names.index(first) < names.index(then), (first, then)
