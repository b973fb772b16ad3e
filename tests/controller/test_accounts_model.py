"""Several accounts and service keys from pass to pass: who is stopped, who waits for room, and who looks like whom.

Owns: that each account and each service key has its own. What one account carries is ``tests/core/test_account.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from structlog.testing import capture_logs

from core_runs import running
from reconciler.controller.accounts import Accounts
from reconciler.core.account import AccountState, Contact, ListRead, Stop
from reconciler.core.errors import SubscriptionsFull
from reconciler.core.guards import Platform
from reconciler.core.model import AccountName, Action, Change, Desired, DeviceId, Held, Plan, Reason
from reconciler.core.status import AccountStatus, PassReport
from reconciler.pcc.client import Client
from simulated import SimulatedClock

ACCOUNTS = [AccountName(name) for name in ("busan", "daegu", "seoul")]
SERVICES = ["one key", "another key"]
DEVICES = [DeviceId(name) for name in "abc"]
SPANS = [timedelta(minutes=minutes) for minutes in (1, 20, 60, 300)]
HOUR = timedelta(hours=1)
"""A cap is believed for so long, and no stop is longer."""

accounts = st.sampled_from(ACCOUNTS)
services = st.sampled_from(SERVICES)


class Key(Client):
    """A client that is known by its service key alone."""

    def __init__(self, service: str) -> None:
        self.key = service

    @property
    def service(self) -> str:
        """Return the service key."""
        return self.key


class Carries(RuleBasedStateMachine):
    """Three accounts under two service keys, which come, go, are refused, and wait for room."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = SimulatedClock()
        self.clients: dict[AccountName, Client | str] = {
            ACCOUNTS[0]: Key(SERVICES[0]),
            ACCOUNTS[1]: Key(SERVICES[0]),
            ACCOUNTS[2]: Key(SERVICES[1]),
        }
        self.woken: list[AccountName] = []
        self.accounts = Accounts(self.clients.__getitem__, self.wake)
        self.states: dict[AccountName, AccountState] = {}
        self.begun: dict[AccountName, AccountState] = {}
        """What the pass under way began with; a person and the clock may change it meanwhile."""
        self.full: dict[str, timedelta] = {}
        """For how long each service key has no room any more; less than nothing once that is over."""
        self.lists: dict[AccountName, frozenset[DeviceId]] = {}

    def wake(self, waking: Iterable[AccountName]) -> None:
        """Take who is woken."""
        self.woken += waking

    @rule(account=accounts, devices=st.frozensets(st.sampled_from(DEVICES)))
    def begin(self, account: AccountName, devices: frozenset[DeviceId]) -> None:
        """Begin a pass, which goes on until it ends or for ever."""
        desired, now = Desired(account, devices), self.clock.now()
        state = self.accounts.begin(desired, now)
        before = self.states.get(account, AccountState(AccountStatus(account)))
        assert state == before.beginning(desired, now)
        self.states[account] = self.begun[account] = state

    @rule(
        account=accounts,
        reason=st.sampled_from([None, Reason.SUBSCRIPTIONS_FULL, Reason.QUOTA]),
        read=st.sampled_from([ListRead.READ, ListRead.FAILED]),
        stopped_for=st.none() | st.sampled_from(SPANS),
    )
    def end(
        self,
        account: AccountName,
        reason: Reason | None,
        read: ListRead,
        stopped_for: timedelta | None,
    ) -> None:
        """End a pass of an account that had one."""
        begun = self.begun.pop(account, None)
        if begun is None or begun.desired is None:
            return
        before, now = self.states.get(account, begun), self.clock.now()
        change = Change(account, Action.SUBSCRIBE, DEVICES[0])
        held = () if reason is None else (Held(change, reason),)
        report = PassReport(begun.desired, now, now + HOUR, plan=Plan(account, held=held))
        stop = None if stopped_for is None else Stop("refused", 1, now + stopped_for, at_list=True)
        contact = Contact(read, stop)
        ended = self.accounts.end(running(begun.desired, begun), report, contact)
        self.states[account] = before.after(report, contact)
        assert ended == (before, self.states[account])

    @rule(account=accounts)
    def forget(self, account: AccountName) -> None:
        """Let an account leave the desired state."""
        self.accounts.forget(account)
        self.states.pop(account, None)
        self.lists.pop(account, None)

    @rule(account=accounts)
    def resume(self, account: AccountName) -> None:
        """Let a person resume an account."""
        self.accounts.resume(account)
        if account in self.states:
            self.states[account] = self.states[account].resumed()

    @rule(account=accounts, service=st.none() | services)
    def give_credentials(self, account: AccountName, service: str | None) -> None:
        """Give an account other credentials, or take them away."""
        self.clients[account] = "no credentials" if service is None else Key(service)

    @rule(account=accounts, devices=st.frozensets(st.sampled_from(DEVICES)))
    def list(self, account: AccountName, devices: frozenset[DeviceId]) -> None:
        """Let LG list an account's devices."""
        before = self.lists.get(account)
        self.lists[account] = devices
        with capture_logs() as told:
            self.accounts.twins.listed(account, devices)
        others = self.alike().get(account, ())
        warned = [one["accounts"] for one in told]
        assert warned == ([sorted([account, *others])] if others and before != devices else [])

    @rule(span=st.sampled_from(SPANS))
    def wait(self, span: timedelta) -> None:
        """Let time pass."""
        self.clock.pass_by(span)
        for service in self.full:
            self.full[service] -= span

    @rule(step=st.sampled_from([*SPANS, *(-span for span in SPANS)]))
    def set_the_clock(self, step: timedelta) -> None:
        """Set the wall clock."""
        self.clock.set_by(step)
        self.accounts.shift(step)
        self.states = {name: state.shifted(step) for name, state in self.states.items()}

    @rule(service=services)
    def reach_the_cap(self, service: str) -> None:
        """Let LG have no room under a service key."""
        error = SubscriptionsFull("full", code="1312")
        with capture_logs() as told:
            self.accounts.note_full(service, error, self.clock.now())
        assert len(told) == (service not in self.full)
        self.full[service] = HOUR

    @rule(service=services)
    def make_room(self, service: str) -> None:
        """Let an unsubscribe make room under a service key."""
        self.woken.clear()
        self.accounts.note_room(service)
        waiting = [name for name in ACCOUNTS if self.waits(name) and self.key_of(name) == service]
        assert sorted(self.woken) == (waiting if service in self.full else [])
        self.full.pop(service, None)

    # -- the plain rules

    def key_of(self, account: AccountName) -> str | None:
        """Return the service key of an account, if it has one."""
        client = self.clients[account]
        return client.key if isinstance(client, Key) else None

    def waits(self, account: AccountName) -> bool:
        """Say whether the last pass of an account held something because of the cap."""
        state = self.states.get(account)
        return state is not None and Reason.SUBSCRIPTIONS_FULL in {one for _, one in state.held}

    def alike(self) -> dict[AccountName, tuple[AccountName, ...]]:
        """Return who has the same list, of two devices at least, as which others."""
        found = {}
        for account, devices in self.lists.items():
            others = [
                name
                for name in sorted(self.lists)
                if name != account and self.lists[name] == devices
            ]
            if others and len(devices) > 1:
                found[account] = tuple(others)
        return found

    @invariant()
    def each_account_has_its_own(self) -> None:
        """See that what is shown of an account is its own, and nothing is left of one that went."""
        alike = self.alike()
        assert dict(self.accounts.statuses) == {
            name: replace(state.status, alike=alike.get(name, state.status.alike))
            for name, state in self.states.items()
        }
        for name in ACCOUNTS:
            state = self.states.get(name, AccountState(AccountStatus(name)))
            assert self.accounts.state(name) == state
            assert self.accounts.degraded(name) is (state.failed_lists > 0)
            assert self.accounts.platform(name) == self.platform(name)
        assert dict(self.accounts.platforms) == {name: self.platform(name) for name in self.states}

    def platform(self, account: AccountName) -> Platform:
        """Return what LG does not let an account do."""
        state, key = self.states.get(account), self.key_of(account)
        stop = None if state is None else state.stop
        found = Platform() if stop is None else Platform(stop.why, stop.until)
        until = self.clock.now() + self.full[key] if key in self.full else None
        return replace(found, full_until=until)

    @invariant()
    def each_service_key_has_its_own_room(self) -> None:
        """See that the cap of a service key ends when it should, and no later than an hour from now."""
        for service in SERVICES:
            now, left = self.clock.now(), self.full.get(service)
            expected = Platform() if left is None else Platform(full_until=now + left)
            assert self.accounts.room(service, now) == expected
            soon = (
                now - HOUR
            )  # a pass for which it is earlier does not wait for longer than an hour
            if left is not None:
                assert self.accounts.room(service, soon).full_until == min(now + left, now)


TestCarries = Carries.TestCase
TestCarries.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("what", ["resumed", "shifted"])
def test_what_befalls_an_account_during_its_pass_is_not_undone_by_its_end(what: str) -> None:
    """The pass began with an older state; where it learned nothing of the stop, that is as it is now."""
    clock, account = SimulatedClock(), ACCOUNTS[0]
    woken: list[AccountName] = []
    held = Accounts({account: "no credentials"}.__getitem__, woken.extend)
    desired, now = Desired(account, frozenset(DEVICES)), clock.now()
    stop = Stop("refused", 1, now + HOUR, at_list=True)
    report = PassReport(desired, now, now + HOUR, plan=Plan(account))
    held.end(running(desired, held.begin(desired, now)), report, Contact(ListRead.FAILED, stop))
    run = running(desired, held.begin(desired, now))
    if what == "resumed":
        held.resume(account)
    else:
        held.shift(SPANS[1])
    held.end(run, report, Contact(ListRead.FAILED))
    until = None if what == "resumed" else now + HOUR + SPANS[1]
    assert held.state(account).stop == replace(stop, until=until)
