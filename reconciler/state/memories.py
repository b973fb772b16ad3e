"""The memory of each account, and the pauses. They are read from the storage at first use, and then held here.

Owns: when they are read, and that two threads never change them at the same time. Must not: know what an event means.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from reconciler.core.errors import StateError
from reconciler.core.guards import PauseOverride
from reconciler.core.memory import AccountMemory, Shelf
from reconciler.core.model import AccountName
from reconciler.core.protection import Protected
from reconciler.core.windows import Opening
from reconciler.state.write_behind import WriteBehind

MOST_OPENED = 10_000
"""How many openings are read; those that ended with their time are never marked as ended."""


class Memories:
    """What is in memory, shared by the stores that change it."""

    def __init__(self, behind: WriteBehind) -> None:
        self._behind = behind
        self._remembered = behind.remembered

    def get(self, account: AccountName) -> AccountMemory | None:
        """Return an account's memory if it was already read."""
        return self._remembered.accounts.get(account)

    def is_unread(self, account: AccountName) -> bool:
        """Return whether an account's memory could not be read and began empty. Hold the lock of ``Remembered``."""
        return account in self._remembered.unread

    @contextmanager
    def known(self, account: AccountName, now: datetime | None = None) -> Iterator[AccountMemory]:
        """Hold an account's memory exclusively; it is read from the storage at first use."""
        while True:
            with self._remembered.lock:
                known = self.get(account)
                if known is not None:
                    yield known
                    return
            self._read(account, now or self._behind.clock.now())

    @contextmanager
    def changing(
        self, account: AccountName, now: datetime | None = None
    ) -> Iterator[AccountMemory]:
        """Hold an account's memory for a change, and then write what waits."""
        self._behind.refuse_if_frozen()
        with self.known(account, now) as known:
            yield known
        self._behind.flush()

    def glance(self, account: AccountName, now: datetime) -> AccountMemory:
        """Return an account's memory from the storage without keeping it; an empty one if it cannot be read."""
        with self._behind.disk:
            try:
                return self._stored(account, now)
            except StateError:
                return AccountMemory(account)

    def pauses(self) -> dict[AccountName, PauseOverride]:
        """Return the pauses, which may be changed. Hold the lock of ``Remembered``."""
        if self._remembered.pauses is None:
            try:
                self._remembered.pauses = self._behind.storage.pauses()
            except StateError as error:
                self._behind.unread(error)
                self._remembered.pauses = {}
        return self._remembered.pauses

    def protected(self) -> Shelf[AccountName]:
        """Return the devices that are protected, which may be changed. Hold the lock of ``Remembered``."""
        if self._remembered.protected is None:
            try:
                self._remembered.protected = Shelf(self._behind.storage.protected())
            except StateError as error:
                self._behind.unread(error)
                self._remembered.protected = Shelf()
        return self._remembered.protected

    def all_protected(self) -> Protected:
        """Return the devices that are protected, in whichever account."""
        with self._remembered.lock:
            return self.protected().lend()

    def opened(self) -> dict[str, Opening]:
        """Return the windows that are open by command, which may be changed. Hold the lock of ``Remembered``."""
        if self._remembered.opened is None:
            try:
                stored = self._behind.storage.opened(None, MOST_OPENED)
            except StateError as error:
                self._behind.unread(error)
                stored = ()
            self._remembered.opened = {one.window: one for one in reversed(stored)}
        return self._remembered.opened

    def _read(self, account: AccountName, now: datetime) -> None:
        """Read an account's memory from the storage, or begin with an empty one and ``trouble``."""
        unread = set()
        with self._behind.disk:
            try:
                known = self._stored(account, now)
            except StateError as error:
                self._behind.unread(error)
                known, unread = AccountMemory(account), {account}
        with self._remembered.lock:
            if self._remembered.accounts.setdefault(account, known) is known:
                self._remembered.unread -= {account}
                self._remembered.unread |= unread

    def _stored(self, account: AccountName, now: datetime) -> AccountMemory:
        return self._behind.storage.account(account, now, self._behind.clock.read_from(now))
