"""Every condition under which a pass makes no further call, each changed while the first call is under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from disks import Disk
from reconciler.core.acceptance import AccountRevision
from reconciler.core.clock import ANSWERS
from reconciler.core.guards import PauseOverride
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Action,
    Approval,
    Cause,
    Desired,
    Device,
    DeviceId,
    Pause,
    Policy,
    Unsettled,
)
from reconciler.core.windows import Holds, Opening, Span, Window, WindowKind
from reconciler.pcc.client import Client
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Error
from reconciler.state import State
from simulated import Fleet, SimulatedClock

DEVICES = 12
OPEN = Policy(max_unsubscribe=1000)
SOON = timedelta(seconds=5)
LATER = timedelta(minutes=1)
OTHER = AccountName("other")
METHODS = {Action.SUBSCRIBE: "POST", Action.UNSUBSCRIBE: "DELETE"}


class Underway:
    """A pass with many calls of one action to make, and one change of the world during the first of them."""

    def __init__(self, folder: Path, action: Action, *, refreshing: bool = False) -> None:
        self.clock = SimulatedClock()
        self.disk = Disk()
        self.fleet = Fleet(
            DEVICES,
            wanted=DEVICES if action is Action.SUBSCRIBE else 1,
            policy=OPEN,
            state=State.open(folder, self.clock, self.disk.connect),
            clock=self.clock,
            refreshing=refreshing,
        )
        self.action = action
        if action is Action.UNSUBSCRIBE:
            self.fleet.platform.subscribe("default", *self.fleet.owned)

    @property
    def text(self) -> AccountRevision:
        """Return what is in force for the account."""
        assert self.fleet.text is not None
        return self.fleet.text

    @property
    def client(self) -> Client:
        """Return the account's client."""
        assert isinstance(self.fleet.client, Client)
        return self.fleet.client

    @property
    def spare(self) -> DeviceId:
        """Return a device that no call of this pass is about."""
        return DeviceId("a device that is not registered")

    def moment(self, after: timedelta) -> datetime:
        """Return a moment that comes so long after now."""
        return self.clock.now() + after

    def in_force(self, desired: Desired) -> None:
        """Bring another revision of the account into force."""
        self.fleet.text = replace(self.text, desired=desired)

    def flush(self) -> None:
        """Let something be written to the disk now."""
        self.fleet.state.quotas.keep(OTHER, (self.clock.steady(),), None)
        self.fleet.state.flush()

    async def sent_after_the_first(self, change: Callable[[Underway], None]) -> list[str]:
        """Make the pass, with this change during its first call; return what was sent after that call."""
        fleet, method = self.fleet, METHODS[self.action]
        before: list[int] = []

        def first(request: httpx.Request) -> None:
            if request.method == method and request.url.path.startswith("/pcc/") and not before:
                before.append(len(fleet.calls()) + 1)
                change(self)

        fleet.transport.on_request = first
        await fleet.reconcile()
        fleet.state.close()
        assert before, "the pass made no call at all"
        return [f"{one.method} {one.path}" for one in fleet.calls()[before[0] :]]


def a_newer_revision(at: Underway) -> None:
    """Bring a newer revision into force."""
    at.in_force(replace(at.text.desired, policy=replace(at.text.desired.policy, allow_empty=True)))


def a_rejected_revision(at: Underway) -> None:
    """Reject a newer revision."""
    at.fleet.text = replace(at.text, rejected=Cause.INVALID)


def half_written_files(at: Underway) -> None:
    """Let the files be half written."""
    at.fleet.text = replace(at.text, unsettled=Unsettled(None, "git is at work"))


def an_account_that_left(at: Underway) -> None:
    """Let the account leave the desired state."""
    at.fleet.text = None


def a_pause_of_the_account(at: Underway) -> None:
    """Pause the account by command."""
    at.fleet.state.pauses.set(DEFAULT_ACCOUNT, PauseOverride(Pause.ALL), at.clock.now())


def a_pause_of_all_accounts(at: Underway) -> None:
    """Pause all accounts by command."""
    at.fleet.state.pauses.set(None, PauseOverride(Pause.ALL), at.clock.now())


def a_disk_that_is_full(at: Underway) -> None:
    """Let the state be unwritable."""
    at.disk.write_fault = "database or disk is full"
    at.flush()


def another_user(at: Underway) -> None:
    """Let a person replace the refresh token."""
    at.fleet.platform.world.user("default").refresh_token = "refresh-token-of-another-user"


def a_stop_of_the_process(at: Underway) -> None:
    """Stop the process."""
    at.fleet.stopping = True


def a_wall_clock_that_is_set(at: Underway) -> None:
    """Set this machine's clock."""
    at.clock.set_by(timedelta(hours=2))


def lgs_clock_that_differs(at: Underway) -> None:
    """Let LG's answers say that its time is another than a moment ago."""
    for _ in range(ANSWERS):
        at.fleet.two_clocks.answered(at.moment(timedelta(hours=2)))


def time_that_passes(at: Underway) -> None:
    """Let the next date come."""
    at.clock.pass_by(LATER)


def used_up_calls(at: Underway) -> None:
    """Let other programs use up the calls of the user, but for those that are kept for lists."""
    at.client.quota.follow(20)
    for _ in range(16):
        at.client.quota.take(at.clock.steady())


CONDITIONS: dict[str, Callable[[Underway], None]] = {
    one.__name__: one
    for one in (
        a_newer_revision,
        a_rejected_revision,
        half_written_files,
        an_account_that_left,
        a_pause_of_the_account,
        a_pause_of_all_accounts,
        a_disk_that_is_full,
        another_user,
        a_stop_of_the_process,
        a_wall_clock_that_is_set,
        lgs_clock_that_differs,
        used_up_calls,
    )
}


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("condition", CONDITIONS)
async def test_a_pass_makes_no_second_call_once_this_changed(
    tmp_path: Path, condition: str, action: Action
) -> None:
    """Whatever the plan rests on is looked at again right before each call, and one change of it is enough."""
    underway = Underway(tmp_path, action, refreshing=condition == "another_user")
    assert await underway.sent_after_the_first(CONDITIONS[condition]) == []


@pytest.mark.parametrize("action", list(Action))
async def test_a_pass_goes_on_where_nothing_changed(tmp_path: Path, action: Action) -> None:
    """Time alone stops nothing, and neither does another account's pause."""

    def nothing_of_it(at: Underway) -> None:
        at.clock.pass_by(LATER)
        at.fleet.state.pauses.set(OTHER, PauseOverride(Pause.ALL), at.clock.now())
        at.flush()

    sent = await Underway(tmp_path, action).sent_after_the_first(nothing_of_it)
    assert len(sent) >= DEVICES - 2


def a_device_begins(at: Underway) -> None:
    """Want a device from soon on."""
    device = Device(at.spare, from_=at.moment(SOON))
    at.in_force(_with_device(at, device))


def a_device_ends(at: Underway) -> None:
    """Want a device until soon."""
    at.in_force(_with_device(at, Device(at.spare, until=at.moment(SOON))))


def an_approval_expires(at: Underway) -> None:
    """Approve something until soon."""
    approval = Approval(frozenset({at.spare}), at.moment(SOON), "wing B")
    at.in_force(replace(at.text.desired, approvals=(approval,)))


def a_deny_window_begins(at: Underway) -> None:
    """Deny changes from soon on."""
    at.in_force(replace(at.text.desired, windows=(denying(at.moment(SOON), None),)))


def a_deny_window_of_other_changes_ends(at: Underway) -> None:
    """Deny what this pass does not do, until soon: the others have waited for long enough then."""
    holds = Holds.UNSUBSCRIBE if at.action is Action.SUBSCRIBE else Holds.ALL
    begun = datetime.min.replace(tzinfo=UTC) if holds is Holds.UNSUBSCRIBE else at.moment(SOON)
    window = Window("freeze", WindowKind.DENY, holds, Span(begun, at.moment(SOON + SOON)), "UTC")
    at.in_force(replace(at.text.desired, windows=(window,)))


def an_allow_window_ends(at: Underway) -> None:
    """Allow changes until soon."""
    at.in_force(replace(at.text.desired, windows=(allowing(at.moment(SOON)),)))


def an_opening_ends(at: Underway) -> None:
    """Allow changes by command, until soon."""
    _opened(at, at.moment(SOON))


def _opened(at: Underway, until: datetime) -> None:
    window = allowing(at.clock.now() - LATER)
    at.in_force(replace(at.text.desired, windows=(window,)))
    opening = Opening("office", window.mark, at.clock.now(), until, "why")
    at.fleet.state.opened_windows.open(opening, at.clock.now())


def denying(begins: datetime, ends: datetime | None) -> Window:
    """Return a deny window."""
    return Window("freeze", WindowKind.DENY, Holds.ALL, Span(begins, ends), "UTC")


def allowing(ends: datetime) -> Window:
    """Return an allow window that has begun."""
    return Window("office", WindowKind.ALLOW, Holds.ALL, Span(None, ends), "UTC")


def _with_device(at: Underway, device: Device) -> Desired:
    desired = replace(at.text.desired, policy=replace(OPEN, ignore=frozenset({device.id})))
    return replace(desired, devices=desired.devices | {device.id}, described={device.id: device})


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize(
    "date",
    [
        a_device_begins,
        a_device_ends,
        an_approval_expires,
        a_deny_window_begins,
        a_deny_window_of_other_changes_ends,
        an_allow_window_ends,
        an_opening_ends,
    ],
)
async def test_a_pass_makes_no_second_call_once_a_date_came(
    tmp_path: Path, date: Callable[[Underway], None], action: Action
) -> None:
    """A date of the desired state that comes during a pass ends it; before that it is not a reason."""
    underway = Underway(tmp_path, action)
    date(underway)
    assert await underway.sent_after_the_first(time_that_passes) == []


@pytest.mark.parametrize("action", list(Action))
async def test_a_pass_makes_no_second_call_once_its_window_is_closed_again(
    tmp_path: Path, action: Action
) -> None:
    """A person closes a window that a command opened: what its plan rested on is gone at once."""
    underway = Underway(tmp_path, action)
    _opened(underway, underway.moment(timedelta(days=1)))

    def closed(at: Underway) -> None:
        assert at.fleet.state.opened_windows.close("office", at.clock.now())

    assert await underway.sent_after_the_first(closed) == []


async def test_no_change_begins_after_its_window_ended_while_a_token_was_renewed(
    tmp_path: Path,
) -> None:
    """A call that LG answers with a token that is not valid is not made again with a new one after the window."""
    underway = Underway(tmp_path, Action.SUBSCRIBE, refreshing=True)
    fleet = underway.fleet
    an_allow_window_ends(underway)
    ends = underway.moment(SOON)
    begun: list[tuple[str, datetime]] = []

    def passing(request: httpx.Request) -> None:
        begun.append((request.url.path, underway.clock.now()))
        if request.url.path.endswith("/token") and any(path != "/pcc" for path, _ in begun[:-1]):
            underway.clock.pass_by(LATER)

    fleet.platform.set_faults(Rule(Error(code="1302"), match=Match(route=Route.SUBSCRIBE), count=1))
    fleet.transport.on_request = passing
    await fleet.reconcile()
    fleet.state.close()
    changes = [at for path, at in begun if path.startswith("/pcc/")]
    assert len(changes) == 1
    assert changes[0] < ends <= underway.clock.now()


@pytest.mark.parametrize("action", list(Action))
async def test_a_pass_makes_no_second_call_once_a_pause_ended(
    tmp_path: Path, action: Action
) -> None:
    """A pass that began under a pause of the other action is planned anew without it."""
    underway = Underway(tmp_path, action)
    fleet = underway.fleet
    held = Pause.UNSUBSCRIBE if action is Action.SUBSCRIBE else Pause.NONE
    override = PauseOverride(held, underway.moment(SOON), "a person is at work")
    fleet.state.pauses.set(DEFAULT_ACCOUNT, override, underway.clock.now())
    assert await underway.sent_after_the_first(time_that_passes) == []


async def test_a_pass_makes_no_second_call_once_the_disk_takes_writes_again(tmp_path: Path) -> None:
    """What was held only because nothing could be remembered is planned anew."""
    underway = Underway(tmp_path, Action.SUBSCRIBE)
    underway.disk.write_fault = "database or disk is full"
    underway.flush()

    def repaired(at: Underway) -> None:
        at.disk.write_fault = ""
        at.flush()

    assert await underway.sent_after_the_first(repaired) == []


@pytest.mark.parametrize("approved", [False, True])
async def test_a_device_that_another_account_begins_to_want_does_not_go(
    tmp_path: Path, *, approved: bool
) -> None:
    """Once another account wants one of the devices no further unsubscribe is sent, unless all are approved."""
    underway = Underway(tmp_path, Action.UNSUBSCRIBE)
    fleet, text = underway.fleet, underway.text
    if approved:
        approval = Approval(frozenset(fleet.owned[1:]), underway.moment(timedelta(days=1)), "moved")
        underway.in_force(replace(text.desired, approvals=(approval,)))
    last = frozenset({fleet.owned[-1]})

    def claimed(at: Underway) -> None:
        texts = {
            DEFAULT_ACCOUNT: at.text,
            OTHER: AccountRevision(Desired(OTHER, last), at.text.revision),
        }
        fleet.claims.follow(texts)
        fleet.claims.enforce(texts)

    sent = await underway.sent_after_the_first(claimed)
    assert len(sent) == (DEVICES - 2 if approved else 0)


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("code", ["1314", "1302", "1301"])
async def test_a_pass_makes_no_second_call_after_an_answer_about_the_account(
    tmp_path: Path, code: str, action: Action
) -> None:
    """A throttle, a refused token and a refused service are not about the device: no other one is tried."""
    underway = Underway(tmp_path, action)
    fault = Rule(effect=Error(code=code), match=Match(method=METHODS[action]), count=1)
    underway.fleet.platform.set_faults(fault)
    assert await underway.sent_after_the_first(lambda _at: None) == []
