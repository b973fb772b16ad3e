"""The parts of a running daemon: what each one hands on, and which of them end before which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from starlette.types import ASGIApp

from memory_coordination import (
    Database,
    MemoryCoordination,
    MemoryMedium,
    MemoryStorage,
    shared,
)
from reconciler.core.errors import NoDaemon
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    Action,
    Change,
    DeviceId,
    Observed,
    PassId,
    Revision,
)
from reconciler.core.replicas import Member, MemberId
from reconciler.runtime import settings
from reconciler.runtime.daemon import Daemon, Process
from reconciler.runtime.dispatcher import Dispatcher
from reconciler.runtime.environment import Environment, Shared
from reconciler.runtime.replicas.replica import Replica, Terms
from reconciler.runtime.ticker import SchedulerTicker
from reconciler.runtime.wiring import built
from reconciler.simulator import Platform, sample_platform
from reconciler.state import State
from reconciler.state.coordination import Acceptance
from reconciler.state.port import Storage
from reconciler.state.sqlite.storage import SqliteStorage
from scenarios import environment, eventually, owned, text, write
from simulated import START, SimulatedClock, SimulatedTransport

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


@pytest.mark.parametrize(("longest", "confirmed"), [("50s", 1), ("1s", 0)])
async def test_a_replica_waits_for_the_call_of_one_that_was_killed_as_long_as_calls_may_take(
    tmp_path: Path, longest: str, confirmed: int
) -> None:
    """How long that is the setting says: until then a list without the device does not show that it was not made."""
    clock = SimulatedClock()
    platform = sampled(clock, tmp_path)
    device = DeviceId(owned(platform)[0])
    database = Database(SqliteStorage.in_memory(clock), clock.now)
    killed = State(database.storage, clock)
    trusted(killed, clock)
    intent = [Change(DEFAULT_ACCOUNT, Action.SUBSCRIBE, device)]
    revision, began = Revision("1" * 64), clock.now()
    killed.changes.intend(DEFAULT_ACCOUNT, PassId("pass"), intent, frozenset(), revision, began)
    killed.flush()
    tables = MemoryCoordination(database)
    around = Environment(
        clock=clock, shared=lambda: Shared(shared(database), tables, 120.0, clock.steady)
    )
    given = {"PCC_REQUEST_TIMEOUT": longest}
    chosen = settings.load({**environment(platform, "http://127.0.0.1:9", tmp_path), **given})
    found, state = await Daemon(chosen, environment=around)._opened()
    assert found is not None
    own(found, tables)
    clock.pass_by(timedelta(seconds=100))
    assert trusted(state, clock) == 0
    clock.pass_by(timedelta(seconds=10))
    assert trusted(state, clock, device) == confirmed


def own(found: Replica, tables: MemoryCoordination) -> None:
    """Let a replica take the account."""
    me, managed = MemberId("me"), frozenset({DEFAULT_ACCOUNT})
    tables.members.join(Member(me, "pod", "1", 120.0))
    epoch = tables.source.take(me)
    assert epoch is not None
    tables.source.accept(me, epoch, Acceptance(managed, managed, b"", START))
    found.tenure.read(dict(tables.ownership.take(me, 1).fences))


def trusted(state: State, clock: SimulatedClock, *devices: DeviceId) -> int:
    """Let a list be believed, and return how many changes it shows as made."""
    observed = Observed(frozenset(devices), clock.now())
    shown = state.accounts.trust(DEFAULT_ACCOUNT, observed, None, clock.now(), observed.devices)
    return len(shown)


class NotedCalls(SimulatedTransport):
    """The way to LG, which notes when it is closed."""

    ends: list[str]

    async def aclose(self) -> None:
        """Note it."""
        self.ends.append("calls")


class NotedMedium(MemoryMedium):
    """The database as the state sees it, which notes when it is closed."""

    ends: list[str]

    def close(self) -> None:
        """Note it."""
        self.ends.append("state")


class NotedTables(MemoryCoordination):
    """The tables of the replicas, which note when they are closed."""

    ends: list[str]

    def close(self) -> None:
        """Note it."""
        self.ends.append("tables")


async def test_what_is_still_needed_at_the_end_is_closed_last(tmp_path: Path) -> None:
    """What a replica still writes may have to ask who owns the account, and no call is made after its end is kept."""
    clock = SimulatedClock()
    platform = sampled(clock, tmp_path)
    database = Database(SqliteStorage.in_memory(clock), clock.now)
    storage, calls, tables = (
        MemoryStorage(database),
        NotedCalls(platform, clock),
        NotedTables(database),
    )
    storage.medium = medium = NotedMedium(database)
    medium.ends = calls.ends = tables.ends = ends = list[str]()
    both = Shared(cast("Storage", storage), tables, 120.0, clock.steady)
    around = Environment(clock=clock, transport=calls, shared=lambda: both)
    chosen = settings.load(environment(platform, "http://127.0.0.1:9", tmp_path))
    daemon: Daemon = Daemon(chosen, environment=around, ready=lambda _url: daemon.stop())
    await daemon.run()
    assert ends == ["calls", "state", "tables"]
