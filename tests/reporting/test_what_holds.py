"""Each fact that decides what is held reaches whoever asks: the explanation of a device and both lists of devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from disks import StandingClock
from reconciler.core.acceptance import Accepted, AccountRevision, Claims
from reconciler.core.guards import PauseOverride, Platform
from reconciler.core.model import (
    AccountName,
    Action,
    Approval,
    Cause,
    Change,
    Desired,
    Device,
    DeviceId,
    Observed,
    Outcome,
    PassId,
    Pause,
    Plan,
    Policy,
    Prune,
    Reason,
    Result,
    Retry,
    Revision,
    Unsettled,
)
from reconciler.core.protection import Stated
from reconciler.core.status import AccountStatus, PassReport
from reconciler.core.windows import Holds, Opening, Span, Window, WindowKind
from reconciler.reporting import queries
from reconciler.reporting.account_devices import DevicesAsked
from reconciler.reporting.account_devices import devices as of_account
from reconciler.reporting.devices import Devices, listed
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.roster import Rosters
from reconciler.reporting.views import search
from reconciler.state import State

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SEOUL, BUSAN = AccountName("seoul"), AccountName("busan")
GONE, NEW = DeviceId("gone-from-the-file"), DeviceId("new-in-the-file")
STAYING = frozenset(DeviceId(f"stays-{number:02}") for number in range(30))
ALL_LIVE = STAYING | {GONE}
REVISION = Revision("a" * 64)


@dataclass
class Hotel:
    """An account of which one device is to go and one is to come, as it is known before the pass that does both."""

    desired: Desired
    known: Knowledge

    def now(self, **facts: object) -> None:
        """Let the process know something."""
        self.known = replace(self.known, **facts)  # type: ignore[arg-type]  # each field has its own type

    def edit(self, *, of_text: dict[str, object] | None = None, **keys: object) -> None:
        """Bring another revision of the account into force."""
        self.desired = replace(self.desired, **keys)  # type: ignore[arg-type]  # each field has its own type
        text = AccountRevision(self.desired, REVISION, **(of_text or {}))  # type: ignore[arg-type]  # so here
        accounts = {**self.known.accepted.accounts, SEOUL: text}
        self.now(accepted=Accepted(accounts, revision=REVISION))


@pytest.fixture
def hotel() -> Hotel:
    """Give the account. Every device was wanted once, so it is ours."""
    state = State.in_memory(StandingClock())
    desired = Desired(SEOUL, STAYING | {NEW}, policy=Policy(prune=Prune.OWNED))
    state.accounts.desire(replace(desired, devices=ALL_LIVE), REVISION, NOW - DAY)
    state.accounts.trust(SEOUL, Observed(ALL_LIVE, NOW), "mark", NOW, ALL_LIVE)
    state.accounts.desire(desired, REVISION, NOW)
    one = Hotel(desired, Knowledge(NOW, Accepted(), state, list))
    one.edit()
    return one


def reasons(hotel: Hotel, device: DeviceId) -> set[str | None]:
    """Return what holds a device, by each way to ask. Until when has to be the same, too."""
    told = queries.explain(hotel.known, device).accounts
    rows = [
        *Devices().page(hotel.known, listed({})).devices,
        *of_account(hotel.known, SEOUL, DevicesAsked(), Rosters()).rows,
    ]
    mine = [row for row in rows if (row.account, row.device) == (SEOUL, device)]
    found, until = {row.reason for row in mine}, {row.until for row in mine}
    for story in told:
        if story.account == SEOUL:
            found.add(None if story.hold is None else story.hold.reason)
            until.add(None if story.hold is None else story.hold.until)
    assert len(until) == 1
    return found


def test_nothing_holds_what_a_pass_would_do(hotel: Hotel) -> None:
    """Without any such fact both changes are due, so each of the following facts makes the difference alone."""
    assert (reasons(hotel, GONE), reasons(hotel, NEW)) == ({None}, {None})


def _other_account_wants_it(hotel: Hotel) -> None:
    theirs = Desired(BUSAN, frozenset({GONE}))
    accounts = {SEOUL: hotel.desired, BUSAN: theirs}
    hotel.now(
        accepted=Accepted({name: AccountRevision(one, REVISION) for name, one in accounts.items()}),
        claims=Claims.of(accounts, REVISION),
    )


def _other_account_wants_it_by_the_other_clock(hotel: Hotel) -> None:
    entry = Device(GONE, from_=NOW + HOUR)
    theirs = Desired(BUSAN, frozenset({GONE}), {GONE: entry})
    accounts = {SEOUL: hotel.desired, BUSAN: theirs}
    _lg_is_ahead(hotel)
    hotel.now(
        accepted=Accepted({name: AccountRevision(one, REVISION) for name, one in accounts.items()}),
        claims=Claims.of(accounts, REVISION),
    )


def _lg_is_ahead(hotel: Hotel, by: timedelta = 2 * HOUR) -> None:
    """Let the last pass, which was of an older revision, find that LG's clock is ahead."""
    last = PassReport(Desired(SEOUL, ALL_LIVE), NOW, NOW, observed=30, theirs=NOW + by)
    hotel.now(statuses={SEOUL: AccountStatus(SEOUL, last=last)})


def _protected_with_an_approval_of_one_hour(hotel: Hotel) -> None:
    hotel.known.state.protections.take(Stated({GONE: SEOUL}))
    hotel.edit(approvals=(Approval(frozenset({GONE}), NOW + HOUR, "sold"),))


def _protected_and_lg_says_that_the_approval_is_over(hotel: Hotel) -> None:
    _protected_with_an_approval_of_one_hour(hotel)
    _lg_is_ahead(hotel)


def _protected(hotel: Hotel) -> None:
    _protected_with_an_approval_of_one_hour(hotel)
    hotel.edit(approvals=())


def _window(hotel: Hotel) -> Window:
    ended = Span(NOW - 2 * DAY, NOW - DAY)
    window = Window("office", WindowKind.ALLOW, Holds.ALL, ended, "UTC")
    hotel.edit(windows=(window,))
    return window


def _closed_window(hotel: Hotel) -> None:
    _window(hotel)


def _opened_window(hotel: Hotel) -> None:
    window = _window(hotel)
    opening = Opening(window.name, window.mark, NOW, NOW + HOUR, "storm", "kim")
    hotel.known.state.opened_windows.open(opening, NOW)


def _opening_of_other_hours(hotel: Hotel) -> None:
    window = _window(hotel)
    opening = Opening(window.name, f"not {window.mark}", NOW, NOW + HOUR, "storm", "kim")
    hotel.known.state.opened_windows.open(opening, NOW)


def _paused(hotel: Hotel) -> None:
    hotel.known.state.pauses.set(SEOUL, PauseOverride(Pause.ALL, NOW + HOUR, "audit"), NOW)


def _others_paused(hotel: Hotel) -> None:
    hotel.known.state.pauses.set(BUSAN, PauseOverride(Pause.ALL, NOW + HOUR, "audit"), NOW)


def _failed(hotel: Hotel) -> None:
    change = Change(SEOUL, Action.UNSUBSCRIBE, GONE)
    outcome = Outcome(change, Result.FAILED, NOW)
    retries = {GONE: Retry(Action.UNSUBSCRIBE, Reason.RETRY, 1, NOW + HOUR)}
    hotel.known.state.changes.record(SEOUL, PassId("one"), [outcome], retries, NOW)


def _failed_in_the_last_pass(hotel: Hotel) -> None:
    """Let that pass be of this revision: its plan was to make both changes."""
    _failed(hotel)
    last = PassReport(hotel.desired, NOW, NOW, plan=Plan(SEOUL), observed=len(ALL_LIVE))
    hotel.now(statuses={SEOUL: AccountStatus(SEOUL, last=last)})


def _failed_long_ago(hotel: Hotel) -> None:
    _failed(hotel)
    hotel.now(now=NOW + DAY)


def _failed_and_paused(hotel: Hotel) -> None:
    _failed(hotel)
    _paused(hotel)


Fact = Callable[[Hotel], None]
CASES: dict[str, tuple[Fact, str | None, str | None]] = {
    "paused by command": (_paused, "paused", "paused"),
    "another account is paused": (_others_paused, None, None),
    "observe mode": (lambda one: one.now(observing=True), "paused", "paused"),
    "a window is closed": (_closed_window, "window", "window"),
    "a command opened the window": (_opened_window, None, None),
    "a command opened the window as it was": (_opening_of_other_hours, "window", "window"),
    "at LG's cap": (
        lambda one: one.now(platforms={SEOUL: Platform(full_until=NOW + HOUR)}),
        None,
        "subscriptions-full",
    ),
    "the other account is stopped": (
        lambda one: one.now(platforms={BUSAN: Platform(stopped="refused")}),
        None,
        None,
    ),
    "stopped": (
        lambda one: one.now(platforms={SEOUL: Platform(stopped="refused")}),
        "account-stopped",
        "account-stopped",
    ),
    "another account wants it": (_other_account_wants_it, "wanted-elsewhere", None),
    "another account wants it by LG's clock": (
        _other_account_wants_it_by_the_other_clock,
        "wanted-elsewhere",
        None,
    ),
    "protected": (_protected, "protected", None),
    "protected and approved": (_protected_with_an_approval_of_one_hour, None, None),
    "protected and approved by our clock alone": (
        _protected_and_lg_says_that_the_approval_is_over,
        "protected",
        None,
    ),
    "a newer revision is rejected": (
        lambda one: one.edit(of_text={"rejected": Cause.INVALID}),
        "desired-rejected",
        None,
    ),
    "files may be half written": (
        lambda one: one.edit(of_text={"unsettled": Unsettled(None, "git is at work")}),
        "files-unsettled",
        None,
    ),
    "the last call failed": (_failed, "retry", None),
    "the last pass failed with it": (_failed_in_the_last_pass, "retry", None),
    "the last call failed long ago": (_failed_long_ago, None, None),
    "failed and paused": (_failed_and_paused, "paused", "paused"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_fact_that_holds_a_change_is_reported_by_each_way_to_ask(
    hotel: Hotel, case: str
) -> None:
    """explain, the list of all devices and the page of the account say the same reason, or that there is none."""
    fact, going, coming = CASES[case]
    fact(hotel)
    assert (reasons(hotel, GONE), reasons(hotel, NEW)) == ({going}, {coming})


@pytest.mark.parametrize("ahead", [None, 2 * HOUR, -2 * HOUR])
@pytest.mark.parametrize("prune", [Prune.OWNED, Prune.ALL, Prune.NONE])
def test_every_list_says_the_same_state(
    hotel: Hotel, ahead: timedelta | None, prune: Prune
) -> None:
    """With dates that only one clock has reached, and devices that were never ours: both lists, search and explain."""
    soon, late = DeviceId("begins-in-an-hour"), DeviceId("ended-an-hour-ago")
    foreign = DeviceId("nobody-knows-it")
    described = {soon: Device(soon, from_=NOW + HOUR), late: Device(late, until=NOW - HOUR)}
    wanted = hotel.desired.devices | {soon, late}
    hotel.edit(devices=wanted, described=described, policy=Policy(prune=prune))
    hotel.known.state.accounts.desire(hotel.desired, REVISION, NOW)
    live = ALL_LIVE | {late, foreign}
    hotel.known.state.accounts.trust(SEOUL, Observed(live, NOW), "mark", NOW, live)
    if ahead is not None:
        _lg_is_ahead(hotel, ahead)
    found: dict[str, set[str]] = {}
    rows = of_account(hotel.known, SEOUL, DevicesAsked(limit=100), Rosters()).rows
    for row in (*rows, *search(hotel.known, "-").devices):
        found.setdefault(row.device, set()).add(row.state)
    for device in (soon, late, foreign, GONE, NEW):
        found[device].add(queries.explain(hotel.known, device).accounts[0].state)
    assert [device for device, states in found.items() if len(states) != 1] == []
    by_lg = ahead or timedelta(0)
    assert found[soon] == {"missing" if by_lg >= HOUR else "absent"}
    assert (found[late] == {"in_sync"}) is (by_lg < -HOUR)
    ours = {Prune.OWNED: "extra", Prune.ALL: "extra", Prune.NONE: "unmanaged"}[prune]
    assert found[GONE] == {ours}
    assert found[foreign] == {"extra" if prune is Prune.ALL else "unmanaged"}


@pytest.mark.parametrize("stated", [None, True, False])
def test_a_device_is_protected_by_its_entry_or_by_what_was_stated_last(
    hotel: Hotel, *, stated: bool | None
) -> None:
    """An entry that lost the key ends nothing; only a revision that states false does, once it is in force."""
    hotel.known.state.protections.take(Stated({NEW: BUSAN}))
    hotel.edit(described={NEW: Device(NEW, protected=stated, until=NOW + DAY)})
    (story,) = queries.explain(hotel.known, NEW).accounts
    assert story.protected
    assert story.protected_by == (SEOUL if stated else BUSAN)
    hotel.known.state.protections.take(Stated(ended=frozenset({NEW})))
    (story,) = queries.explain(hotel.known, NEW).accounts
    assert story.protected is (stated is True)
