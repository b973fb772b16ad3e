"""What events prove: contradictions of a list, events after an unsubscribe, and when silence means something."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.core.heard import (
    AFTER_UNSUBSCRIBE,
    CONTRADICTED_FOR,
    FEWEST_EVENTS,
    LATE,
    LONGEST_MEMORY,
    RECENT,
    SHORTEST_SILENCE,
    Heard,
    ListWatch,
    RecentDevices,
    Silence,
    after_unsubscribe,
)
from reconciler.core.model import DeviceId

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ONE, TWO = DeviceId("one"), DeviceId("two")


def event(at: datetime, diagnosed: datetime | None = None, device: DeviceId = ONE) -> Heard:
    """Return an event that was received at a moment."""
    return Heard("id", device, at, diagnosed)


def test_an_event_of_a_device_that_lists_lack_contradicts_them() -> None:
    """The list of ten minutes ago lacked the device, nobody subscribed it since, and it speaks."""
    watch = ListWatch()
    watch.listed(START, [ONE])
    watch.listed(START + 5 * MINUTE, [ONE])
    assert watch.heard(event(START + 10 * MINUTE))
    assert watch.contradicted(START + 10 * MINUTE) == {ONE}


@pytest.mark.parametrize("diagnosed", [START - HOUR, START, START + LATE])
def test_a_late_event_proves_nothing(diagnosed: datetime) -> None:
    """What was diagnosed before the list, or with it, may be of the time when the subscription was alive."""
    watch = ListWatch()
    watch.listed(START, [ONE])
    assert not watch.heard(event(START + HOUR, diagnosed))
    assert not watch.contradicted(START + HOUR)


def test_lgs_clock_ahead_proves_nothing_either() -> None:
    """A date of LG's that is yet to come is not believed: the moment of its arrival counts then."""
    watch = ListWatch()
    watch.listed(START, [ONE])
    assert not watch.heard(event(START + MINUTE, START + HOUR))


def test_a_subscription_that_was_lost_and_made_again_is_no_contradiction() -> None:
    """LG loses a device, we subscribe it again, it speaks, and only the next list shows it."""
    watch = ListWatch()
    watch.listed(START, [ONE])
    watch.subscribed(ONE)
    assert not watch.heard(event(START + HOUR))


def test_a_list_that_goes_on_lacking_a_subscribed_device_is_watched_anew() -> None:
    """After a subscribe that LG confirmed, the run of lists without the device begins with the next one."""
    watch = ListWatch()
    watch.listed(START, [ONE])
    watch.subscribed(ONE)
    watch.listed(START + HOUR, [ONE])
    assert not watch.heard(event(START + HOUR + LATE))
    assert watch.heard(event(START + 2 * HOUR))


def test_an_event_between_two_lists_without_the_device_contradicts_both() -> None:
    """The first of them counts: a later list that goes on lacking the device makes the event no older."""
    watch = ListWatch()
    watch.listed(START, [ONE, TWO])
    watch.listed(START + 2 * HOUR, [ONE])
    watch.listed(START + 3 * HOUR, [ONE, TWO])
    for device, contradicts in ((ONE, True), (TWO, False)):
        late = event(START + 4 * HOUR, START + HOUR, device)
        assert watch.heard(late) is contradicts
    assert watch.contradicted(START + 4 * HOUR) == {ONE}


@pytest.mark.parametrize("hours", [(1, 5), (5, 1)])
def test_a_contradiction_lasts_for_a_day_after_the_last_event(hours: tuple[int, int]) -> None:
    """In whatever order receivers are read."""
    watch = ListWatch()
    watch.listed(START, [ONE])
    for after in hours:
        assert watch.heard(event(START + after * HOUR))
    over = START + 5 * HOUR + CONTRADICTED_FOR
    assert watch.contradicted(over - MINUTE) == {ONE}
    assert not watch.contradicted(over)


def test_a_contradiction_ends() -> None:
    """It ends when a list has the device, when we unsubscribe it, or a day after the last event."""
    watch = ListWatch()
    watch.listed(START, [ONE, TWO])
    for device in (ONE, TWO):
        assert watch.heard(event(START + HOUR, device=device))
    watch.listed(START + 2 * HOUR, [ONE])
    assert watch.contradicted(START + 2 * HOUR) == {ONE}
    assert watch.heard(event(START + 3 * HOUR))
    day_later = START + 3 * HOUR + CONTRADICTED_FOR
    assert watch.contradicted(day_later - MINUTE) == {ONE}
    assert not watch.contradicted(day_later)
    assert watch.heard(event(day_later))
    watch.unsubscribed(ONE)
    assert not watch.contradicted(day_later)


def test_an_event_long_after_an_unsubscribe() -> None:
    """What was under way when LG confirmed does not count; what was diagnosed an hour later does."""
    assert not after_unsubscribe(event(START + 5 * HOUR, START), START)
    assert not after_unsubscribe(event(START + AFTER_UNSUBSCRIBE), START)
    assert after_unsubscribe(event(START + AFTER_UNSUBSCRIBE + MINUTE), START)


@given(
    events=st.lists(
        st.tuples(st.sampled_from(["one", "two", "three"]), st.integers(0, 100)), max_size=30
    ),
    asked=st.lists(st.integers(0, 60), max_size=5),
)
@example(events=[("one", 90), ("one", 100), ("one", 80)], asked=[0, 0, 20])
def test_the_devices_of_the_last_day_are_counted(
    events: list[tuple[str, int]], asked: list[int]
) -> None:
    """Whatever the order of the events, a device counts once, for 24 hours from its latest one."""
    recent, now, known = RecentDevices(), START + 100 * HOUR, list[tuple[str, datetime]]()
    for index, (device, hours) in enumerate(events):
        received = START + hours * HOUR
        recent.heard(DeviceId(device), received)
        known.append((device, received))
        now += asked[index] * HOUR if index < len(asked) else timedelta(0)
        expected = {one for one, at in known if at > now - RECENT}
        assert recent.number(now) == len(expected)


class Lists(RuleBasedStateMachine):
    """Lists, calls and events of two devices in any order, beside a history that is searched each time."""

    def __init__(self) -> None:
        super().__init__()
        self.watch, self.now = ListWatch(), START
        self.history: list[tuple[str, datetime, frozenset[DeviceId]]] = []

    @rule(minutes=st.integers(1, 600))
    def wait(self, minutes: int) -> None:
        """Let time pass."""
        self.now += minutes * MINUTE

    @rule(lacking=st.frozensets(st.sampled_from([ONE, TWO])))
    def list_devices(self, lacking: frozenset[DeviceId]) -> None:
        """Read a trusted list."""
        self.watch.listed(self.now, lacking)
        self.history.append(("list", self.now, lacking))

    @rule(device=st.sampled_from([ONE, TWO]))
    def subscribe(self, device: DeviceId) -> None:
        """Subscribe a device."""
        self.watch.subscribed(device)
        self.history.append(("subscribe", self.now, frozenset({device})))

    @rule(device=st.sampled_from([ONE, TWO]))
    def unsubscribe(self, device: DeviceId) -> None:
        """Unsubscribe a device."""
        self.watch.unsubscribed(device)
        self.history.append(("unsubscribe", self.now, frozenset({device})))

    @precondition(lambda self: self.history)
    @rule(device=st.sampled_from([ONE, TWO]), minutes=st.integers(0, 300))
    def hear(self, device: DeviceId, minutes: int) -> None:
        """Hear of a device, by an event that was diagnosed some time ago."""
        diagnosed = self.now - minutes * MINUTE
        began = self._began(device)
        expected = began is not None and diagnosed > began + LATE
        assert self.watch.heard(event(self.now, diagnosed, device)) == expected
        if expected:
            self.history.append(("event", self.now, frozenset({device})))

    def _began(self, device: DeviceId) -> datetime | None:
        """Return when the unbroken run of lists without a device began; None where there is none."""
        began = None
        for what, at, devices in self.history:
            if what == "list":
                began = (began or at) if device in devices else None
            elif what in {"subscribe", "unsubscribe"} and device in devices:
                began = None
        return began

    @invariant()
    def counts(self) -> None:
        """Compare the contradicted devices with those of the history."""
        expected = set()
        for device in (ONE, TWO):
            last = None
            for what, at, devices in self.history:
                if what == "event" and device in devices:
                    last = at
                elif (what == "list" and device not in devices) or (
                    what == "unsubscribe" and device in devices
                ):
                    last = None
            if last is not None and last > self.now - CONTRADICTED_FOR:
                expected.add(device)
        assert self.watch.contradicted(self.now) == expected


TestLists = Lists.TestCase


def test_few_events_say_nothing_about_silence() -> None:
    """Below twenty events there is no figure; an alert on it cannot fire."""
    silence = Silence()
    for number in range(FEWEST_EVENTS - 1):
        silence.heard(START + number * HOUR)
    assert silence.meaningful(START + 30 * HOUR) is None
    silence.heard(START + 30 * HOUR)
    assert silence.meaningful(START + 30 * HOUR) is not None


def test_a_busy_fleet_is_silent_after_26_hours_and_a_small_one_later() -> None:
    """The figure follows the rate of events, and is never shorter than a quiet day."""
    busy, small = Silence(), Silence()
    for number in range(28 * 24):
        busy.heard(START + number * HOUR)
    for number in range(28):
        small.heard(START + number * 24 * HOUR)
    now = START + timedelta(days=28)
    assert busy.meaningful(now) == SHORTEST_SILENCE
    assert small.meaningful(now) == 7 * timedelta(days=1)


def test_what_is_older_than_eight_weeks_is_forgotten() -> None:
    """A fleet that shrank is judged by what it does now."""
    silence = Silence()
    for number in range(1000):
        silence.heard(START + number * MINUTE)
    for number in range(30):
        silence.heard(START + LONGEST_MEMORY + timedelta(days=number))
    now = START + LONGEST_MEMORY + timedelta(days=29)
    meaningful = silence.meaningful(now)
    assert meaningful is not None
    assert meaningful > timedelta(days=6)


def test_the_order_in_which_receivers_are_read_does_not_matter() -> None:
    """A receiver that answers late has older events: they count for the hours in which they came."""
    moments = [START + number * 12 * HOUR for number in range(60)]
    in_order, late = Silence(), Silence()
    for moment in moments:
        in_order.heard(moment)
    for moment in [moments[-1], *moments[:-1]]:
        late.heard(moment)
    now = moments[-1] + HOUR
    meaningful = late.meaningful(now)
    assert meaningful == in_order.meaningful(now)
    assert meaningful is not None
    assert meaningful > 80 * HOUR


@pytest.mark.parametrize("night", [False, True], ids=["even", "day-and-night"])
@pytest.mark.parametrize("hours", [4, 12, 36])
def test_healthy_fleets_are_seldom_called_silent(hours: int, *, night: bool) -> None:
    """Of the windows as long as a silence that means something, at most one in 1,000 is empty by chance."""
    # Measured over 40 times 200 healthy weeks: 0.34 to 0.99 in 1,000. The greatest is day-and-night traffic of an event
    # every 4 hours, so there is no room to spare. Windows overlap, and so alarms are more frequent than empty windows:
    # 4 to 8 begin within 1,000 times the length of a window.
    windows, empty, alarms = 0.0, 0.0, 0
    for fleet in range(40):
        for gap in _gaps(random.Random(f"{hours}/{fleet}"), hours, night=night):  # noqa: S311 - a simulation
            windows += gap
            empty += max(gap - 1, 0.0)
            alarms += gap > 1
    assert windows > 3000
    assert 0 < empty / windows <= 1 / 1000
    assert alarms / windows < 9 / 1000


def _gaps(chance: random.Random, hours: int, *, night: bool) -> Iterator[float]:
    """Yield the times between events of 200 weeks, each as a share of the silence that would mean something."""
    silence, now, last = Silence(), START, START
    while now < START + timedelta(weeks=200):
        now += timedelta(hours=chance.expovariate(1 / hours))
        if night and now.hour < 8 and chance.random() < 0.9:
            continue
        meaningful = silence.meaningful(now)
        if meaningful is not None:
            yield (now - last) / meaningful
        silence.heard(now)
        last = now
