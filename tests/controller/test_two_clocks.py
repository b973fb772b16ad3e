"""Two clocks, ours and LG's: where they differ, or ours is set, nothing is let go early and nobody falls silent."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from reconciler.core.clock import TOLERATED, TwoClocks
from reconciler.core.guards import PauseOverride
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    Approval,
    Desired,
    Device,
    DeviceId,
    Pause,
    Policy,
    Reason,
)
from reconciler.core.status import PassReport
from reconciler.core.windows import Holds, Opening, Span, Window, WindowKind
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Drop, Error, Hang
from reconciler.state import State
from scenarios import eventually, eventually_true, fleet, idle_site, owned, write
from simulated import START, Fleet, SimulatedClock

HOURS = timedelta(hours=1)
DAY = timedelta(days=1)
STEPS = [
    9 * HOURS,
    -9 * HOURS,
    timedelta(days=400),
    -timedelta(days=400),
    timedelta(minutes=6),
    -timedelta(minutes=6),
]
FORWARD = [step for step in STEPS if step > timedelta(0)]


class NoDate(httpx.AsyncBaseTransport):
    """A way to LG on which answers lose their ``Date``, or get an ``Age``."""

    def __init__(self, inner: httpx.AsyncBaseTransport, *, age: str = "") -> None:
        self._inner, self._age = inner, age

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        response = await self._inner.handle_async_request(request)
        if self._age:
            response.headers["age"] = self._age
        else:
            del response.headers["date"]
        return response


def wrong_by(wrong: timedelta, devices: int = 20, **more: Any) -> Fleet:
    """Return a fleet of which all is live, on a machine whose clock is wrong from the start."""
    found = Fleet(devices, clock=SimulatedClock(wrong), **more)
    found.platform.subscribe("default", *found.owned)
    return found


def dated(found: Fleet, *, from_: datetime | None = None, until: datetime | None = None) -> None:
    """Want everything, the first device only within these dates of the true time."""
    described = {found.owned[0]: Device(found.owned[0], from_=from_, until=until)}
    found.want(found.owned, described=described)


# ---------------------------------------------------------------------------------------------------------------------
# LG's clock


@pytest.mark.parametrize(("days", "early"), [(0, 0), (1, 0), (2, 2)])
def test_a_step_is_remembered_for_the_longest_wait_of_the_account(days: int, early: int) -> None:
    """Nothing of ``unsubscribe_after`` is released early by a clock that was set within that time."""
    found = Fleet(1)
    found.want(found.owned, policy=Policy(unsubscribe_after=days * DAY))
    assert found.text is not None
    found.clock.set_by(2 * HOURS)
    found.reconciler.keep_time()
    found.clock.pass_by(30 * HOURS)
    found.two_clocks.answered(None)
    run = found.reconciler._runs.begin(found.text)
    assert run.sure == run.began - early * HOURS


WINDOW = Window("freeze", WindowKind.DENY, Holds.ALL, Span(START + 10 * HOURS, None), "UTC")


@pytest.mark.parametrize("ahead", [-3 * HOURS, timedelta(0), 3 * HOURS])
@pytest.mark.parametrize("what", ["device", "approval", "window", "opening"])
def test_each_kind_of_date_comes_by_the_earlier_clock(what: str, ahead: timedelta) -> None:
    """In our time: where LG's clock is ahead the date is nearer. One that LG's has passed still comes by ours."""
    found = Fleet(1)
    begins = START + 10 * HOURS
    facts: dict[str, Any] = {
        "device": {"described": {found.owned[0]: Device(found.owned[0], from_=begins)}},
        "approval": {"approvals": (Approval(frozenset(found.owned), begins, "r"),)},
        "window": {"windows": (WINDOW,)},
        "opening": {
            "windows": (replace(WINDOW, kind=WindowKind.ALLOW, when=Span(None, START - DAY)),)
        },
    }
    found.want(found.owned, **facts[what])
    assert found.text is not None
    if what == "opening":
        (opened,) = found.text.desired.windows
        opening = Opening(opened.name, opened.mark, START, begins, "why")
        found.state.opened_windows.open(opening, START)
    for _ in range(9):
        found.two_clocks.answered(found.clock.now() + ahead)
    run = found.reconciler._runs.begin(found.text)
    assert run.theirs == (None if not ahead else START + ahead)
    assert run.boundary == (begins - ahead if ahead > timedelta(0) else begins)


@pytest.mark.parametrize("wrong", [9 * HOURS, -9 * HOURS, 400 * DAY, -400 * DAY])
async def test_a_plan_before_any_answer_of_lgs_is_the_plan_of_a_pass(wrong: timedelta) -> None:
    """The list shows a command LG's time as it shows it to a pass: what LG's clock still wants does not go."""
    looked, passed = wrong_by(wrong), wrong_by(wrong)
    for found in (looked, passed):
        ends, begins = (Device(one) for one in found.owned[:2])
        ends, begins = replace(ends, until=START + 5 * HOURS), replace(begins, from_=START - HOURS)
        described = {one.id: one for one in (ends, begins)}
        found.want(found.owned[:-1], described=described)
    report = await looked.reconciler.previews.dry_run(DEFAULT_ACCOUNT)
    assert report is not None
    assert report.plan == (await passed.reconcile()).plan
    assert report.plan is not None
    held = {one.change.device for one in report.plan.held}
    going = {one.device for one in report.plan.unsubscribes}
    assert going | held == {looked.owned[-1]}


def test_theirs_is_the_median_of_the_last_answers_carried_on() -> None:
    """A few answers with a wrong date change nothing, and LG's time goes on between answers."""
    clock = SimulatedClock(9 * HOURS)
    two = TwoClocks(clock)
    assert two.theirs(clock.now()) is None
    for late in (0, 0, 3600, 0, -86400, 0, 0):
        two.answered(START + timedelta(seconds=late))
    assert two.theirs(clock.now()) == START
    clock.pass_by(timedelta(minutes=50))
    assert two.theirs(clock.now()) == START + timedelta(minutes=50)
    assert two.ahead == 9 * HOURS


@pytest.mark.parametrize("wrong", [TOLERATED, -TOLERATED, timedelta(seconds=30)], ids=str)
def test_clocks_that_differ_little_agree(wrong: timedelta) -> None:
    """Up to five minutes our clock counts alone."""
    clock = SimulatedClock(wrong)
    two = TwoClocks(clock)
    two.answered(START)
    assert two.theirs(clock.now()) is None
    assert two.restrained(clock.now(), DAY) == clock.now()


@given(st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(1, 10**5)), max_size=20))
def test_restrained_time_is_never_ahead_of_steady_time(course: list[tuple[int, int]]) -> None:
    """However the clock is set, what happened at any moment of the last day is never found older than it is."""
    clock = SimulatedClock()
    two = TwoClocks(clock, ours_alone=True)
    happened = [(clock.steady(), clock.now())]
    for step, passed in course:
        clock.set_by(timedelta(seconds=step))
        two.stepped()
        happened.append((clock.steady(), clock.now()))
        clock.pass_by(timedelta(seconds=passed))
        now = two.restrained(clock.now(), DAY)
        for steady, wall in happened:
            age = clock.steady() - steady
            if age <= DAY.total_seconds():
                assert (now - wall).total_seconds() <= age + 1.5


def test_a_clock_that_is_set_to_and_fro_holds_nothing_for_ever() -> None:
    """Two time services that fight for a clock do not add up: a day after a moment, it is a day old."""
    clock = SimulatedClock()
    two = TwoClocks(clock, ours_alone=True)
    began = clock.now()
    for _ in range(24 * 60):
        for step in (HOURS, -HOURS):
            clock.set_by(step)
            two.stepped()
            clock.pass_by(timedelta(seconds=30))
    clock.pass_by(timedelta(seconds=1))
    assert two.restrained(clock.now(), DAY) - began >= DAY


@pytest.mark.parametrize("wrong", [9 * HOURS, -9 * HOURS], ids=str)
async def test_what_a_list_confirms_is_dated_by_our_clock(wrong: timedelta) -> None:
    """The history has one clock, however far that is from LG's: the lines of the log have the same."""
    found = Fleet(6, clock=SimulatedClock(wrong))
    lost = Rule(Hang(commit=True), match=Match(route=Route.SUBSCRIBE), count=1)
    found.platform.set_faults(lost)
    await found.reconcile()
    first = found.clock.now()
    await found.reconcile(after=timedelta(minutes=1))
    pasts = found.state.history.changes(DEFAULT_ACCOUNT)
    assert {one.intended for one in pasts} == {START + wrong}
    dates = sorted((one.confirmed_by == "list", one.at) for one in pasts)
    later = first + timedelta(minutes=1)
    assert dates == [(False, START + wrong)] * 5 + [(True, later)]


# ---------------------------------------------------------------------------------------------------------------------
# Dates of devices, and approvals


@pytest.mark.parametrize("wrong", [9 * HOURS, timedelta(days=30)], ids=str)
async def test_until_waits_for_the_clock_that_is_behind(wrong: timedelta) -> None:
    """A device stays while LG's clock still wants it, and goes when both clocks say so."""
    found = wrong_by(wrong)
    dated(found, until=START + 6 * HOURS)
    await found.reconcile()
    assert not found.calls("DELETE")
    await found.reconcile(after=5 * HOURS)
    assert not found.calls("DELETE")
    await found.reconcile(after=HOURS)
    assert [one.device for one in found.calls("DELETE")] == [found.owned[0]]


@pytest.mark.parametrize("wrong", [9 * HOURS, -9 * HOURS], ids=str)
async def test_from_begins_with_the_clock_that_is_ahead(wrong: timedelta) -> None:
    """A device is wanted as soon as either clock says so."""
    found = Fleet(5, clock=SimulatedClock(wrong))
    dated(found, from_=START + (6 * HOURS if wrong > timedelta(0) else -HOURS))
    await found.reconcile()
    assert found.owned[0] in found.live


@pytest.mark.parametrize("wrong", [9 * HOURS, -9 * HOURS], ids=str)
async def test_an_approval_is_valid_by_both_clocks(wrong: timedelta) -> None:
    """An approval that has ended by either clock lets nothing go past a guard."""
    found = wrong_by(wrong, 40)
    gone = frozenset(found.owned[:12])
    ends = START + (3 * HOURS if wrong > timedelta(0) else -3 * HOURS)
    found.want(found.owned[12:], approvals=(Approval(gone, ends, "wing B"),))
    ending = await found.reconcile()
    assert not found.calls("DELETE")
    assert {one.reason for one in ending.held} == {Reason.TOO_MANY}
    assert (
        found.sample("pcc_approvals", state="active"),
        found.sample("pcc_approvals", state="expired"),
    ) == (0, 1)


async def test_without_a_date_our_clock_counts() -> None:
    """Where LG's answers have no ``Date``, or only one that is old, our clock is all there is."""
    for age in ("", "30"):
        found = wrong_by(9 * HOURS)
        found.reach(NoDate(found.transport, age=age))
        dated(found, until=START + 6 * HOURS)
        await found.reconcile()
        assert len(found.calls("DELETE")) == 1


async def test_a_pass_wakes_at_the_boundary_of_either_clock() -> None:
    """The next pass is due when the later clock reaches a date, too."""
    found = wrong_by(9 * HOURS)
    dated(found, until=START + timedelta(minutes=3))
    await found.reconcile()
    assert found.due == timedelta(minutes=3)


@given(st.sampled_from(STEPS), st.integers(-20, 20), st.integers(-20, 20))
def test_either_wants_and_both_approve(wrong: timedelta, until: int, expires: int) -> None:
    """With two clocks a device is wanted by either and approved by both; with one there is no difference."""
    device = DeviceId("a")
    ours, theirs = START + wrong, START
    entry = Device(device, until=START + until * HOURS)
    desired = Desired(
        DEFAULT_ACCOUNT,
        frozenset({device}),
        {device: entry},
        approvals=(Approval(frozenset({device}), START + expires * HOURS, "so"),),
    )
    assert (device in desired.wanted_by(ours, theirs)) == (
        entry.wanted_at(ours) or entry.wanted_at(theirs)
    )
    both = max(ours, theirs) < START + expires * HOURS
    assert (device in desired.approved_by(ours, theirs)) == both
    assert desired.wanted_by(ours, None) == desired.wanted_at(ours)
    assert desired.approved_by(ours, None) == desired.approved_at(ours)


# ---------------------------------------------------------------------------------------------------------------------
# What waits


async def five_gone(found: Fleet) -> None:
    """Let five devices go, which is all that a day allows."""
    found.want(found.owned[5:])
    await found.reconcile()
    assert len(found.calls("DELETE")) == 5


def take_away(folder: Path, *, replaced: bool) -> None:
    """Move a state's file away under its daemon, and perhaps put a copy in its place."""
    for path in sorted(folder.glob("state.db*")):
        moved = path.rename(folder / f"old-{path.name}")
        if replaced:
            shutil.copy(moved, path)


def holds(ending: PassReport) -> set[Reason]:
    """Return the reasons for which something is held."""
    return {one.reason for one in ending.held}


@pytest.mark.parametrize("date", [True, False], ids=["with-date", "without-date"])
@pytest.mark.parametrize("step", [*STEPS, 25 * HOURS], ids=str)
async def test_no_step_frees_the_days_count(step: timedelta, date: bool) -> None:  # noqa: FBT001 - a parameter
    """The day's unsubscribes count for a day of steady time, whatever the wall clock says meanwhile; then no longer."""
    found = wrong_by(timedelta(0), 40)
    if not date:
        found.reach(NoDate(found.transport))
    await five_gone(found)
    found.clock.set_by(step)
    found.want(found.owned[6:])
    for _ in range(4):
        assert holds(await found.reconcile(after=5 * HOURS)) == {Reason.TOO_MANY}
    assert len(found.calls("DELETE")) == 5
    for _ in range(3):
        await found.reconcile(after=5 * HOURS)
    assert len(found.calls("DELETE")) == 6


@pytest.mark.parametrize("step", [*STEPS, 65 * HOURS], ids=str)
@pytest.mark.parametrize("taken", ["moved", "replaced"])
async def test_a_fresh_state_file_frees_no_count(
    tmp_path: Path, step: timedelta, taken: str
) -> None:
    """The day's count outlives a step of the clock and then the loss of the state's file, for its day and no longer."""
    clock = SimulatedClock()
    found = Fleet(40, clock=clock, state=State.open(tmp_path, clock, sure=False))
    found.platform.subscribe("default", *found.owned)
    await five_gone(found)
    clock.set_by(step)
    await found.reconcile(after=timedelta(minutes=10))
    found.platform.unsubscribe("default", found.owned[30])
    await found.reconcile(after=2 * HOURS)  # a change by the new time, which is the newest
    take_away(tmp_path, replaced=taken == "replaced")
    found.state.look()
    found.want(found.owned[6:])
    for _ in range(3):
        assert Reason.TOO_MANY in holds(await found.reconcile(after=5 * HOURS))
    assert len(found.calls("DELETE")) == 5
    for _ in range(3):
        await found.reconcile(after=5 * HOURS)
    assert len(found.calls("DELETE")) == 6
    found.state.close()


@pytest.mark.parametrize("wrong", FORWARD, ids=str)
async def test_a_clock_ahead_at_start_frees_no_count(tmp_path: Path, wrong: timedelta) -> None:
    """After a restart with a clock that is ahead, the day's count is by LG's clock, also after a first pass in vain."""
    clock = SimulatedClock()
    before = Fleet(40, clock=clock, state=State.open(tmp_path, clock, sure=False))
    before.platform.subscribe("default", *before.owned)
    await five_gone(before)
    before.state.close()
    clock.pass_by(15 * HOURS)
    clock.set_by(wrong)
    after = Fleet(
        40, clock=clock, state=State.open(tmp_path, clock, sure=False), platform=before.platform
    )
    before.platform.set_faults(Rule(Drop(), match=Match(route=Route.LIST), count=1))
    after.want(after.owned[6:])
    await after.reconcile()
    assert holds(await after.reconcile(after=timedelta(minutes=6))) == {Reason.TOO_MANY}
    assert len(before.calls("DELETE")) == 5
    await after.reconcile(after=9 * HOURS)
    assert len(before.calls("DELETE")) == 6
    after.state.close()


async def test_dates_to_come_are_kept_for_no_longer_than_their_wait(tmp_path: Path) -> None:
    """What a clock far ahead wrote down counts from when it is read, not from then: nothing is held for a year."""
    clock = SimulatedClock(timedelta(days=365))
    before = Fleet(40, clock=clock, state=State.open(tmp_path, clock, sure=False))
    before.platform.subscribe("default", *before.owned)
    await five_gone(before)
    before.platform.set_faults(Rule(Error(code="1214"), match=Match(route=Route.SUBSCRIBE)))
    before.platform.unsubscribe("default", before.owned[20])
    await before.reconcile(after=timedelta(minutes=10))
    before.state.close()
    clock.set_by(-timedelta(days=365))
    after = Fleet(
        40, clock=clock, state=State.open(tmp_path, clock, sure=False), platform=before.platform
    )
    before.platform.set_faults()
    after.want(after.owned[6:])
    assert holds(await after.reconcile(after=timedelta(minutes=10))) >= {
        Reason.REFUSED,
        Reason.TOO_MANY,
    }
    for _ in range(5):
        await after.reconcile(after=5 * HOURS)
    assert len(before.calls("DELETE")) == 6
    assert after.owned[20] in after.live
    after.state.close()


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_unsubscribe_after_is_a_span_of_steady_time(step: timedelta) -> None:
    """A device waits out its absence, whatever the wall clock does, and then goes."""
    found = wrong_by(timedelta(0), policy=Policy(unsubscribe_after=12 * HOURS))
    await found.reconcile()
    found.want(found.owned[1:])
    await found.reconcile()
    found.clock.set_by(step)
    for _ in range(2):
        assert holds(await found.reconcile(after=5 * HOURS)) == {Reason.UNSUBSCRIBE_AFTER}
    for _ in range(5):
        await found.reconcile(after=5 * HOURS)
    assert len(found.calls("DELETE")) == 1


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_pause_lasts_as_long_as_it_was_asked_for(step: timedelta) -> None:
    """A pause of two hours is one of two hours, also where the clock is set meanwhile."""
    found = wrong_by(timedelta(0))
    await found.reconcile()
    until = found.clock.now() + 2 * HOURS
    found.state.pauses.set(None, PauseOverride(Pause.ALL, until, "night"), found.clock.now())
    found.want(found.owned[1:])
    found.clock.set_by(step)
    assert holds(await found.reconcile(after=HOURS)) == {Reason.PAUSED}
    (brake,) = found.state.pauses.all(found.clock.now()).values()
    assert brake.until == until + step
    await found.reconcile(after=HOURS + timedelta(seconds=1))
    assert len(found.calls("DELETE")) == 1


@pytest.mark.parametrize("wrong", [9 * HOURS, timedelta(days=30)], ids=str)
async def test_a_pause_from_before_a_restart_ends_by_lgs_clock_too(
    tmp_path: Path, wrong: timedelta
) -> None:
    """A machine that comes up with its clock ahead does not take off a pause; when LG's clock says so it ends."""
    clock = SimulatedClock()
    before = State.open(tmp_path, clock, sure=False)
    before.pauses.set(None, PauseOverride(Pause.ALL, clock.now() + 2 * HOURS, "night"), clock.now())
    before.close()
    clock.set_by(wrong)
    found = Fleet(20, clock=clock, state=State.open(tmp_path, clock, sure=False))
    found.platform.subscribe("default", *found.owned)
    found.want(found.owned[1:])
    assert holds(await found.reconcile()) == {Reason.PAUSED}
    assert holds(await found.reconcile(after=HOURS)) == {Reason.PAUSED}
    await found.reconcile(after=HOURS + timedelta(seconds=1))
    assert len(found.calls("DELETE")) == 1
    found.state.close()


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize(("code", "wait"), [("2000", timedelta(seconds=5)), ("1214", HOURS)])
async def test_a_device_waits_as_long_as_it_would_have(
    step: timedelta, code: str, wait: timedelta
) -> None:
    """A failed or refused device is asked again after its span: not sooner, and not when the clock has caught up."""
    found = Fleet(3)
    found.platform.set_faults(
        Rule(Error(code=code), match=Match(route=Route.SUBSCRIBE, devices=(found.owned[0],)))
    )
    await found.reconcile()
    memory = found.state.accounts.recall(DEFAULT_ACCOUNT, found.clock.now())
    left = memory.retries[found.owned[0]].until - found.clock.now()
    assert timedelta(0) < left <= wait
    asked = len(found.calls("POST"))
    found.clock.set_by(step)
    await found.reconcile(
        after=left - timedelta(seconds=0.5) if left > timedelta(seconds=0.5) else timedelta(0)
    )
    assert len(found.calls("POST")) == asked
    found.platform.set_faults()
    await found.reconcile(after=timedelta(seconds=2))
    assert found.owned[0] in found.live


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_an_hour_of_calls_is_an_hour_of_steady_time(step: timedelta) -> None:
    """A quota that is used up stays so for an hour, and no longer, whatever the wall clock does."""
    found = Fleet(30, policy=Policy(calls_per_hour=20))
    await found.reconcile()
    used = len(found.calls())
    assert len(found.live) < 20
    found.clock.set_by(step)
    await found.reconcile(after=timedelta(minutes=50))
    assert len(found.calls()) <= used + 1
    assert found.due is not None
    assert found.due <= timedelta(minutes=11)
    for _ in range(8):
        await found.reconcile(after=found.due + timedelta(seconds=1))
    assert len(found.live) == 30


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_stopped_account_tries_again_when_it_would_have(step: timedelta) -> None:
    """An account that LG does not let in is asked again after its five minutes."""
    found = Fleet(3)
    found.platform.set_faults(Rule(Error(code="1301"), match=Match(route=Route.LIST)))
    await found.reconcile()
    found.clock.set_by(step)
    await found.reconcile(after=timedelta(minutes=4))
    assert len(found.calls("GET")) == 1
    found.platform.set_faults()
    await found.reconcile(after=timedelta(minutes=1, seconds=1))
    assert found.live == frozenset(found.owned)


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_fresh_change_overlays_the_list_for_its_minute(step: timedelta) -> None:
    """A list that lags behind a change of ours is corrected, also where the clock was set in between."""
    found = wrong_by(timedelta(0))
    found.want(found.owned[1:])
    await found.reconcile()
    found.platform.subscribe("default", found.owned[0])  # as a list that lags would show it
    found.clock.set_by(step)
    await found.reconcile(after=timedelta(seconds=30))
    assert len(found.calls("DELETE")) == 1
    await found.reconcile(after=timedelta(seconds=31))
    assert len(found.calls("DELETE")) == 2


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_doubted_list_is_read_again_after_its_delay(step: timedelta) -> None:
    """A step between the readings of a list that is doubted neither hurries nor delays them."""
    found = wrong_by(timedelta(0), 20)
    await found.reconcile()
    found.platform.unsubscribe("default", *found.owned[3:])
    found.clock.set_by(step)
    await found.reconcile(after=timedelta(minutes=10))
    assert found.due == timedelta(seconds=30)


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_step_in_the_middle_of_a_pass_ends_it(step: timedelta) -> None:
    """No change is made by a plan from before the clock was set: the next pass plans anew."""
    found = wrong_by(timedelta(0))
    found.want(found.owned[1:])
    seen: list[str] = []

    def set_once(request: httpx.Request) -> None:
        if request.method == "GET" and not seen:
            found.clock.set_by(step)
        seen.append(request.method)

    found.transport.on_request = set_once
    await found.reconcile()
    assert seen == ["GET"]
    assert found.due == timedelta(0)


async def test_a_clock_that_is_right_again_ends_no_pass() -> None:
    """After two steps, one there and one back, the next pass makes its changes."""
    found = wrong_by(timedelta(0))
    for step in (-9 * HOURS, 9 * HOURS):
        found.clock.set_by(step)
        await found.reconcile(after=timedelta(minutes=10))
    await found.reconcile(after=timedelta(minutes=10))
    lost = found.owned[3]
    found.platform.unsubscribe("default", lost)
    await found.reconcile(after=timedelta(minutes=10))
    assert lost in found.live


async def test_a_step_is_logged_once() -> None:
    """A step of a minute or more is a line in the log; less is no news."""
    found = wrong_by(timedelta(0))
    with capture_logs() as lines:
        for step in (9 * HOURS, timedelta(seconds=30), -9 * HOURS):
            found.clock.set_by(step)
            await found.reconcile(after=timedelta(minutes=10))
    steps = [line["seconds"] for line in lines if line["event"] == "clock.stepped"]
    assert steps == [9 * 3600.0, -9 * 3600.0]


# ---------------------------------------------------------------------------------------------------------------------
# What is shown


async def test_two_clocks_are_shown_everywhere(tmp_path: Path) -> None:
    """Page, JSON, metric and log say that the clocks differ, by how much, and when they agree again."""
    platform = fleet(4, subscribed=1.0)
    devices = owned(platform)
    until = datetime.now(UTC) + 6 * HOURS
    line = f'{{ id = "{devices[0]}", until = {until:%Y-%m-%dT%H:%M:%SZ} }}'
    listed = "".join(f'  "{one}",\n' for one in devices[1:])
    write(tmp_path / "desired-state.toml", f"version = 1\ndevices = [\n  {line},\n{listed}]\n")
    async with idle_site(tmp_path, platform) as one:
        platform.now = lambda: datetime.now(UTC).timestamp()
        one.clock.wrong = 9 * HOURS
        await one.start()

        async def shown() -> Any:
            status = (await one.get("/api/v1/status")).json()
            return status if status["clock_trouble"] else None

        await eventually_true(shown, "the clocks differ")
        status = await shown()
        assert not status["well"]
        assert status["summary"].startswith(
            "This machine's clock is 9h ahead of LG's: set it (NTP)."
        )
        assert abs(status["clock_ahead_seconds"] - 9 * 3600) < 60
        assert "9h ahead of LG" in (await one.get("/")).text
        ahead = next(
            one
            for one in (await one.metrics()).splitlines()
            if one.startswith("pcc_clock_ahead_seconds")
        )
        assert abs(float(ahead.split()[1]) - 9 * 3600) < 60
        await eventually(lambda: one.told("clock.differs"))
        assert one.live() == set(devices)
        one.clock.wrong = timedelta(0)
        await eventually(lambda: one.told("clock.agrees"))
        await eventually(lambda: one.told("clock.stepped"))
        assert len(one.told("clock.differs")) == 1
        assert one.live() == set(devices)
