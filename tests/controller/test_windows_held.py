"""Change windows in passes: what waits, until when, and what goes on meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta

from reconciler.core.clock import ANSWERS
from reconciler.core.model import AccountName, Condition, Policy, Reason
from reconciler.core.status import PassReport
from reconciler.core.windows import Ending, Holds, Opening, Span, Weekly, Window, WindowKind
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Error
from simulated import Fleet

HOUR = timedelta(hours=1)
OPEN = Policy(max_unsubscribe=1000)
DEFAULT = AccountName("default")


def opening_in(fleet: Fleet, span: timedelta, holds: Holds = Holds.ALL) -> Window:
    """Return an allow window of UTC that begins after a while, every day for an hour."""
    begins = (fleet.clock.now() + span).replace(second=0, microsecond=0)
    ends = begins + HOUR
    when = Weekly(
        frozenset(range(7)), time(begins.hour, begins.minute), time(ends.hour, ends.minute), "UTC"
    )
    return Window("office", WindowKind.ALLOW, holds, when, "UTC")


def freeze(ends: datetime | None, begins: datetime | None = None) -> Window:
    """Return a deny window."""
    return Window("freeze", WindowKind.DENY, Holds.ALL, Span(begins, ends), "UTC")


def with_windows(fleet: Fleet, *windows: Window) -> None:
    """Bring the same text with these windows into force."""
    assert fleet.text is not None
    fleet.text = replace(fleet.text, desired=replace(fleet.text.desired, windows=windows))


def reasons(report: PassReport) -> set[Reason]:
    """Return why changes are held."""
    return {held.reason for held in report.held}


async def test_changes_wait_for_the_window_and_the_next_pass_is_due_when_it_opens() -> None:
    """Outside the window every change is held until it opens; the pass at that moment makes all of them."""
    fleet = Fleet(6, policy=OPEN)
    with_windows(fleet, opening_in(fleet, 3 * HOUR))
    report = await fleet.reconcile()
    assert (reasons(report), fleet.calls("POST")) == ({Reason.WINDOW}, [])
    assert report.condition is Condition.HELD
    (until,) = {held.until for held in report.held}
    assert until is not None
    assert timedelta(0) <= 3 * HOUR - (until - fleet.clock.now()) < timedelta(minutes=1)
    fleet.clock.pass_by(until - fleet.clock.now() - timedelta(seconds=30))
    assert reasons(await fleet.reconcile()) == {Reason.WINDOW}
    assert fleet.due == timedelta(seconds=30)
    report = await fleet.reconcile(after=fleet.due)
    assert (report.held, len(fleet.live)) == ((), 6)


async def test_a_window_of_unsubscribes_lets_subscribes_go_on() -> None:
    """A window holds what it says, and nothing else."""
    fleet = Fleet(6, wanted=3, policy=OPEN)
    fleet.platform.subscribe("default", *fleet.owned[3:])
    with_windows(fleet, opening_in(fleet, HOUR, Holds.UNSUBSCRIBE))
    assert reasons(await fleet.reconcile()) == {Reason.WINDOW}
    assert (len(fleet.live), fleet.calls("DELETE")) == (6, [])
    report = await fleet.reconcile(after=HOUR)
    assert (report.held, fleet.live) == ((), frozenset(fleet.owned[:3]))


async def test_waits_run_on_while_a_window_is_closed() -> None:
    """A device that is absent for long enough when the window opens goes at once."""
    fleet = Fleet(4, policy=replace(OPEN, unsubscribe_after=2 * HOUR))
    await fleet.reconcile()
    fleet.want(fleet.owned[:3])
    with_windows(fleet, opening_in(fleet, 3 * HOUR))
    assert reasons(await fleet.reconcile()) == {Reason.WINDOW}
    report = await fleet.reconcile(after=3 * HOUR)
    assert (report.held, len(fleet.live)) == ((), 3)


async def test_a_refused_device_waits_no_longer_because_of_a_window() -> None:
    """The wait of a device that LG refused ends at its own time, inside a window or not."""
    fleet = Fleet(2, policy=OPEN)
    fleet.platform.set_faults(Rule(Error(code="1214"), match=Match(route=Route.SUBSCRIBE), count=1))
    await fleet.reconcile()
    with_windows(fleet, freeze(fleet.clock.now() + 3 * HOUR))
    assert reasons(await fleet.reconcile()) == {Reason.WINDOW}
    report = await fleet.reconcile(after=3 * HOUR)
    assert (report.held, len(fleet.live)) == ((), 2)


async def test_an_opened_window_lets_changes_through_until_its_end() -> None:
    """A command opens the window; when its time is over changes wait again, and the pass is due at that moment."""
    fleet = Fleet(6, wanted=3, policy=OPEN)
    window = opening_in(fleet, 5 * HOUR)
    with_windows(fleet, window)
    await fleet.reconcile()
    now = fleet.clock.now()
    fleet.state.opened_windows.open(Opening("office", window.mark, now, now + HOUR, "why"), now)
    report = await fleet.reconcile()
    assert (report.held, len(fleet.live)) == ((), 3)
    fleet.clock.pass_by(HOUR - timedelta(minutes=1))
    await fleet.reconcile()
    assert fleet.due == timedelta(minutes=1)
    fleet.want(fleet.owned, windows=(window,))
    assert reasons(await fleet.reconcile(after=fleet.due)) == {Reason.WINDOW}


async def test_an_opening_does_not_lift_a_deny_window() -> None:
    """What is frozen stays frozen, whatever a command opens."""
    fleet = Fleet(3, policy=OPEN)
    window = opening_in(fleet, 5 * HOUR)
    with_windows(fleet, window, freeze(fleet.clock.now() + 2 * HOUR))
    now = fleet.clock.now()
    fleet.state.opened_windows.open(Opening("office", window.mark, now, now + 3 * HOUR), now)
    report = await fleet.reconcile()
    assert reasons(report) == {Reason.WINDOW}
    assert {held.until for held in report.held} == {now + 2 * HOUR}
    report = await fleet.reconcile(after=2 * HOUR)
    assert (report.held, len(fleet.live)) == ((), 3)


async def test_an_edit_of_the_window_ends_what_a_command_opened() -> None:
    """An opening is for the window as it was; one that is defined otherwise is closed."""
    fleet = Fleet(3, policy=OPEN)
    window = opening_in(fleet, 5 * HOUR)
    now = fleet.clock.now()
    fleet.state.opened_windows.open(Opening("office", window.mark, now, now + HOUR), now)
    with_windows(fleet, opening_in(fleet, 4 * HOUR))
    assert reasons(await fleet.reconcile()) == {Reason.WINDOW}
    (ended,) = fleet.state.opened_windows.edited(set(), now)
    assert (ended.ended, ended.ended_by) == (now, Ending.EDITED)
    with_windows(fleet, window)
    assert reasons(await fleet.reconcile()) == {Reason.WINDOW}


async def test_a_change_waits_until_both_clocks_permit_it() -> None:
    """Where LG's clock differs from ours, a window that either of them finds closed holds."""
    fleet = Fleet(3, policy=OPEN)
    with_windows(fleet, freeze(None, fleet.clock.now() + HOUR))
    for _ in range(ANSWERS):
        fleet.two_clocks.answered(fleet.clock.now() + 2 * HOUR)
    assert reasons(await fleet.reconcile()) == {Reason.WINDOW}
    assert not fleet.live
