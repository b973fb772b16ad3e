"""What was heard of devices: the events that receivers list, held against lists, the desired state and our calls.

Owns: the join of events with accounts, when a device was last heard of, and which accounts are worth a look for it.
Must not: hold or cause a change. A pass that is woken decides by its list, as ever.

Nothing of this is kept on disk: after a start the receivers are read from their beginning.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any

import structlog

from reconciler.core.acceptance import Claims
from reconciler.core.clock import Clock
from reconciler.core.errors import StateError
from reconciler.core.heard import (
    Heard,
    HeardOfAccount,
    ListWatch,
    RecentDevices,
    Silence,
    after_unsubscribe,
)
from reconciler.core.model import AccountName, Action, DeviceId, Outcome, Result
from reconciler.state import History

SHOWN_FOR = timedelta(hours=24)
"""Events of a device that we unsubscribed are counted for this long."""
WAKE_SECONDS = 600.0
"""Events wake an account at most once within this time: whoever can send events cannot make it ask LG all the time."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Account:
    """What events say about one account."""

    watch: ListWatch = field(default_factory=ListWatch)
    last: Heard | None = None
    recent: RecentDevices = field(default_factory=RecentDevices)
    after_unsubscribe: list[datetime] = field(
        default_factory=list
    )  # a heap: receivers are read in any order
    woken_at: float | None = None


class Hearing:
    """All that was heard. For the event loop's thread; ``blocking`` runs what may wait for a disk beside it."""

    def __init__(
        self,
        claims: Claims,
        history: History,
        clock: Clock,
        wake: Callable[[Iterable[AccountName]], None],
        blocking: Callable[..., Awaitable[Any]],
    ) -> None:
        self.silence = Silence()
        self._claims, self._history, self._clock = claims, history, clock
        self._wake, self._blocking = wake, blocking
        self._accounts: dict[AccountName, _Account] = {}
        self._last: dict[DeviceId, Heard] = {}

    def knows_devices(self) -> bool:
        """Say whether a desired state is in force, or was: without one, no event can be joined with an account."""
        return self._claims.version > 0

    def last(self, device: DeviceId) -> Heard | None:
        """Return the last event of a device that the desired state lists or listed when it came.

        Worker threads may ask this, too.
        """
        return self._last.get(device)

    def of_accounts(self) -> Mapping[AccountName, HeardOfAccount]:
        """Return what was heard of each account's devices; an account of which nothing was is not there."""
        now, after = self._clock.now(), self.after_unsubscribe()
        found = {}
        for name, one in self._accounts.items():
            if one.last is not None:
                contradicted = one.watch.contradicted(now)
                recent = one.recent.number(now)
                found[name] = HeardOfAccount(one.last, recent, contradicted, after[name])
        return found

    def contradicts(self, account: AccountName, device: DeviceId) -> bool:
        """Say whether events of a device contradict the list of an account."""
        one = self._accounts.get(account)
        return one is not None and device in one.watch.contradicted(self._clock.now())

    def contradicted_by_account(self) -> Mapping[AccountName, int]:
        """Return by account the number of devices that events contradict LG's list about."""
        return {name: len(devices) for name, devices in self.contradicted().items()}

    def silence_seconds(self) -> float | None:
        """Return how long a silence has to last to mean something, if enough events are known."""
        meaningful = self.silence.meaningful(self._clock.now())
        return None if meaningful is None else meaningful.total_seconds()

    def last_event(self) -> float | None:
        """Return when a receiver stored the last event that is known, in seconds since 1970."""
        return None if self.silence.last is None else self.silence.last.timestamp()

    def contradicted(self) -> Mapping[AccountName, frozenset[DeviceId]]:
        """Return by account the devices that events contradict LG's list about; an account without any too."""
        now = self._clock.now()
        return {name: one.watch.contradicted(now) for name, one in self._accounts.items()}

    def after_unsubscribe(self) -> Mapping[AccountName, int]:
        """Return by account the number of events, within a day, of devices that we had unsubscribed."""
        over = self._clock.now() - SHOWN_FOR
        for one in self._accounts.values():
            while one.after_unsubscribe and one.after_unsubscribe[0] <= over:
                heappop(one.after_unsubscribe)
        return {name: len(one.after_unsubscribe) for name, one in self._accounts.items()}

    def listed(
        self,
        account: AccountName,
        began: datetime,
        desired: frozenset[DeviceId],
        live: frozenset[DeviceId],
    ) -> None:
        """Take a trusted list."""
        lacking = () if desired is live else desired - live
        self._of(account).watch.listed(began, lacking)

    def changed(self, outcome: Outcome) -> None:
        """Take a call that ended. "Subscribed already" is no success here: it says what the event says."""
        if outcome.result is not Result.SUCCESS:
            return
        watch = self._of(outcome.change.account).watch
        if outcome.change.action is Action.SUBSCRIBE:
            watch.subscribed(outcome.change.device)
        else:
            watch.unsubscribed(outcome.change.device)

    def forget(self, account: AccountName) -> None:
        """Drop what was heard about an account that left the files."""
        self._accounts.pop(account, None)

    async def take(self, events: Sequence[Heard]) -> int:
        """Take events that a receiver lists, in their order; return how many are of devices that are known."""
        waking: set[AccountName] = set()
        known = 0
        for event in events:
            self.silence.heard(event.received)
            accounts: Collection[AccountName] = self._claims.listing(event.device)
            if accounts:
                self._keep(event, accounts)
                waking |= {name for name in accounts if self._of(name).watch.heard(event)}
            else:
                accounts = await self._after_unsubscribe(event)
                waking |= accounts
            known += bool(accounts)
        self._wake_some(waking)
        return known

    def _keep(self, event: Heard, accounts: Iterable[AccountName]) -> None:
        self._last[event.device] = _later(self._last.get(event.device), event)
        for name in accounts:
            one = self._of(name)
            one.last = _later(one.last, event)
            one.recent.heard(event.device, event.received)

    async def _after_unsubscribe(self, event: Heard) -> set[AccountName]:
        """Return the accounts of which we unsubscribed this device long before the event."""
        if event.received <= self._clock.now() - SHOWN_FOR:
            return set()
        try:
            pasts = await self._blocking(self._history.changes, None, event.device, limit=20)
        except StateError:
            return set()
        found = set()
        for account in {past.account for past in pasts}:
            confirmed = (one for one in pasts if one.account == account and one.result is not None)
            last = next((one for one in confirmed if one.result.confirmed), None)
            if last is None or last.action is not Action.UNSUBSCRIBE:
                continue
            if after_unsubscribe(event, last.at):
                self._keep(event, [account])
                heappush(self._of(account).after_unsubscribe, event.received)
                found.add(account)
                log.warning("event.after_unsubscribe", account=account, device=event.device)
        return found

    def _wake_some(self, accounts: Iterable[AccountName]) -> None:
        now = self._clock.steady()
        waking = []
        for name in sorted(accounts):
            one = self._of(name)
            if one.woken_at is None or now - one.woken_at >= WAKE_SECONDS:
                one.woken_at = now
                waking.append(name)
        if waking:
            self._wake(waking)

    def _of(self, account: AccountName) -> _Account:
        return self._accounts.setdefault(account, _Account())


def _later(before: Heard | None, event: Heard) -> Heard:
    """Return the event that a receiver stored later; receivers are read in any order."""
    return event if before is None or before.received <= event.received else before
