"""What was heard of several accounts, in any order, beside plain rules that look at all events again.

Owns: the join of events with accounts, desired states and past calls. When an event contradicts a list at all is
``tests/core/test_heard.py``'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core_runs import REVISION
from reconciler.controller.hearing import Hearing
from reconciler.core.acceptance import AccountRevision, Claims
from reconciler.core.errors import StateError
from reconciler.core.heard import Heard, HeardOfAccount, ListWatch
from reconciler.core.memory.changes import Past
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    Desired,
    DeviceId,
    Outcome,
    PassId,
    Result,
)
from reconciler.state import History
from simulated import SimulatedClock

ACCOUNTS = [AccountName(name) for name in ("busan", "daegu", "seoul")]
DEVICES = [DeviceId(name) for name in "abc"]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TEN_MINUTES = timedelta(minutes=10)

accounts = st.sampled_from(ACCOUNTS)
devices = st.sampled_from(DEVICES)
some = st.frozensets(devices)
SPANS = [timedelta(0), timedelta(minutes=4), TEN_MINUTES, 2 * HOUR, 13 * HOUR, 13 * HOUR, DAY]
spans = st.sampled_from(SPANS)
ages = st.sampled_from([timedelta(0)] * 6 + SPANS)
"""Most events are read at once, else few of them would say anything of the last list."""


@dataclass(slots=True)
class Model:
    """What one account is known by."""

    watch: ListWatch = field(default_factory=ListWatch)
    heard: list[Heard] = field(default_factory=list)
    unexpected: list[datetime] = field(default_factory=list)
    woken: datetime | None = None


class Hears(RuleBasedStateMachine):
    """Three accounts, three devices that go from one to another, and events that come late and in disorder."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.claims, self.loop = SimulatedClock(), Claims(), asyncio.Runner()
        self.woken: list[AccountName] = []
        self.pasts: list[Past] = []
        self.is_readable = True
        self.hearing = Hearing(
            self.claims, cast("History", self), self.clock, self.wake, cast("Any", self.blocking)
        )
        self.wanted: dict[AccountName, frozenset[DeviceId]] = {}
        self.known: dict[AccountName, Model] = {}
        self.events: list[Heard] = []

    def teardown(self) -> None:
        """Close the loop."""
        self.loop.close()

    # -- what hearing asks and tells

    def wake(self, waking: Iterable[AccountName]) -> None:
        """Take who is woken."""
        self.woken += waking

    async def blocking(self, call: Callable[..., Any], *args: Any, **more: Any) -> Awaitable[Any]:
        """Call at once."""
        return cast("Awaitable[Any]", call(*args, **more))

    def changes(self, account: None, device: DeviceId, *, limit: int) -> Sequence[Past]:
        """Return what was done to a device, newest first."""
        assert account is None
        if not self.is_readable:
            raise StateError("the disk is away")
        return [past for past in reversed(self.pasts) if past.device == device][:limit]

    # -- what happens

    @rule(account=accounts, wanted=st.none() | some)
    def want(self, account: AccountName, wanted: frozenset[DeviceId] | None) -> None:
        """Bring another desired state of one account into force, or let the account go."""
        if wanted is None:
            self.wanted.pop(account, None)
            self.known.pop(account, None)
            self.hearing.forget(account)
        else:
            self.wanted[account] = wanted
        texts = {
            name: AccountRevision(Desired(name, wants), REVISION)
            for name, wants in self.wanted.items()
        }
        self.claims.follow(texts)
        self.claims.enforce(texts)

    @rule(account=accounts, device=devices, strangers=some)
    def hide(self, account: AccountName, device: DeviceId, strangers: frozenset[DeviceId]) -> None:
        """Let LG's list lack a device that an account wants, whatever else it has."""
        self.want(account, self.wanted.get(account, frozenset()) | {device})
        self.list(account, strangers - {device})
        self.clock.pass_by(timedelta(minutes=4))

    @rule(owners=st.sets(accounts, min_size=1), device=devices)
    def let_go(self, owners: set[AccountName], device: DeviceId) -> None:
        """Take a device out of every account, and unsubscribe it in some of them."""
        for account, wanted in sorted(self.wanted.items()):
            self.want(account, wanted - {device})
        for account in sorted(owners):
            self.change(account, device, Action.UNSUBSCRIBE, Result.SUCCESS)
        self.clock.pass_by(2 * HOUR)

    @rule(account=accounts, live=some)
    def list(self, account: AccountName, live: frozenset[DeviceId]) -> None:
        """Let LG list an account's devices."""
        if account in self.wanted:
            began, wanted = self.clock.now(), self.wanted[account]
            self.hearing.listed(account, began, wanted, live)
            self.of(account).watch.listed(began, wanted - live)

    @rule(
        account=accounts,
        device=devices,
        action=st.sampled_from([Action.SUBSCRIBE, Action.UNSUBSCRIBE, Action.UNSUBSCRIBE]),
        result=st.sampled_from([Result.SUCCESS, Result.SUCCESS, *Result, None]),
    )
    def change(
        self, account: AccountName, device: DeviceId, action: Action, result: Result | None
    ) -> None:
        """Make a call, or begin one."""
        now = self.clock.now()
        self.pasts.append(
            Past(account, device, action, now, now, PassId("pass"), REVISION, result=result)  # type: ignore[arg-type]
        )
        if result is None:
            return
        self.hearing.changed(Outcome(Change(account, action, device), result, now))
        if result is Result.SUCCESS:
            watch = self.of(account).watch
            (watch.subscribed if action is Action.SUBSCRIBE else watch.unsubscribed)(device)

    @rule(heard=st.lists(st.tuples(devices, ages, st.none() | ages), min_size=1, max_size=3))
    def hear(self, heard: Sequence[tuple[DeviceId, timedelta, timedelta | None]]) -> None:
        """Let a receiver list events, some of them long stored."""
        now = self.clock.now()
        events = [
            Heard(
                "id",
                device,
                now - ago,
                None if earlier is None else now - ago - earlier,
            )
            for device, ago, earlier in heard
        ]
        self.events += events
        self.woken.clear()
        known = self.loop.run(self.hearing.take(events))
        joined = [self.joined(event) for event in events]
        assert known == sum(bool(names) for names, _worth in joined)
        worth = set().union(*(worth for _names, worth in joined))
        waking = [name for name in sorted(worth) if self.may_wake(name)]
        assert self.woken == waking
        for name in waking:
            self.of(name).woken = now

    @rule(span=spans)
    def wait(self, span: timedelta) -> None:
        """Let time pass."""
        self.clock.pass_by(span)

    @rule()
    def lose_or_find_the_disk(self) -> None:
        """Let the history be unreadable, or readable again."""
        self.is_readable = not self.is_readable

    # -- the plain rules

    def of(self, account: AccountName) -> Model:
        """Return what is known of an account."""
        return self.known.setdefault(account, Model())

    def may_wake(self, account: AccountName) -> bool:
        """Say whether ten minutes are over since an account was woken."""
        woken = self.of(account).woken
        return woken is None or self.clock.now() - woken >= TEN_MINUTES

    def joined(self, event: Heard) -> tuple[set[AccountName], set[AccountName]]:
        """Return whose event this is, and who is worth a look for it."""
        listing = {name for name, wanted in self.wanted.items() if event.device in wanted}
        if listing:
            for name in listing:
                self.of(name).heard.append(event)
            return listing, {name for name in listing if self.of(name).watch.heard(event)}
        left = {name for name in ACCOUNTS if self.was_unsubscribed(name, event)}
        for name in left:
            self.of(name).heard.append(event)
            self.of(name).unexpected.append(event.received)
        return left, left

    def was_unsubscribed(self, account: AccountName, event: Heard) -> bool:
        """Say whether the last that LG confirmed of a device in an account is an unsubscribe, an hour before."""
        if not self.is_readable or event.received <= self.clock.now() - DAY:
            return False
        newest = [past for past in self.pasts if past.device == event.device][-20:]
        confirmed = [
            past
            for past in newest
            if past.account == account and past.result in {Result.SUCCESS, Result.NOOP}
        ]
        if not confirmed or confirmed[-1].action is Action.SUBSCRIBE:
            return False
        return event.at - confirmed[-1].at > HOUR

    # -- what is shown

    @invariant()
    def accounts_are_contradicted_by_their_own_events(self) -> None:
        """See that each account has what its own list lacks, and nothing is left of one that went."""
        now = self.clock.now()
        shown = {name: one.watch.contradicted(now) for name, one in self.known.items()}
        assert self.hearing.contradicted() == shown
        for name in ACCOUNTS:
            for device in DEVICES:
                contradicts = device in shown.get(name, ())
                assert self.hearing.contradicts(name, device) is contradicts
        numbers = {name: len(found) for name, found in shown.items()}
        assert self.hearing.contradicted_by_account() == numbers

    @invariant()
    def what_came_after_an_unsubscribe_counts_for_a_day(self) -> None:
        """See that each account counts its own, in whatever order they came."""
        over = self.clock.now() - DAY
        assert self.hearing.after_unsubscribe() == {
            name: sum(at > over for at in one.unexpected) for name, one in self.known.items()
        }

    @invariant()
    def accounts_were_heard_of_by_their_own_devices(self) -> None:
        """See the last event of each account, and how many of its devices spoke within a day."""
        over = self.clock.now() - DAY
        found = self.hearing.of_accounts()
        assert found.keys() == {name for name, one in self.known.items() if one.heard}
        for name, shown in found.items():
            heard = self.known[name].heard
            recent = {event.device for event in heard if event.received > over}
            assert shown == HeardOfAccount(
                _last(heard),
                len(recent),
                self.known[name].watch.contradicted(self.clock.now()),
                sum(at > over for at in self.known[name].unexpected),
            )

    @invariant()
    def the_last_event_of_all_is_the_latest(self) -> None:
        """See that events of strangers count against silence, too."""
        times = [event.received.timestamp() for event in self.events]
        assert self.hearing.last_event() == max(times, default=None)


def _last(heard: Sequence[Heard]) -> Heard:
    """Return the event that was stored last; of several at once, the one that came last."""
    latest = max(event.received for event in heard)
    return [event for event in heard if event.received == latest][-1]


TestHears = Hears.TestCase
TestHears.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
