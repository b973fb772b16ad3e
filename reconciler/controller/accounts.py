"""What each account carries from pass to pass in this process, and LG's caps on subscribed devices.

Owns: the state of every account, which accounts look like one LG user, and until when a service key has no room.
Must not: make a pass, or decide what an account's next state is (``core.account`` does). A restart begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from reconciler.controller.twins import Twins
from reconciler.core import backoff
from reconciler.core.account import AccountState, Contact
from reconciler.core.errors import SubscriptionsFull
from reconciler.core.guards import Platform
from reconciler.core.model import AccountName, Desired
from reconciler.core.run import Run
from reconciler.core.status import AccountStatus, PassReport
from reconciler.pcc.client import Client

log = structlog.get_logger()


class Accounts:
    """The state of every account. ``clients`` returns an account's client, or why there is none."""

    def __init__(
        self,
        clients: Callable[[AccountName], Client | str],
        wake: Callable[[Iterable[AccountName]], None],
    ) -> None:
        self.twins = Twins()
        self._clients = clients
        self._wake = wake
        self._states: dict[AccountName, AccountState] = {}
        self._full_until: dict[str, datetime] = {}

    @property
    def statuses(self) -> Mapping[AccountName, AccountStatus]:
        """Return the status of every account that had a pass, as it is now. Another thread may look at it."""
        return _Statuses(self._states.copy(), self.twins.alike)

    @property
    def platforms(self) -> Mapping[AccountName, Platform]:
        """Return what LG does not let accounts do for now. Another thread may look at it."""
        full_until: dict[AccountName, datetime] = {}
        if self._full_until:  # seldom; only this thread may ask for clients
            for account in self._states:
                full = self.platform(account).full_until
                if full is not None:
                    full_until[account] = full
        return _Platforms(self._states.copy(), full_until)

    def platform(self, account: AccountName) -> Platform:
        """Return what LG does not let an account do for now."""
        platform = self.state(account).platform
        client = self._clients(account) if self._full_until else ""
        if isinstance(client, Client):
            return replace(platform, full_until=self._full_until.get(client.service))
        return platform

    def state(self, account: AccountName) -> AccountState:
        """Return the state of an account; a new one where it had no pass."""
        return self._states.get(account) or AccountState(AccountStatus(account))

    def begin(self, desired: Desired, now: datetime) -> AccountState:
        """Return the state of an account at the start of a pass, and remember what it wants."""
        state = self.state(desired.account).beginning(desired, now)
        self._states[desired.account] = state
        return state

    def end(
        self, run: Run, report: PassReport, contact: Contact
    ) -> tuple[AccountState, AccountState]:
        """Put an account into its next state after a pass; return the state before, and after."""
        before = self._states.get(run.name, run.account)
        after = before.after(report, contact)
        self._states[run.name] = after
        return before, after

    def forget(self, account: AccountName) -> None:
        """Drop what is carried for an account that left the desired state."""
        self._states.pop(account, None)
        self.twins.forget(account)

    def resume(self, account: AccountName) -> None:
        """Let a stopped account try again at once: a credential changed, or a person asked for it."""
        if account in self._states:
            self._states[account] = self._states[account].resumed()

    def shift(self, step: timedelta) -> None:
        """Take a step of the wall clock: every wait lasts for as long as it would have."""
        for account, state in self._states.items():
            self._states[account] = state.shifted(step)
        for service in self._full_until:
            self._full_until[service] += step

    def degraded(self, account: AccountName) -> bool:
        """Say whether LG did not answer this account when it was last asked."""
        state = self._states.get(account)
        return state is not None and state.degraded

    # -- LG's cap on subscribed devices, which the accounts of one service key share

    def room(self, service: str, now: datetime) -> Platform:
        """Return until when the service key has no room, as far as a pass that begins now is concerned."""
        full_until = self._full_until.get(service)
        if full_until is None:
            return Platform()
        return Platform(full_until=min(full_until, now + backoff.FULL))

    def note_full(self, service: str, error: SubscriptionsFull, now: datetime) -> None:
        """Take note that LG's cap is reached for a service key."""
        if service not in self._full_until:
            log.warning(
                "subscriptions.full",
                code=error.code,
                words=error.words,
                message_id=error.message_id,
            )
        self._full_until[service] = now + backoff.FULL

    def note_room(self, service: str) -> None:
        """Take note of room under a service key's cap, and wake the accounts that wait for it."""
        if self._full_until.pop(service, None) is None:
            return
        waking = []
        for account, state in self._states.items():
            client = self._clients(account) if state.waits_for_room else None
            if isinstance(client, Client) and client.service == service:
                waking.append(account)
        self._wake(waking)


class _Statuses(Mapping[AccountName, AccountStatus]):
    """The status of every account at one moment. Each is made when it is asked for: a page may need a single one."""

    def __init__(
        self,
        states: Mapping[AccountName, AccountState],
        alike: Mapping[AccountName, tuple[AccountName, ...]],
    ) -> None:
        self._states, self._alike = states, alike

    def __getitem__(self, account: AccountName) -> AccountStatus:
        status, others = self._states[account].status, self._alike.get(account)
        return status if others is None else replace(status, alike=others)

    def __iter__(self) -> Iterator[AccountName]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)


class _Platforms(Mapping[AccountName, Platform]):
    """What LG does not let each account do, at one moment. Each is made when it is asked for."""

    def __init__(
        self,
        states: Mapping[AccountName, AccountState],
        full_until: Mapping[AccountName, datetime],
    ) -> None:
        self._states, self._full_until = states, full_until

    def __getitem__(self, account: AccountName) -> Platform:
        platform, full_until = self._states[account].platform, self._full_until.get(account)
        return platform if full_until is None else replace(platform, full_until=full_until)

    def __iter__(self) -> Iterator[AccountName]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)
