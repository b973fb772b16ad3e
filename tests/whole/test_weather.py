"""Bad weather at LG, end to end: every change is made once and told once, whatever became of its calls."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, MutableMapping
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from reconciler.core.model import Condition, DeviceId, PassResult, Policy, Result
from reconciler.simulator import Match, Options, Platform, Record, Route, Rule, sample_platform
from reconciler.simulator.faults import Effect, Error, Hang, Html, Latency
from reconciler.state import State
from scenarios import Site, eventually, fault, idle_site, owned, site, text, write
from scenarios import fleet as platform_with
from simulated import YEAR, Fleet, SimulatedClock

HOUR = timedelta(hours=1)
OPEN = Policy(max_unsubscribe=5000)
SENT = (Route.SUBSCRIBE, Route.UNSUBSCRIBE)
WEATHER: tuple[Effect, ...] = (
    Html(status=503),
    Html(status=502, commit=True),
    Hang(),
    Hang(commit=True),
)


def weather(share: float) -> list[Rule]:
    """Return rules by which this share of all calls fails, in four ways alike; in two the work is done all the same."""
    each = share / len(WEATHER)
    return [
        Rule(effect=one, probability=each / (1 - number * each))
        for number, one in enumerate(WEATHER)
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Random failures


class Storm:
    """A fleet of which one half has to come and the other to go, while one call in ten fails."""

    def __init__(self, folder: Path, devices: int, seed: int) -> None:
        self.clock = SimulatedClock()
        self.folder = folder / "state"
        self._seed, self._half = seed, devices // 2
        self.platform: Platform = sample_platform(
            devices=devices,
            only_pcc=True,
            seed=seed,
            options=Options(token_life=YEAR),
            now=lambda: self.clock.now().timestamp(),
        )
        self._state: State | None = None
        self.fleet = self.start()
        self.coming, self.going = self.fleet.owned[: self._half], self.fleet.owned[self._half :]
        self.platform.subscribe("default", *self.going)
        self.platform.set_faults(*weather(0.1))

    def start(self) -> Fleet:
        """Start the program anew on what is left of it."""
        random = Random(self._seed)  # noqa: S311 - repeatable, and no secret
        if self._state is not None:
            self._state.close()
        self._state = State.open(self.folder, self.clock)
        self.fleet = Fleet(
            platform=self.platform,
            state=self._state,
            clock=self.clock,
            policy=OPEN,
            seed=self._seed,
            concurrency=8,
            wanted=self._half,
        )
        self.fleet.transport.on_request = lambda _request: self.clock.pass_by(
            timedelta(seconds=random.random() / 8)
        )
        return self.fleet

    async def until_call(self, number: int, then: Callable[[], object] = lambda: None) -> None:
        """Make passes when they are due until so many calls were made; stop there, before the next call."""
        take_a_moment = self.fleet.transport.on_request

        def look(request: httpx.Request) -> None:
            take_a_moment(request)
            if not self.fleet.stopping and len(self.platform.requests) >= number:
                self.fleet.stopping = True
                then()

        self.fleet.transport.on_request = look
        while not self.fleet.stopping:
            await self.fleet.reconcile(after=self.fleet.due or timedelta(0))

    async def until_quiet(self) -> None:
        """Make passes when they are due, until one finds nothing to do and waits for nothing."""
        for _ in range(200):
            ending = await self.fleet.reconcile(after=self.fleet.due or timedelta(0))
            if ending.result is PassResult.CLEAN and ending.condition is Condition.IN_SYNC:
                return
        raise AssertionError("it never came to rest")

    def successes(self) -> Counter[DeviceId]:
        """Return how often each device's change stands in the history as made."""
        return Counter(
            one.device
            for one in self.fleet.state.history.changes(limit=100_000)
            if one.result is Result.SUCCESS
        )

    @property
    def changes(self) -> set[DeviceId]:
        """Return the devices that had to change."""
        return {*self.coming, *self.going}


def applied(lines: Iterable[MutableMapping[str, Any]]) -> Counter[str]:
    """Return how often each device's change was told as made."""
    return Counter(line["device"] for line in lines if line["event"] == "change.applied")


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_two_thousand_changes_come_through_a_storm_each_made_and_told_once(
    tmp_path: Path, seed: int
) -> None:
    """One call in ten fails, half of those after LG had done the work: nothing is lost, and hardly a call is wasted."""
    storm = Storm(tmp_path, 2000, seed)
    with capture_logs() as lines:
        await storm.until_quiet()
    assert storm.fleet.live == frozenset(storm.coming)
    assert len(storm.fleet.calls()) <= 1.25 * 2000
    assert applied(lines) == storm.successes() == Counter(storm.changes)


@pytest.mark.parametrize("seed", [4, 5])
async def test_a_stop_in_the_storm_changes_nothing_of_that(tmp_path: Path, seed: int) -> None:
    """A process that ends in good order in the middle, and one that takes over, tell each change once between them."""
    storm = Storm(tmp_path, 2000, seed)
    with capture_logs() as lines:
        for stop_at in (300, 1200):
            await storm.until_call(stop_at)
            storm.start()
        await storm.until_quiet()
    assert storm.fleet.live == frozenset(storm.coming)
    assert len(storm.fleet.calls()) <= 1.25 * 2000
    assert applied(lines) == storm.successes() == Counter(storm.changes)


@pytest.mark.parametrize("killed_at", [3, 777, 1500])
async def test_a_kill_in_the_storm_leaves_no_hole_in_the_history(
    tmp_path: Path, killed_at: int
) -> None:
    """What was on the disk at the moment of a kill is enough to have each change in the history as made, once."""
    storm = Storm(tmp_path, 2000, seed=6)
    await storm.until_call(
        killed_at, then=lambda: shutil.copytree(storm.folder, tmp_path / "as it was")
    )
    storm.folder = tmp_path / "as it was"
    storm.start()
    await storm.until_quiet()
    assert storm.fleet.live == frozenset(storm.coming)
    assert len(storm.fleet.calls()) <= 1.25 * 2000
    assert storm.successes() == Counter(storm.changes)


# ---------------------------------------------------------------------------------------------------------------------
# A token that ends with fifty calls in flight

FIFTY = {"PCC_CONCURRENCY": "50"}


def done(calls: Iterable[Record]) -> Counter[str | None]:
    """Return how often LG made each device's change."""
    return Counter(one.device for one in calls if one.status == 200)


async def expire_with_fifty_in_flight(platform: Platform, one: Site) -> None:
    """Let LG forget the token while the probe is under way, so that the calls after it are all refused at once."""
    await eventually(lambda: one.calls(*SENT), "the probe")
    platform.world.expire_access(platform.world.user("default"), platform.now())


async def test_fifty_calls_in_flight_whose_token_expires_cost_one_refresh(tmp_path: Path) -> None:
    """Each of the refused calls is made once more with the one new token, and nothing is told as failed."""
    platform = platform_with(120)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    platform.set_faults(fault(Latency(0.4), Route.SUBSCRIBE, count=1))
    async with idle_site(tmp_path, platform, **FIFTY) as one:
        await one.start()
        await expire_with_fifty_in_flight(platform, one)
        await one.has(owned(platform))
        await eventually(lambda: one.told("pass.completed"))
    refused = [call for call in one.calls(*SENT) if call.code == "1302"]
    assert len(refused) == 50
    assert len(one.calls(Route.TOKEN)) == 2
    assert done(one.calls(*SENT)) == applied(one.events) == Counter(owned(platform))
    assert not one.told("change.failed")


@pytest.mark.parametrize("effect", [Html(status=503), Hang()], ids=["down", "hanging"])
async def test_fifty_calls_outlast_a_refresh_that_fails(tmp_path: Path, effect: Effect) -> None:
    """EMP that is down or hangs costs the waiting calls one refresh and a pass; later each is made, once."""
    platform = platform_with(120)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    platform.set_faults(
        fault(Latency(0.4), Route.SUBSCRIBE, count=1),
        Rule(effect=effect, match=Match(route=Route.TOKEN), skip=1, count=1),
    )
    async with site(tmp_path, platform, PCC_REQUEST_TIMEOUT="1s", **FIFTY) as one:
        await expire_with_fifty_in_flight(platform, one)
        await eventually(lambda: one.told("pass.completed", result="partial"))
        one.clock.go_ahead(timedelta(minutes=1))
        await one.has(owned(platform))
        await eventually(lambda: len(one.told("change.applied")) >= 120)
    assert len(one.calls(Route.TOKEN)) == 3
    assert done(one.calls(*SENT)) == applied(one.events) == Counter(owned(platform))
    assert not one.told("account.stopped")


async def test_a_pass_broken_off_in_a_refresh_leaves_no_lock() -> None:
    """The next pass asks for a token as if nothing had been, and every device is done once."""
    fleet = Fleet(60, refreshing=True, concurrency=50)
    asked, asking = asyncio.Event(), fleet.transport.handle_async_request

    class Held(httpx.AsyncBaseTransport):
        """Lets the first refresh wait for ever."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/token") and not asked.is_set():
                asked.set()
                await asyncio.Event().wait()
            return await asking(request)

    fleet.reach(Held())
    task = asyncio.create_task(fleet.reconcile())
    await asked.wait()
    task.cancel()
    assert isinstance(
        (await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError
    )
    await fleet.reconcile()
    assert len([one for one in fleet.calls() if one.route is Route.TOKEN]) == 1
    assert done(one for one in fleet.calls() if one.route in SENT) == Counter(fleet.owned)


# ---------------------------------------------------------------------------------------------------------------------
# One device that LG refuses


def asked_at(fleet: Fleet, device: DeviceId) -> list[float]:
    """Return when LG was asked for one device, in hours since the first time."""
    times = [one.at for one in fleet.calls() if one.device == device]
    return [(moment - times[0]) / 3600 for moment in times]


async def test_one_device_of_five_hundred_is_refused_and_asked_again_less_and_less(
    tmp_path: Path,
) -> None:
    """The other 499 are done in the first pass; the waits are 1, 2, 4, 8, 16 and then 24 hours, over a restart too."""
    clock, folder = SimulatedClock(), tmp_path / "state"
    platform: Platform = sample_platform(
        devices=500,
        only_pcc=True,
        options=Options(token_life=YEAR),
        now=lambda: clock.now().timestamp(),
    )
    state = State.open(folder, clock)
    fleet = Fleet(platform=platform, clock=clock, state=state)
    poor = fleet.owned[77]
    platform.set_faults(Rule(effect=Error(code="1221"), match=Match(devices=(poor,))))
    await fleet.reconcile()
    assert fleet.live == frozenset(fleet.owned) - {poor}
    assert len(fleet.calls("POST")) == 500
    while len(asked_at(fleet, poor)) < 4:
        await fleet.reconcile(after=fleet.due or timedelta(0))
    state.close()
    fleet = Fleet(platform=platform, clock=clock, state=State.open(folder, clock))
    while len(asked_at(fleet, poor)) < 9:
        await fleet.reconcile(after=fleet.due or timedelta(0))
    waits = [later - earlier for earlier, later in pairwise(asked_at(fleet, poor))]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 24, 24, 24], abs=0.01)
    assert len(fleet.calls("POST")) == 500 + 8


async def test_a_refused_device_is_asked_at_once_after_an_edit_of_its_entry_and_by_a_persons_wish(
    tmp_path: Path,
) -> None:
    """Another edit changes nothing for it, also over a restart; its own name or ``reconcile`` does."""
    platform = platform_with(500)
    devices = owned(platform)
    poor, other = devices[77], devices[78]

    def listed(**names: str) -> str:
        lines = [
            f'  {{ id = "{one}", name = "{names[one]}" }},' if one in names else f'  "{one}",'
            for one in devices
        ]
        return "\n".join(["version = 1", "devices = [", *lines, "]", ""])

    def asked() -> int:
        return sum(call.device == poor for call in one.calls(*SENT))

    file = tmp_path / "desired-state.toml"
    write(file, listed())
    platform.set_faults(Rule(effect=Error(code="1221"), match=Match(devices=(poor,))))
    async with idle_site(tmp_path, platform) as one:
        await one.start()
        await one.has(set(devices) - {poor})
        await eventually(lambda: one.told("pass.completed"))
        assert asked() == 1
        write(file, listed(**{other: "Room 2"}))
        await one.passes(1)
        await one.stop()
        await one.start()
        await one.passes(1)
        assert asked() == 1
        write(file, listed(**{other: "Room 2", poor: "Room 1"}))
        await eventually(lambda: asked() == 2, "asked again after the edit")
        await eventually(lambda: len(one.told("change.refused")) == 2)
        await one.http.post("/api/v1/reconcile", json={})
        await eventually(lambda: asked() == 3, "asked again by a person's wish")
        await eventually(lambda: len(one.told("change.refused")) == 3)
        platform.set_faults()
        one.clock.go_ahead(HOUR * 4)
        await one.has(devices)
    assert len(one.calls(*SENT)) == 500 + 3
