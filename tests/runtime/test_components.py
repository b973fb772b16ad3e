"""What a process is made of: which setting reaches which part of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler.core.model import DEFAULT_ACCOUNT, DeviceId
from reconciler.pcc.client import Client
from reconciler.pcc.transport import WriteRefusedError
from reconciler.runtime import settings
from reconciler.runtime.environment import Environment
from reconciler.runtime.wiring import Components, built, known_quota
from reconciler.simulator import Options, Platform, sample_platform
from reconciler.state import State
from scenarios import environment, owned, text, write
from simulated import START, YEAR, SimulatedClock, SimulatedTransport


@dataclass
class Composed:
    """Components, and what is around them."""

    components: Components
    platform: Platform
    clock: SimulatedClock

    @property
    def client(self) -> Client:
        """Return the client of the one account."""
        found = self.components.clients(DEFAULT_ACCOUNT)
        assert isinstance(found, Client)
        return found

    async def passed(self) -> timedelta:
        """Make a pass, and return after which time the next one is due."""
        due = await self.components.reconciler.reconcile(DEFAULT_ACCOUNT)
        assert due is not None
        return due


@asynccontextmanager
async def composed(
    folder: Path, *, read_only: bool = False, **given: str
) -> AsyncIterator[Composed]:
    """Give components with the settings of an account that is as people want it."""
    clock = SimulatedClock()
    platform = sample_platform(
        devices=30,
        only_pcc=True,
        subscribed=1.0,
        options=Options(token_life=YEAR),
        now=clock.steady,
    )
    write(folder / "desired-state.toml", text(owned(platform)))
    chosen = settings.load(environment(platform, "http://127.0.0.1:9", folder) | given)
    around = Environment(
        clock=clock, transport=SimulatedTransport(platform, clock), random=lambda: 0.5
    )
    state = State.in_memory(clock)
    async with built(chosen, state, read_only=read_only, environment=around) as components:
        await components.informer.require()
        components.follow_credentials()
        yield Composed(components, platform, clock)


@pytest.mark.parametrize(
    ("mode", "read_only", "may_change"),
    [
        ("enforce", False, True),
        ("enforce", True, False),
        ("observe", False, False),
        ("observe", True, False),
    ],
)
async def test_only_a_process_that_enforces_can_change_anything(
    tmp_path: Path, mode: str, *, read_only: bool, may_change: bool
) -> None:
    """The way to LG itself lets no change through, whatever would ask for one."""
    async with composed(tmp_path, read_only=read_only, PCC_MODE=mode) as one:
        device = DeviceId(min(one.platform.subscribed("default")))
        assert len((await one.client.list_devices()).devices) == 30
        if may_change:
            await one.client.unsubscribe(device)
        else:
            with pytest.raises(WriteRefusedError):
                await one.client.unsubscribe(device)
        assert (device in one.platform.subscribed("default")) is not may_change


async def test_passes_are_as_far_apart_as_the_settings_say(tmp_path: Path) -> None:
    """The interval is for routine passes, and the delay for a list that has to be read again."""
    async with composed(
        tmp_path, PCC_INTERVAL="7m", PCC_CONFIRM_DELAY="77s", PCC_REQUEST_TIMEOUT="9s"
    ) as one:
        assert await one.passed() == timedelta(minutes=7)
        one.platform.unsubscribe("default", *one.platform.subscribed("default"))
        one.clock.pass_by(timedelta(minutes=7))
        assert await one.passed() == timedelta(seconds=77)


class Quotas:
    """What a state keeps of the calls of an account."""

    def __init__(self, *ago: timedelta) -> None:
        self._calls = tuple((START - one).timestamp() for one in ago)

    def of(self, _account: object) -> tuple[tuple[float, ...], int]:
        """Return the moments of calls, and the limit."""
        return self._calls, 60


class History:
    """Changes whose calls were begun at these moments."""

    def __init__(self, *ago: timedelta) -> None:
        self._moments = [START - one for one in ago]

    def sent_after(self, _account: object, since: datetime) -> list[datetime]:
        """Return the moments after another one."""
        return [one for one in self._moments if one > since]


def minutes(*numbers: int) -> tuple[timedelta, ...]:
    """Return spans of this many minutes."""
    return tuple(timedelta(minutes=one) for one in numbers)


@pytest.mark.parametrize(
    ("kept", "sent", "counted"),
    [
        ((), (), ()),
        ((50, 40), (), (50, 40)),
        ((50, 40), (40, 30, 20), (50, 40, 30, 20)),
        ((50, 40), (55, 45), (50, 40)),
        ((), (90, 30), (30,)),
        ((90,), (70, 30), (90, 30)),
    ],
)
def test_a_call_of_the_last_hour_counts_once(
    kept: tuple[int, ...], sent: tuple[int, ...], counted: tuple[int, ...]
) -> None:
    """What was kept of the calls may lack the last ones, which the changes show; no call is counted by both."""
    quotas, history = Quotas(*minutes(*kept)), History(*minutes(*sent))
    found = known_quota(cast("Any", quotas), cast("Any", history), DEFAULT_ACCOUNT, START)
    assert found.limit == 60
    assert found.calls == tuple((START - one).timestamp() for one in minutes(*counted))
