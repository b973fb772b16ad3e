"""Flapping: a device that LG loses again and again is told of, and costs at most one call an hour."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reconciler.core.model import DEFAULT_ACCOUNT, Condition, DeviceId, Plan, Policy, Reason
from reconciler.core.status import PassReport
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Error
from reconciler.state import State
from simulated import Fleet, SimulatedClock

INTERVAL = timedelta(minutes=10)


async def lost(fleet: Fleet, device: DeviceId, times: int) -> PassReport:
    """Let LG lose a device so many times, with a pass after each; return what the last pass came to."""
    ending = await fleet.reconcile(after=INTERVAL)
    for _ in range(times):
        assert fleet.platform.unsubscribe("default", device)
        ending = await fleet.reconcile(after=INTERVAL)
    return ending


def posts(fleet: Fleet, device: DeviceId) -> list[float]:
    """Return when a device was subscribed, in seconds."""
    return [one.at for one in fleet.calls("POST") if one.device == device]


def planned(ending: PassReport) -> Plan:
    """Return the plan of a pass that had one."""
    assert ending.plan is not None
    return ending.plan


async def test_the_fifth_loss_in_a_day_makes_a_device_flapping() -> None:
    """Four losses are healed without a word; the fifth is named in the log, counted, and waits for its hour."""
    fleet = Fleet(12)
    device = fleet.owned[3]
    with capture_logs() as lines:
        ending = await lost(fleet, device, 4)
    assert device in fleet.live
    assert not ending.flapping
    assert fleet.sample("pcc_flapping_devices") == 0
    assert not [line for line in lines if line["event"] == "device.flapping"]
    with capture_logs() as lines:
        fleet.platform.unsubscribe("default", device)
        ending = await fleet.reconcile(after=INTERVAL)
        await fleet.reconcile(after=INTERVAL)
    assert ending.flapping == {device}
    assert fleet.sample("pcc_flapping_devices") == 1
    assert [line["device"] for line in lines if line["event"] == "device.flapping"] == [device]
    (held,) = planned(ending).held
    assert (held.reason, held.change.device) == (Reason.RETRY, device)
    assert "again and again" in planned(ending).tripped[0].message
    assert ending.condition is Condition.CONVERGING


async def test_a_flapping_device_is_subscribed_at_most_once_an_hour() -> None:
    """However often it is lost, and whatever a person's reconcile forgets, an hour passes between two subscribes."""
    fleet = Fleet(12)
    device = fleet.owned[3]
    await lost(fleet, device, 5)
    first = len(posts(fleet, device))
    for _ in range(60):
        fleet.platform.unsubscribe("default", device)
        fleet.state.accounts.person_agrees(DEFAULT_ACCOUNT)
        await fleet.reconcile(after=min(fleet.due or INTERVAL, INTERVAL))
    times = posts(fleet, device)[first - 1 :]
    assert len(times) > 5
    assert min(later - earlier for earlier, later in pairwise(times)) >= 3600


async def test_the_pass_comes_back_when_the_hour_of_a_flapping_device_ends() -> None:
    """Nobody has to wait for the interval: the end of the hour is a due time of its own."""
    fleet = Fleet(12)
    ending = await lost(fleet, fleet.owned[3], 5)
    while not ending.outcomes:
        ending = await fleet.reconcile(after=fleet.due or INTERVAL)
    earlier, later = posts(fleet, fleet.owned[3])[-2:]
    assert 3600 <= later - earlier <= 3610


async def test_others_are_subscribed_while_a_device_flaps() -> None:
    """The hour holds the flapping device alone."""
    fleet = Fleet(12)
    device, other = fleet.owned[3], fleet.owned[5]
    await lost(fleet, device, 4)
    fleet.platform.unsubscribe("default", device, other)
    await fleet.reconcile(after=INTERVAL)
    assert fleet.live == frozenset(fleet.owned) - {device}


async def test_flapping_ends_with_the_day() -> None:
    """A device that LG keeps from then on is no longer told of a day later."""
    fleet = Fleet(12)
    device = fleet.owned[3]
    await lost(fleet, device, 5)
    ending = await fleet.reconcile(after=timedelta(hours=1))
    assert device in fleet.live
    assert ending.flapping == {device}
    ending = await fleet.reconcile(after=timedelta(hours=24))
    assert not ending.flapping
    assert fleet.sample("pcc_flapping_devices") == 0


async def test_losses_days_apart_are_drift_and_no_flapping() -> None:
    """Five losses count only within 24 hours."""
    fleet = Fleet(12)
    await fleet.reconcile()
    for _ in range(8):
        fleet.platform.unsubscribe("default", fleet.owned[3])
        ending = await fleet.reconcile(after=timedelta(hours=7))
        assert not ending.flapping


async def test_what_lg_calls_subscribed_already_is_no_loss() -> None:
    """A device of which LG says 1207 while its list denies it was never taken, so it cannot be lost."""
    fleet = Fleet(12)
    device = fleet.owned[3]
    fleet.platform.set_faults(
        Rule(effect=Error(code="1207"), match=Match(route=Route.SUBSCRIBE, devices=(device,)))
    )
    for _ in range(30):
        ending = await fleet.reconcile(after=INTERVAL)
        assert not ending.flapping
    assert len(posts(fleet, device)) >= 5


async def test_our_own_unsubscribes_are_no_losses() -> None:
    """A device that people take out of the file and put back is not flapping, however often they do."""
    fleet = Fleet(12, policy=Policy(max_unsubscribe=100))
    for _ in range(7):
        fleet.want(fleet.owned[1:])
        await fleet.reconcile(after=INTERVAL)
        fleet.want(fleet.owned)
        ending = await fleet.reconcile(after=INTERVAL)
        assert not ending.flapping
    assert len(posts(fleet, fleet.owned[0])) == 7


async def test_a_device_that_is_no_longer_wanted_flaps_no_more() -> None:
    """Who takes a flapping device out of the file hears no more of it."""
    fleet = Fleet(12)
    await lost(fleet, fleet.owned[3], 5)
    fleet.want(one for one in fleet.owned if one != fleet.owned[3])
    assert not (await fleet.reconcile(after=INTERVAL)).flapping


@pytest.mark.parametrize("losses", [3, 5])
async def test_losses_are_remembered_over_a_restart(tmp_path: Path, losses: int) -> None:
    """A restart neither forgets the losses of the day nor the hour that the device has to wait."""
    clock = SimulatedClock()
    state = State.open(tmp_path, clock)
    fleet = Fleet(12, clock=clock, state=state)
    device = fleet.owned[3]
    await lost(fleet, device, losses)
    state.close()
    state = State.open(tmp_path, clock)
    again = Fleet(12, clock=clock, state=state, platform=fleet.platform)
    before = posts(again, device)[-1]
    for _ in range(5 - losses):
        ending = await again.reconcile(after=INTERVAL)
        again.platform.unsubscribe("default", device)
    ending = await again.reconcile(after=INTERVAL)
    assert ending.flapping == {device}
    assert device not in again.live
    while device not in again.live:
        await again.reconcile(after=INTERVAL)
    assert posts(again, device)[-1] - before >= 3600
    state.close()
