"""The groups that wait to be written: in order, visible to readers, and bounded even if the disk stays full.

Owns: the groups that wait. Must not: write anything, or know when something is written.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Mapping
from datetime import datetime

from reconciler.core.memory import AccountMemory
from reconciler.core.model import AccountName
from reconciler.state.folding import folded
from reconciler.state.records import Group, Record

MOST_GROUPS = 1000
"""When more groups than this wait and cannot be written, those of each account are folded into one."""
MOST_PASTS = 20_000
"""The number of past changes that may wait, besides those that the count of the day and the next list need."""


class Waiting:
    """Groups not yet written, oldest first. The newest group of a key replaces the one before.

    ``lock`` is held while the groups are read or changed.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self.groups: dict[Hashable, Group] = {}
        self._lock = lock
        self._count = 0
        self._most_groups = MOST_GROUPS
        self._most_pasts = 2 * MOST_PASTS

    def __bool__(self) -> bool:
        """Return whether something waits."""
        with self._lock:
            return bool(self.groups)

    def all(self) -> tuple[Group, ...]:
        """Return the groups, oldest first."""
        with self._lock:
            return tuple(self.groups.values())

    def put(self, group: Group, key: Hashable = None) -> None:
        """Add a group."""
        with self._lock:
            self._count += 1
            self.groups[self._count if key is None else key] = group

    def add(self, *records: Record, account: AccountName, lasting: bool = False) -> None:
        """Add records of an account that are written together or not at all."""
        self.put(Group(records, lasting=lasting, account=account))

    def forget(self, accounts: Collection[AccountName]) -> None:
        """Remove everything of some accounts: another process writes it now."""
        with self._lock:
            gone = [key for key, group in self.groups.items() if group.about in accounts]
            self.drop(*gone)

    def concerns(self, account: AccountName) -> bool:
        """Return whether something of an account waits."""
        with self._lock:
            return any(group.about == account for group in self.groups.values())

    def replace(self, key: Hashable, *records: Record, lasting: bool = False) -> None:
        """Add records that replace all earlier ones of this key."""
        self.put(Group(records, lasting=lasting), key)

    def drop(self, *keys: Hashable) -> None:
        """Remove groups that later ones replace."""
        with self._lock:
            for key in keys:
                self.groups.pop(key, None)

    def fold(self, accounts: Mapping[AccountName, AccountMemory], now: datetime) -> int:
        """If too much waits, make one group for each account; return how many past changes were dropped."""
        with self._lock:
            if len(self.groups) <= self._most_groups and self._pasts() <= self._most_pasts:
                return 0
            theirs = self._by_account()
            lost = 0
            for account, keys in theirs.items():
                if account not in accounts:
                    continue
                groups = [self.groups[key] for key in keys]
                group, dropped = folded(
                    groups, accounts[account], now, max(MOST_PASTS // len(theirs), 1)
                )
                self.drop(*keys, ("account", account))
                self.put(group, ("folded", account))
                lost += dropped
            # The rest cannot be shorter; with thousands of accounts it may still be above the bound.
            self._most_groups = max(MOST_GROUPS, 2 * len(self.groups))
            self._most_pasts = 2 * max(MOST_PASTS, self._pasts())
            return lost

    def _by_account(self) -> dict[AccountName, list[Hashable]]:
        """Return the keys of the groups that can be folded."""
        theirs: dict[AccountName, list[Hashable]] = {}
        for key, group in self.groups.items():
            if group.account is not None:
                theirs.setdefault(group.account, []).append(key)
        return theirs

    def _pasts(self) -> int:
        return sum(len(group.pasts) for group in self.groups.values())
