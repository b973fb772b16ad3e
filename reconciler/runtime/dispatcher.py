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
                components.metrics.enter(account)
            else:
                components.metrics.leave(account)
        self.credentials_changed(components.follow_accounts(names))
        self._queue.wake(names, first=True)

    def credentials_changed(self, accounts: Collection[AccountName]) -> None:
        """Let accounts with other credentials try at once."""
        for account in accounts:
            self._components.reconciler.accounts.resume(account)
        self._queue.wake(sorted(accounts), first=True)

    def wake(self, accounts: Iterable[AccountName]) -> None:
        """Ask for routine passes soon."""
        self._queue.wake(accounts)

    def wake_first(self, accounts: Iterable[AccountName]) -> None:
        """Ask for passes before all routine ones."""
        self._queue.wake(accounts, first=True)

    def wake_all(self) -> None:
        """Ask for a routine pass of every account."""
        self._queue.wake(sorted(self._components.informer.accepted.accounts))

    def names(self, account: AccountName | None) -> list[AccountName]:
        """Return the account that is named, or all; raises ``Unknown`` for one that is not managed."""
        return chosen(
            None if account is None else [account],
            sorted(self._components.informer.accepted.accounts),
        )
