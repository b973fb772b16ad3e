"""Passes on what changed: which accounts need a pass soon.

Owns: what has to be in step before those passes: clients, limits and the accounts that metrics show.
Must not: make a pass, or decide when a routine one is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from reconciler.controller.queue import Queue
from reconciler.core.acceptance import chosen
from reconciler.core.model import AccountName
from reconciler.runtime.wiring import Components, Host


class Dispatcher(Host):
    """Hears the news of files, credentials and people, and wakes accounts. ``stopping`` ends the process."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping

    def connect(self, components: Components, queue: Queue) -> None:
        """Take the components and the queue, which were made with this object."""
        self._components, self._queue = components, queue

    def stopping(self) -> bool:
        """Say whether the process is about to end."""
        return self._stopping.is_set()

    def accounts_changed(self, accounts: Iterable[AccountName]) -> None:
        """Take the news of the informer: accounts with another revision, or that came or went."""
        components, names = self._components, sorted(accounts)
        for account in names:
            if components.informer.current(account) is not None:
                self._enter(account)
            else:
                components.metrics.leave(account)
        self.credentials_changed(components.follow_accounts(names))
        self.wake_first(names)

    def credentials_changed(self, accounts: Collection[AccountName]) -> None:
        """Let accounts with other credentials try at once."""
        for account in accounts:
            self._components.reconciler.accounts.resume(account)
        self.wake_first(sorted(accounts))

    def wake(self, accounts: Iterable[AccountName]) -> None:
        """Ask for routine passes soon."""
        self._queue.wake(self._owned(accounts))

    def wake_first(self, accounts: Iterable[AccountName]) -> None:
        """Ask for passes before all routine ones."""
        self._queue.wake(self._owned(accounts), first=True)

    def wake_all(self) -> None:
        """Ask for a routine pass of every account."""
        self.wake(sorted(self._components.informer.accepted.accounts))

    async def person_agrees(self, accounts: Iterable[AccountName]) -> None:
        """Begin passes because a person asks: clear all retry waits, and accept the current credential."""
        components, names = self._components, self._owned(accounts)
        for name in names:
            await asyncio.to_thread(components.state.accounts.person_agrees, name)
            components.reconciler.accounts.resume(name)
        self._queue.wake(names, first=True)

    def _owned(self, accounts: Iterable[AccountName]) -> list[AccountName]:
        """Return the accounts on which this process works, and not another replica."""
        return self._components.tenure.owned(accounts)

    def _enter(self, account: AccountName) -> None:
        if self._owned([account]):
            self._components.metrics.enter(account)

    def names(self, account: AccountName | None) -> list[AccountName]:
        """Return the account that is named, or all; raises ``Unknown`` for one that is not managed."""
        return chosen(
            None if account is None else [account],
            sorted(self._components.informer.accepted.accounts),
        )
