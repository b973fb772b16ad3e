"""Writes changes in memory to the storage, later and in order. A write that fails waits.

Owns: the groups that wait, when they are written, and the promise that no pass fails because of a disk. While the disk
accepts no writes the groups wait in order, and the next write includes them all.
Must not: know SQL, desired states or metrics, or judge.

Losing the file loses the count of the day, the last trusted list, what is owned, and which devices without an entry
are protected. Nothing else becomes more permissive.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from reconciler.core.errors import StateError
from reconciler.core.guards import PauseOverride
from reconciler.core.memory import KEPT, AccountMemory, Shelf
from reconciler.core.model import AccountName, Desired, Revision
from reconciler.core.windows import Opening
from reconciler.state.clocks import StateClock
from reconciler.state.fencing import PlainWriter, Writer
from reconciler.state.folding import everything
from reconciler.state.port import Storage
from reconciler.state.records import Group, OldDropped, OpeningSaved, PauseSaved, ProtectionStated
from reconciler.state.waiting import Waiting

HOUSEKEEPING = timedelta(days=1)
TRIED_AGAIN = 1.0
"""Seconds until a failed write is tried again, if no other write comes first."""
TOGETHER = 1000
"""The number of groups that are written in one transaction."""


@dataclass(slots=True)
class Remembered:
    """What is in memory. Hold the lock while you read or change it.

    ``unread`` are accounts that could not be read. Their memory began empty, so it must not replace what is stored.
    ``missed`` is what was desired of such accounts, to be learned again once they can be read.
    """

    lock: threading.RLock = field(default_factory=threading.RLock)
    accounts: dict[AccountName, AccountMemory] = field(default_factory=dict)
    unread: set[AccountName] = field(default_factory=set)
    missed: dict[AccountName, tuple[Desired, Revision, datetime]] = field(default_factory=dict)
    pauses: dict[AccountName, PauseOverride] | None = None
    protected: Shelf[AccountName] | None = None
    opened: dict[str, Opening] | None = None

    def forget(self) -> None:
        """Read everything again at the next use."""
        self.accounts.clear()
        self.unread.clear()
        self.pauses = self.protected = None
        self.opened = None


class WriteBehind:
    """The groups that wait for the storage. Every method may be called from any thread.

    A failed write waits: ``writable`` is then false, ``trouble`` has the cause in one sentence, and every later write
    tries again. To hold both locks, take ``disk`` first.
    """

    def __init__(self, storage: Storage, clock: StateClock, writer: Writer | None = None) -> None:
        self.storage, self.clock = storage, clock
        self._writer, self._alone = writer or PlainWriter(storage), writer is None
        self.remembered = Remembered()
        self.disk = threading.Lock()
        self.waiting = Waiting(self.remembered.lock)
        self._medium = storage.medium
        self._generation, self._lost = self._medium.generation, self._lost_now()
        self._unread = ""
        self._flushed_at: float | None = None
        self._kept_house: datetime | None = None

    @property
    def frozen(self) -> bool:
        """Return whether the state was opened for reading only."""
        return self._medium.frozen

    @property
    def writable(self) -> bool:
        """Return whether writes succeed. A state opened for reading answers like its writer."""
        return self.frozen or not self.trouble

    @property
    def trouble(self) -> str:
        """Return the fault of the state in one sentence, or an empty string."""
        return self._medium.trouble or self._unread

    def since_flush(self) -> float:
        """Return how many seconds ago the last flush began."""
        return float("inf") if self._flushed_at is None else self.clock.steady() - self._flushed_at

    def refuse_if_frozen(self) -> None:
        """Raise ``StateError`` if the state was opened for reading only."""
        if self.frozen:
            raise StateError("the state is open for reading only")

    def unread(self, error: StateError) -> None:
        """Record a failed read: it is trouble until a read succeeds."""
        self._unread = str(error)

    def look(self) -> None:
        """Check that the open file is still the one at its path, and write what waits.

        New trouble stays until the next check, so that others see it, too. A failed write is tried again, but not at
        each check.
        """
        if self.frozen or self._medium.look():
            return
        due = self.since_flush() >= TRIED_AGAIN if self.trouble else bool(self.waiting)
        if due:
            self.flush()

    def flush(self) -> None:
        """Write what waits, oldest first. A failed write continues to wait."""
        with self.disk:
            self._flushed_at = self.clock.steady()
            self._keep_house()
            try:
                self._write_all()
            except StateError:
                self._fold()
                return
            with self.remembered.lock:
                exchanged = self._generation != self._medium.generation
                if self.waiting.groups or not (self._unread or exchanged):
                    return
                # the file could not be read before, or it is another one now, so write what memory has
                self._generation, self._unread = self._medium.generation, ""
                self.remembered.forget()

    def close(self) -> None:
        """Write what waits, if possible, and close the storage."""
        if not self.frozen:
            self._medium.look()  # a file that was taken away since the last look is written anew
            self.flush()
        with self.disk:
            self._medium.close()

    @contextmanager
    def reading(self) -> Iterator[tuple[Group, ...]]:
        """Lock the storage while it is read, and return the groups that it lacks."""
        with self.disk:
            yield self.waiting.all()

    def forget(self, accounts: Collection[AccountName]) -> None:
        """Forget accounts that another process owns now, and what waits of them."""
        with self.remembered.lock:
            self.waiting.forget(accounts)
            for account in accounts:
                self.remembered.accounts.pop(account, None)
                self.remembered.missed.pop(account, None)

    def keep_only(self, accounts: Collection[AccountName]) -> None:
        """Forget what was read of other accounts: another process may have changed it since."""
        with self.remembered.lock:
            for account in self.remembered.accounts.keys() - accounts:
                del self.remembered.accounts[account]
            for account in self.remembered.missed.keys() - accounts:
                del self.remembered.missed[account]

    def _write_all(self) -> None:
        """Write what waits. If the file was lost or may be older, write everything in memory, too."""
        while self._write_next():
            pass
        if self.trouble:
            self.storage.write(())
        lost = self._lost_now()
        if lost == self._lost:
            return
        with self.remembered.lock:
            for known in self.remembered.accounts.values():
                if known.name not in self.remembered.unread:
                    self.waiting.put(everything(known, self.clock.now()), ("folded", known.name))
            pauses = (self.remembered.pauses or {}) if self._alone else {}
            for name, override in pauses.items():  # others may have ended those of a shared state
                self.waiting.replace(("pause", name), PauseSaved(name, override), lasting=True)
            if self.remembered.protected is not None:  # once more is safe, also in a shared state
                protected = ProtectionStated(self.remembered.protected.lend())
                self.waiting.replace("protected", protected, lasting=True)
            opened = (self.remembered.opened or {}) if self._alone else {}
            for one in opened.values():
                key = ("opened", one.window, one.at)
                self.waiting.replace(key, OpeningSaved(one), lasting=True)
        while self._write_next():
            pass
        self._lost = lost

    def _lost_now(self) -> tuple[int, int]:
        """Return a mark that changes when the file may hold less than what is in memory."""
        return self._medium.losses, self._medium.doubts

    def _write_next(self) -> bool:
        """Write the next groups in one transaction; return whether there were any."""
        with self.remembered.lock:
            groups = dict(islice(self.waiting.groups.items(), TOGETHER))
            more = len(self.waiting.groups) > len(groups)
        if not groups:
            return False
        lost = self._writer.write(groups.values(), more=more)
        with self.remembered.lock:
            if lost:
                self.forget(lost)
            for key, group in groups.items():
                if self.waiting.groups.get(key) is group:
                    del self.waiting.groups[key]
        return True

    def _fold(self) -> None:
        """Limit what waits while no write succeeds."""
        with self.remembered.lock:
            lost = self.waiting.fold(self.remembered.accounts, self.clock.now())
        if lost:
            notice = f"history lacks {lost} changes: the state could not be written for too long"
            self._medium.notices.append(notice)

    def _keep_house(self) -> None:
        """Remove old data: at start or as soon as the time is sure, and once a day."""
        now = self.clock.now()
        if not self.clock.is_sure:
            return
        if self._kept_house is not None and now - self._kept_house < HOUSEKEEPING:
            return
        self._kept_house = now
        self.waiting.replace("old", OldDropped(self.clock.counted_to(now) - KEPT))
