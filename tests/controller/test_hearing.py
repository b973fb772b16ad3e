"""Events of devices beside lists and calls: what they show, and that they change nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from reconciler.controller.hearing import SHOWN_FOR, WAKE_SECONDS
from reconciler.core.heard import Heard, HeardOfAccount
from reconciler.core.model import DEFAULT_ACCOUNT, Device, DeviceId
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Error
from simulated import Fleet, SimulatedClock

MINUTES, HOURS = timedelta(minutes=1), timedelta(hours=1)
SUBSCRIBED_ALREADY = "1207"
ALERT_DEVICES = 3
"""From this number of contradicted devices an account's list alerts."""


def event(fleet: Fleet, device: DeviceId, *, diagnosed: datetime | None = None) -> Heard:
    """Return an event of a device that a receiver stored just now."""
    return Heard("id", device, fleet.clock.now(), diagnosed, "PCC_EVENT", "E1", "malfunction")


def hearing_fleet(clock: SimulatedClock | None = None) -> Fleet:
    """Return a fleet of twenty devices, all wanted and live, whose receivers are asked."""
    fleet = Fleet(20, hears=True, clock=clock)
    fleet.platform.subscribe("default", *fleet.owned)
    return fleet


async def test_a_list_that_hides_a_device_is_contradicted_by_its_events() -> None:
    """LG calls it subscribed already, its list lacks it, and it speaks: the list is wrong, and that is shown."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    hidden = fleet.owned[3]
    fleet.platform.unsubscribe("default", hidden)
    fleet.platform.set_faults(
        Rule(Error(code=SUBSCRIBED_ALREADY), match=Match(route=Route.SUBSCRIBE))
    )
    await fleet.reconcile(after=10 * MINUTES)
    await fleet.reconcile(after=10 * MINUTES)
    await fleet.hearing.take([event(fleet, hidden)])
    assert fleet.hearing.contradicted() == {DEFAULT_ACCOUNT: {hidden}}
    assert fleet.hearing.of_accounts()[DEFAULT_ACCOUNT].contradicted == {hidden}
    assert fleet.woken == [DEFAULT_ACCOUNT]


async def test_contradicted_devices_reach_the_alert_and_fall_back_when_lists_have_them() -> None:
    """Lists that hide subscriptions are contradicted device by device, up to the alert's number; true lists end it."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    hidden = fleet.owned[3 : 3 + ALERT_DEVICES]
    fleet.platform.unsubscribe("default", *hidden)
    fleet.platform.set_faults(
        Rule(Error(code=SUBSCRIBED_ALREADY), match=Match(route=Route.SUBSCRIBE))
    )
    for _ in range(2):
        await fleet.reconcile(after=10 * MINUTES)
    shown = []
    for device in hidden:
        await fleet.hearing.take([event(fleet, device)])
        shown.append(fleet.hearing.contradicted_by_account()[DEFAULT_ACCOUNT])
    assert shown == [1, 2, ALERT_DEVICES]
    fleet.platform.set_faults()
    fleet.platform.subscribe("default", *hidden)
    await fleet.reconcile(after=10 * MINUTES)
    assert fleet.hearing.contradicted_by_account() == {DEFAULT_ACCOUNT: 0}


async def test_the_healthy_flow_is_no_contradiction() -> None:
    """LG loses a device, we subscribe it again, it sends an event: nothing is shown, and nobody is woken."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    fleet.platform.unsubscribe("default", fleet.owned[3])
    await fleet.reconcile(after=10 * MINUTES)
    fleet.clock.pass_by(10 * MINUTES)
    await fleet.hearing.take([event(fleet, fleet.owned[3])])
    assert fleet.hearing.contradicted() == {DEFAULT_ACCOUNT: frozenset()}
    assert fleet.woken == []


@pytest.mark.parametrize("wrong", [-3 * HOURS, 3 * HOURS], ids=["behind", "ahead"])
async def test_a_wrong_clock_of_this_machine_makes_no_contradiction(wrong: timedelta) -> None:
    """An event of before the list that is read late proves nothing, whatever this machine's clock shows."""
    fleet = hearing_fleet(SimulatedClock(wrong))
    await fleet.reconcile()
    lost = fleet.owned[3]
    fleet.platform.unsubscribe("default", lost)
    fleet.platform.set_faults(
        Rule(Error(code=SUBSCRIBED_ALREADY), match=Match(route=Route.SUBSCRIBE))
    )
    await fleet.reconcile(after=10 * MINUTES)
    now = fleet.clock.now() - wrong
    before, after = now - 30 * MINUTES, now + 30 * MINUTES
    await fleet.hearing.take([replace(event(fleet, lost), received=before)])
    assert fleet.hearing.contradicted() == {DEFAULT_ACCOUNT: frozenset()}
    await fleet.hearing.take([replace(event(fleet, lost), received=after)])
    assert fleet.hearing.contradicted() == {DEFAULT_ACCOUNT: {lost}}


async def test_a_device_whose_time_has_come_by_lgs_clock_can_be_missed() -> None:
    """What is wanted by either clock is lacking where the list does not have it, so its events say something."""
    fleet = hearing_fleet(SimulatedClock(-3 * HOURS))
    begins = fleet.owned[3]
    later = Device(begins, from_=fleet.clock.now() + HOURS)
    fleet.want(fleet.owned, described={begins: later})
    fleet.platform.unsubscribe("default", begins)
    fleet.platform.set_faults(
        Rule(Error(code=SUBSCRIBED_ALREADY), match=Match(route=Route.SUBSCRIBE))
    )
    await fleet.reconcile()
    await fleet.reconcile(after=10 * MINUTES)
    received = fleet.clock.now() + 3 * HOURS + 10 * MINUTES
    await fleet.hearing.take([replace(event(fleet, begins), received=received)])
    assert fleet.hearing.contradicted() == {DEFAULT_ACCOUNT: {begins}}


async def test_events_after_an_unsubscribe_are_counted_for_a_day() -> None:
    """What was under way when LG confirmed does not count; what was diagnosed hours later does, and wakes."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    gone = fleet.owned[0]
    fleet.want(fleet.owned[1:])
    await fleet.reconcile()
    await fleet.hearing.take([event(fleet, gone)])
    assert fleet.hearing.after_unsubscribe() == {DEFAULT_ACCOUNT: 0}
    fleet.clock.pass_by(3 * HOURS)
    await fleet.hearing.take([event(fleet, gone, diagnosed=fleet.clock.now() - 100 * MINUTES)])
    assert fleet.hearing.after_unsubscribe() == {DEFAULT_ACCOUNT: 1}
    assert fleet.hearing.of_accounts()[DEFAULT_ACCOUNT].after_unsubscribe == 1
    assert fleet.woken == [DEFAULT_ACCOUNT]
    fleet.clock.pass_by(SHOWN_FOR)
    assert fleet.hearing.after_unsubscribe() == {DEFAULT_ACCOUNT: 0}


async def test_each_event_after_an_unsubscribe_is_counted_for_its_own_day() -> None:
    """Receivers are read in any order: an older event is not counted for as long as a later one that was read first."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    fleet.want(fleet.owned[1:])
    await fleet.reconcile()
    fleet.clock.pass_by(3 * HOURS)
    early = event(fleet, fleet.owned[0])
    fleet.clock.pass_by(12 * HOURS)
    late = event(fleet, fleet.owned[0])
    await fleet.hearing.take([late, early])
    assert fleet.hearing.after_unsubscribe() == {DEFAULT_ACCOUNT: 2}
    fleet.clock.pass_by(12 * HOURS)
    assert fleet.hearing.after_unsubscribe() == {DEFAULT_ACCOUNT: 1}
    fleet.clock.pass_by(12 * HOURS)
    assert fleet.hearing.after_unsubscribe() == {DEFAULT_ACCOUNT: 0}


async def test_an_event_after_an_unsubscribe_counts_from_when_it_was_stored() -> None:
    """LG's date says whether it should exist, and not how long ago a receiver had it."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    fleet.want(fleet.owned[1:])
    await fleet.reconcile()
    fleet.clock.pass_by(30 * HOURS)
    late = event(fleet, fleet.owned[0], diagnosed=fleet.clock.now() - 23 * HOURS)
    await fleet.hearing.take([late])
    fleet.clock.pass_by(2 * HOURS)
    assert fleet.hearing.after_unsubscribe() == {DEFAULT_ACCOUNT: 1}
    fleet.clock.pass_by(22 * HOURS)
    assert fleet.hearing.after_unsubscribe() == {DEFAULT_ACCOUNT: 0}


async def test_receivers_that_are_read_from_their_beginning_wake_nobody_for_what_is_old() -> None:
    """What was stored more than a day ago, after an unsubscribe, is no news at the next start."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    fleet.want(fleet.owned[1:])
    await fleet.reconcile()
    fleet.clock.pass_by(3 * HOURS)
    old = event(fleet, fleet.owned[0])
    fleet.clock.pass_by(SHOWN_FOR)
    assert await fleet.hearing.take([old]) == 0
    assert fleet.woken == []
    assert fleet.hearing.last(old.device) is None


async def test_a_device_that_was_subscribed_again_is_no_more_an_unsubscribed_one() -> None:
    """Only the last change that LG confirmed counts."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    fleet.want(fleet.owned[1:])
    await fleet.reconcile()
    fleet.want(fleet.owned)
    await fleet.reconcile(after=10 * MINUTES)
    fleet.want(fleet.owned)
    fleet.clock.pass_by(3 * HOURS)
    await fleet.hearing.take([event(fleet, fleet.owned[0])])
    assert fleet.hearing.after_unsubscribe() == {DEFAULT_ACCOUNT: 0}


async def test_events_wake_an_account_once_in_ten_minutes() -> None:
    """Whoever can send events cannot make an account ask LG all the time."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    fleet.want(fleet.owned[1:])
    await fleet.reconcile()
    fleet.clock.pass_by(2 * HOURS)
    for _ in range(5):
        await fleet.hearing.take([event(fleet, fleet.owned[0])])
        fleet.clock.pass_by(timedelta(seconds=WAKE_SECONDS / 4))
    assert fleet.woken == [DEFAULT_ACCOUNT] * 2


async def test_nothing_is_kept_of_devices_that_nobody_knows() -> None:
    """Forged events of a million ids cost nothing that lasts."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    await fleet.hearing.take([event(fleet, DeviceId(f"stranger-{one}")) for one in range(50)])
    assert fleet.hearing.last(DeviceId("stranger-1")) is None
    assert fleet.hearing.contradicted() == {DEFAULT_ACCOUNT: frozenset()}
    assert fleet.woken == []


async def test_when_a_device_was_last_heard_of() -> None:
    """The last event that a receiver stored counts, in whatever order receivers are read."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    device = fleet.owned[0]
    early = event(fleet, device)
    fleet.clock.pass_by(HOURS)
    late = event(fleet, device)
    await fleet.hearing.take([late, early])
    assert fleet.hearing.last(device) == late


async def test_what_was_heard_of_an_account() -> None:
    """Its last event, and how many of its devices spoke within 24 hours; a stranger is not counted."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    assert fleet.hearing.of_accounts() == {}
    early = [event(fleet, one) for one in fleet.owned[:3]]
    fleet.clock.pass_by(20 * HOURS)
    late = event(fleet, fleet.owned[0])
    await fleet.hearing.take([late, *early, event(fleet, DeviceId("stranger"))])
    assert fleet.hearing.of_accounts() == {DEFAULT_ACCOUNT: HeardOfAccount(late, 3)}
    fleet.clock.pass_by(20 * HOURS)
    assert fleet.hearing.of_accounts() == {DEFAULT_ACCOUNT: HeardOfAccount(late, 1)}
    fleet.clock.pass_by(20 * HOURS)
    assert fleet.hearing.of_accounts() == {DEFAULT_ACCOUNT: HeardOfAccount(late, 0)}


async def test_lost_subscriptions_that_lists_show_are_noticed_by_silence() -> None:
    """LG goes on listing every device and sends nothing: that means something after the calibrated time, not before."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    for number in range(21 * 24):
        fleet.clock.pass_by(HOURS)
        await fleet.hearing.take([event(fleet, fleet.owned[number % 20])])
    for hours in range(1, 40):
        fleet.clock.pass_by(HOURS)
        await fleet.reconcile()
        assert _silent(fleet) == (hours > 26)


def _silent(fleet: Fleet) -> bool:
    """Say whether the condition of the alert for silence holds."""
    last, meaningful = fleet.hearing.last_event(), fleet.hearing.silence_seconds()
    assert last is not None
    assert meaningful is not None
    return fleet.clock.now().timestamp() - last > meaningful


async def test_the_events_of_another_fleet_show_nothing_of_our_accounts() -> None:
    """A receiver may know only strangers: no account is woken, and none has heard of a device."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    await fleet.hearing.take([event(fleet, DeviceId(f"theirs-{one}")) for one in range(100)])
    assert fleet.woken == []
    assert fleet.hearing.of_accounts() == {}


async def test_an_account_that_left_the_files_is_forgotten() -> None:
    """No figure of it is left behind."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    fleet.text = None
    await fleet.reconciler.reconcile(DEFAULT_ACCOUNT)
    assert fleet.hearing.contradicted() == {}
    assert fleet.hearing.of_accounts() == {}


async def test_the_last_event_is_dated_by_its_receiver() -> None:
    """The newest date counts, in whatever order events come; before the first event there is none."""
    fleet = hearing_fleet()
    await fleet.reconcile()
    assert fleet.hearing.last_event() is None
    later = event(fleet, fleet.owned[1])
    earlier = replace(later, received=later.received - MINUTES)
    await fleet.hearing.take([later, earlier])
    assert fleet.hearing.last_event() == fleet.clock.now().timestamp()
